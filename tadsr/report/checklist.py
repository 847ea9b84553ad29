"""The reproducibility checklist of a paper, filled from the experiment and its run cards.

What no file here can tell is left to the authors, in words that cannot be overlooked.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tadsr import __version__
from tadsr.config.data import DatasetSpec
from tadsr.report.card_tables import flatten
from tadsr.report.content import ReportContent
from tadsr.report.latex import latex_prose
from tadsr.report.reading import read_optional
from tadsr.report.tables import seeds_of
from tadsr.report.wording import conditions, count, duration, environments, headline, reproduce
from tadsr.runs.folder import read_card

OPEN = "to be answered by the authors"
DIGITS = 12
"""Of a digest that are shown; the cards beside the checklist have all of it."""


@dataclass(frozen=True)
class Item:
    """A question of the checklist and its answer, one line or several."""

    question: str
    answers: tuple[str, ...] = ()

    @property
    def lines(self) -> tuple[str, ...]:
        """The answers, or that there is none yet."""
        return self.answers or (OPEN,)


@dataclass(frozen=True)
class Part:
    """Questions about one subject."""

    title: str
    items: tuple[Item, ...]


def checklist(content: ReportContent) -> tuple[Part, ...]:
    """All parts; an item without an answer is the authors'."""
    return (
        Part("Claims", tuple(_claims(content))),
        Part("Runs and error bars", tuple(_runs(content))),
        Part("Data", tuple(_data(content))),
        Part("Models and settings", tuple(_settings(content))),
        Part("Metrics", tuple(_metrics(content))),
        Part("Compute and software", tuple(_compute(content))),
        Part("What the files cannot tell", tuple(_open())),
    )


def _claims(content: ReportContent) -> Iterator[Item]:
    declared = [
        f"{content.metric(e.metric).title} on {e.dataset}"
        + (f", worth knowing from {e.margin:g} on" if e.margin is not None else "")
        for e in content.experiment.primary
    ]
    yield Item("Which comparisons were declared before the runs?",
               tuple(declared) or ("none: every comparison is exploratory",))  # fmt: skip
    yield Item("What do they show?", (headline(content),))
    yield Item("On what are the results conditional?", tuple(conditions(content)))


def _runs(content: ReportContent) -> Iterator[Item]:
    states = Counter(cell.status for cell in content.cells)
    described = ", ".join(f"{number} {state}" for state, number in sorted(states.items()))
    answers = [
        f"{count(len(content.variants), 'variant')} × {seeds_of(content)} = "
        f"{count(len(content.cells), 'student training')}: {described}"
    ]
    answers += [f"diverged: {cell.name}" + (f" ({cell.message})" if cell.message else "")
                for cell in content.cells if cell.status == "diverged"]  # fmt: skip
    superseded = content.root / "superseded"
    others = len(list(superseded.iterdir())) if superseded.is_dir() else 0
    if others:
        answers.append(
            f"{count(others, 'run folder')} of earlier settings in superseded/ of the results "
            "folder, in no number here"
        )
    yield Item("How many runs were made, those that diverged included?", tuple(answers))
    yield Item(
        "Runs made elsewhere or before this results folder (pilots, searches, failed attempts)?"
    )
    seeds = ", ".join(str(seed) for seed in content.experiment.seeds)
    yield Item("Which seeds?", (f"{seeds}, the same for every variant",))
    yield Item("What are the error bars?", (
        "± is half of a 95 % interval for the mean over seeds (Student t over the per-seed means "
        "over images); it says how repeatable a recipe is on exactly these test images.",
        "Differences to the reference are paired by seed and image; interval and p from Student's "
        "t over the per-seed differences; Holm's p over all declared comparisons.",
    ))  # fmt: skip


def _data(content: ReportContent) -> Iterator[Item]:
    experiment = content.experiment
    for name, spec in experiment.data.all().items():
        card = read_card(content.root / "data" / name) or {}
        images = (card.get("results") or {}).get("images")
        words = [_described(spec)]
        if images is not None:
            words.append(count(int(images), "image"))
        if card.get("content"):
            words.append(f"content {str(card['content'])[:DIGITS]} (sha256 over the pixels)")
        yield Item(f"Data set {name}", (", ".join(words),))
    accepted = [name for name, spec in experiment.data.all().items() if spec.allow_overlap]
    answers = ["HR images of training among those of validation or test are refused (equal pixels "
               "or equal files)"]  # fmt: skip
    answers += [f"accepted on purpose: {', '.join(accepted)}"] if accepted else []
    answers.append("near copies (rescaled, compressed again) are not looked for")
    if experiment.teacher.imported:
        answers.append("what the imported teacher was trained on is not known here")
    yield Item("Is training data kept out of the test data?", tuple(answers))
    yield Item("Licences, terms of use and consent of each data set?")


def _described(spec: DatasetSpec) -> str:
    words = [f"preset {spec.preset}" if spec.preset else f"kind {spec.kind}"]
    for key in ("split", "degradation", "crop", "size", "limit"):
        value = getattr(spec, key)
        if value is not None:
            words.append(f"{key} {value}")
    if spec.holdout:
        words.append(f"holdout of {spec.holdout.val:g} and {spec.holdout.test:g} by hash of names")
    return ", ".join(words)


