"""Hyper-parameter searches as MLflow runs: one per search, and below it one per trial.

What grows when a search goes on, because more trials were asked for, is told in tags, or as a curve
over the trials: parameters and points that contradicted those that are there would replace the run,
and with it every trial below it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tadsr.compare import UNVERIFIED
from tadsr.config import MetricSpec
from tadsr.publish.artefacts import table_file
from tadsr.publish.records import Point, RunRecord
from tadsr.publish.trainings import MESSAGE_LIMIT, NOTE, existing, filled, times, uses
from tadsr.report.content import ReportContent
from tadsr.report.reading import read_optional
from tadsr.report.sweep_tables import confirmed_table, tables_of
from tadsr.report.sweep_words import facts
from tadsr.report.sweeps import STATES, Sweep, SweepTrial
from tadsr.report.table import as_markdown

SWEEP, TRIAL = "sweep", "trial"
"""Kinds of runs."""
STATUSES = {"complete": "done", "pruned": "pruned", "diverged": "diverged", "failed": "failed"}
"""A trial's state to the status of its run; others have not begun."""
NOTE_LIMIT = 7500
"""Characters of a run's description; MLflow cuts at 8000."""
OWN_FILES = ("run.json", "study.json", "trials.json", "importances.json", "references.json",
             "best.yaml")  # fmt: skip
TRIAL_FILES = ("run.json", "metrics.jsonl", "looks.json")


def sweep_records(content: ReportContent) -> Iterator[RunRecord]:
    """Each search, followed by its trials."""
    for sweep in content.sweeps:
        yield _sweep(content, sweep)
        for trial in sweep.trials:
            if trial.state in STATUSES:
                yield _trial(content.root, sweep, trial)


def _key(sweep: Sweep) -> str:
    return f"sweep/{sweep.name}"


def _sweep(content: ReportContent, sweep: Sweep) -> RunRecord:
    folder = content.root / "sweeps" / sweep.name
    card = read_optional(folder / "run.json", {})
    files = existing({name: folder / name for name in OWN_FILES})
    return RunRecord(
        key=_key(sweep),
        name=_key(sweep),
        kind=SWEEP,
        status="done",
        tags=filled(_sweep_tags(sweep) | {
            "tadsr.digest": card.get("recipe_digest"),
            NOTE: _note(content, sweep),
        }),
        params=_sweep_params(sweep),
        points=tuple(_best_so_far(sweep)),
        datasets=tuple(uses(content.root, {"train": "train", "val": "validation"})),
        files={**files, **_figures(content.root, sweep)},
        tables=_tables(content.root, sweep),
        **times(folder / "trials.json", card.get("seconds")),
    )  # fmt: skip


def _sweep_tags(sweep: Sweep) -> dict[str, str]:
    budget = sweep.spec.budget
    asked = {"trials": budget.trials, "hours": budget.hours}
    return {
        "tadsr.sweep": sweep.name,
        "tadsr.trials": str(len(sweep.trials)),
        **{f"tadsr.{state}": str(sweep.states[state]) for state in STATES},
        "tadsr.budget": ", ".join(f"{n:g} {unit}" for unit, n in asked.items() if n),
        "tadsr.picked": ", ".join(f"{which}: trial {n}" for n, which in sweep.picked.items()),
        "tadsr.unverified": ", ".join(sorted(sweep.doubted)),
    }


def _sweep_params(sweep: Sweep) -> dict[str, str]:
    """What the search is, which more trials do not change."""
    spec = sweep.spec
    space = {
        f"space.{key}": _text(parameter.model_dump(mode="json", exclude_defaults=True))
        for key, parameter in spec.space.items()
    }
    bounds = {f"constraint.{c.metric.id}": f"{c.margin:g}" for c in spec.constraints}
    return {
        "sweep": sweep.name,
        "base": sweep.base,
        "seed": str(spec.seed),
        "objectives": ", ".join(f"{m.id} ({m.direction} is better)" for m in sweep.objectives),
        "sampler": spec.sampler.kind,
        "pruner": spec.pruning.kind,
        **bounds,
        **space,
    }