def _settings(content: ReportContent) -> Iterator[Item]:
    experiment = content.experiment
    teacher = experiment.teacher
    if teacher.imported:
        yield Item("Teacher", (f"imported: {teacher.weights}", *_content(content, "teacher")))
    else:
        settings = teacher.model_dump(mode="json", exclude={"weights"})
        yield Item("Teacher", (_listed(settings), *_content(content, "teacher")))
    yield Item("Teacher's answers", (_listed(experiment.targets.model_dump(mode="json")),))
    student = experiment.student.model_dump(mode="json", exclude_none=True)
    yield Item("Student, base settings (what variants change: table Variants)", (_listed(student),))
    yield from _searches(content)
    yield Item(
        "How were the other settings chosen, on which data, and after how many trials?"
        if experiment.sweeps
        else "How were these settings chosen, on which data, and after how many trials?"
    )


def _searches(content: ReportContent) -> Iterator[Item]:
    for name, spec in content.experiment.sweeps.items():
        trials = read_optional(content.root / "sweeps" / name / "trials.json", [])
        states = Counter(str(trial["state"]) for trial in trials)
        found = ", ".join(f"{number} {state}" for state, number in sorted(states.items()))
        goals = ", ".join(f"{goal.metric.title} ({goal.optimised})" for goal in spec.objectives)
        yield Item(f"Search {name}", (
            f"over {', '.join(spec.space)}; {spec.sampler.kind} sampler; {goals} on validation "
            f"images, seed {spec.seed}, which is none of the experiment's",
            f"{count(len(trials), 'trial')}: {found}" if trials else "no trial was made yet",
        ))  # fmt: skip


def _content(content: ReportContent, run: str) -> tuple[str, ...]:
    digest = content.runs.get(run, {}).get("content")
    return (f"content {str(digest)[:DIGITS]} (sha256 over its files)",) if digest else ()


def _listed(settings: Mapping[str, Any]) -> str:
    return ", ".join(f"{key} {value}" for key, value in flatten(settings) if value != "null")


def _metrics(content: ReportContent) -> Iterator[Item]:
    for spec in content.metrics:
        card = content.cards.get(spec.id)
        if card is None:
            yield Item(spec.title, (f"not computed: {content.missing.get(spec.id, 'no score')}",))
            continue
        known = ("libraries", "color_space", "border_crop", "backbone", "tensors", "verified")
        yield Item(spec.title, (_listed({key: card[key] for key in known if key in card}),))


def _compute(content: ReportContent) -> Iterator[Item]:
    cards = content.runs.values()
    machines = sorted({
        f"{card['environment'].get('platform', '?')}, "
        f"{card['environment'].get('processors', '?')} processors"
        for card in cards if card.get("environment")
    })  # fmt: skip
    measured = sorted({
        record.device_name for cost in content.costs.values() for record in cost.records
        if record.device_name
    })  # fmt: skip
    yield Item("On which machines were the models trained?", tuple(machines))
    yield Item("On which processor or GPU was the cost of a model measured?", tuple(measured))
    yield Item("Memory of the machines, and GPU model of the trainings?")
    yield Item("How much compute was used?", (
        *_seconds(content),
        "data sets, searches, evaluation and report are not counted",
    ))  # fmt: skip
    yield Item("Versions", (environments(content) or OPEN, f"checklist by tadsr {__version__}"))
    commands = (command for command, _ in reproduce(content))
    yield Item("Commands that make it again", tuple(commands))


def _seconds(content: ReportContent) -> Iterator[str]:
    words = {"teacher": "teacher", "targets": "teacher's answers", "students": "students"}
    for stage, title in words.items():
        taken = [float(card["seconds"]) for name, card in content.runs.items()
                 if name.split("/")[0] == stage and card.get("seconds") is not None]  # fmt: skip
        if taken:
            yield f"{title}: {count(len(taken), 'run')}, {duration(sum(taken))} of wall-clock time"


def _open() -> Iterator[Item]:
    yield Item("Limitations of the claims?")
    yield Item("Where are code, weights and data available, and under which licences?")
    yield Item("Risks and safeguards (restored detail is plausible, and need not be true)?")
    yield Item("People: were any asked to judge images, and under which terms?")


def to_markdown(content: ReportContent) -> str:
    """The checklist as Markdown."""
    lines = [f"# Reproducibility checklist: {content.experiment.name}", ""]
    if content.holes:
        lines += ["**Partial:** not there yet:", "", *(f"- {hole}" for hole in content.holes), ""]
    for part in checklist(content):
        lines += [f"## {part.title}", ""]
        for item in part.items:
            lines.append(f"- {'[x]' if item.answers else '[ ]'} **{_plain(item.question)}**")
            lines += [f"  - {_plain(line)}" for line in item.lines]
        lines.append("")
    return "\n".join(lines).rstrip() + "\n"


def _plain(text: str) -> str:
    for character in "\\`*_<>[]|":
        text = text.replace(character, "\\" + character)
    return text.replace("\n", " ")


def to_latex(content: ReportContent) -> str:
    """The checklist as LaTeX: sections with a description each, to be `\\input`."""
    lines = [r"\section*{Reproducibility checklist}", r"\begingroup\raggedright"]
    if content.holes:
        lines.append(r"\textbf{Partial:} " + latex_prose("; ".join(content.holes)) + r"\par")
    for part in checklist(content):
        lines += [rf"\subsection*{{{latex_prose(part.title)}}}", r"\begin{description}"]
        for item in part.items:
            answers = [latex_prose(line) for line in item.lines]
            if not item.answers:
                answers = [rf"\textbf{{{answers[0]}}}"]
            lines.append(rf"\item[{{{latex_prose(item.question)}}}] " + r"\newline ".join(answers))
        lines.append(r"\end{description}")
    lines.append(r"\endgroup")
    return "\n".join(lines) + "\n"