def _best_so_far(sweep: Sweep) -> Iterator[Point]:
    """Of each objective, at the number of the trial, among those that keep the constraints."""
    for metric in sweep.objectives:
        best: float | None = None
        for trial in sweep.complete:
            if trial.feasible:
                value = trial.values[metric.id]
                better = max if metric.higher_is_better else min
                best = value if best is None else better(best, value)
                yield Point(f"best/{_heading(sweep, metric)}", trial.number, best)


def _note(content: ReportContent, sweep: Sweep) -> str:
    """Markdown: what was searched and found, then found beside confirmed as far as it fits."""
    lines = [f"- **{heading}**: {as_markdown(text)}" for heading, text in facts(content, sweep)]
    note = "\n".join([as_markdown(sweep.spec.description), *lines]).strip()
    table = confirmed_table(sweep).to_markdown()
    return f"{note}\n\n{table}" if len(note) + len(table) < NOTE_LIMIT else note[:NOTE_LIMIT]


def _figures(root: Path, sweep: Sweep) -> dict[str, Path]:
    """Those of this search: behind its name stands one word, without a dash."""
    start = f"sweep-{sweep.name}-"
    paths = sorted((root / "report" / "figures").glob(f"{start}*"))
    return {f"figures/{path.name}": path for path in paths
            if "-" not in path.name.removeprefix(start)}  # fmt: skip


def _tables(root: Path, sweep: Sweep) -> dict[str, str]:
    paths = [root / "report" / "tables" / f"{name}.csv" for name in tables_of(sweep)]
    return {f"tables/{path.stem}.json": table_file(path) for path in paths if path.is_file()}


def _trial(root: Path, sweep: Sweep, trial: SweepTrial) -> RunRecord:
    folder = root / "sweeps" / sweep.name
    own = folder / "trials" / trial.run if trial.run else None
    card = read_optional(own / "run.json", {}) if own else {}
    last = own / "run.json" if own and card else folder / "trials.json"
    key = f"{_key(sweep)}/trial-{trial.number}"
    return RunRecord(
        key=key,
        name=key,
        kind=TRIAL,
        status=STATUSES[trial.state],
        tags=filled(_trial_tags(sweep, trial) | {"tadsr.digest": card.get("recipe_digest")}),
        params={
            "sweep": sweep.name, "base": sweep.base, "seed": str(sweep.spec.seed),
            **{name: _text(value) for name, value in trial.settings.items()},
        },
        points=tuple(_trial_points(sweep, trial)),
        datasets=tuple(uses(root, {"train": "train", "val": "validation"})),
        files=existing({name: own / name for name in TRIAL_FILES}) if own else {},
        **times(last, card.get("seconds")),
        parent=_key(sweep),
    )  # fmt: skip


def _trial_tags(sweep: Sweep, trial: SweepTrial) -> dict[str, str]:
    return {
        "tadsr.sweep": sweep.name,
        "tadsr.trial": str(trial.number),
        "tadsr.state": trial.state,
        "tadsr.picked": sweep.picked.get(trial.number, ""),
        "tadsr.front": "yes" if trial.number in sweep.front else "",
        "tadsr.feasible": ("yes" if trial.feasible else "no") if trial.violations else "",
        "tadsr.repeats": "" if trial.repeats is None else str(trial.repeats),
        "tadsr.message": trial.message[:MESSAGE_LIMIT],
        "tadsr.unverified": ", ".join(sorted(sweep.doubted)),
    }


def _trial_points(sweep: Sweep, trial: SweepTrial) -> Iterator[Point]:
    """Looks as curves; the objectives of complete trials under a name that others lack."""
    for metric in sweep.metrics:
        for images, value in trial.looks.get(metric.id, ()):
            yield Point(f"val/{_heading(sweep, metric)}", int(images), value)
        if metric.id in trial.values:
            yield Point(f"objective/{_heading(sweep, metric)}", 0, trial.values[metric.id])
    for constraint in sweep.spec.constraints:
        broken = trial.violations.get(constraint.name)
        if broken is not None:
            yield Point(f"violation/{_heading(sweep, constraint.metric)}", 0, broken)


def _heading(sweep: Sweep, metric: MetricSpec) -> str:
    """Numbers of unverified weights stand under a name of their own."""
    return metric.id + f"_{UNVERIFIED}" * (metric.id in sweep.doubted)


def _text(value: Any) -> str:
    if isinstance(value, Mapping):
        return json.dumps(dict(value), sort_keys=True)
    return value if isinstance(value, str) else json.dumps(value)
