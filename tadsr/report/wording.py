"""Numbers and sentences as readers see them; the plain-words summary of a report."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

from tadsr.compare import UNVERIFIED
from tadsr.compare.results import Comparison
from tadsr.report.content import ReportContent
from tadsr.report.merging import merged
from tadsr.report.reading import NOT_MEASURED
from tadsr.report.table import GAP, Tone

TEMPLATES = Path(__file__).resolve().parents[2] / "reports"
"""Templates, captions and the figures' style, in the repository's root."""

TONES: Mapping[str, Tone] = {
    "better": "good", "worse": "bad", "no difference shown": "muted", "under-powered": "warn",
    UNVERIFIED: "warn", NOT_MEASURED: "warn",
    "done": "", "diverged": "warn", "failed": "bad", "missing": "bad",
}  # fmt: skip
"""The tone of verdict words and of the states of a cell."""


MEANINGS: Mapping[str, str] = {
    "better": "the seeds support that the variant is better than the reference. Holm's adjusted p "
    "over all declared comparisons is at most 0.05, so the chance of one or more false words in "
    "this report is at most 5 %.",
    "worse": "the seeds support that the variant is worse than the reference; as for better.",
    "no difference shown": "the seeds could have shown a difference worth knowing, and did not. "
    "It does not mean equal.",
    "under-powered": "the seeds show no difference, and are too few to show one of the size worth "
    "knowing; or they favour the one that diverged more often. It speaks neither for nor against a "
    "variant.",
}
"""What each verdict word says."""


@dataclass(frozen=True)
class Statement:
    """A verdict with its numbers and, where there is one, what to know before using it."""

    word: str
    tone: Tone
    variant: str
    numbers: str
    caveats: str

    @property
    def text(self) -> str:
        """All of it in one line."""
        tail = f" ({self.caveats})" if self.caveats else ""
        return f"{self.word}: {self.variant} {self.numbers}{tail}"


@dataclass(frozen=True)
class EndpointVerdicts:
    """A declared endpoint in words, with one statement per variant."""

    title: str
    statements: tuple[Statement, ...]


@lru_cache(maxsize=1)
def _captions() -> dict[str, dict[str, str]]:
    text = (TEMPLATES / "captions.yaml").read_text(encoding="utf-8")
    captions: dict[str, dict[str, str]] = yaml.safe_load(text)
    return captions


def caption(group: str, name: str, **values: Any) -> str:
    """The caption of a table or figure (`group` is `tables` or `figures`), filled in."""
    return _captions()[group][name].format(**values).strip()


def number(value: float | None, decimals: int, *, sign: bool = False) -> str:
    """A number with a true minus sign; a gap for None."""
    if value is None:
        return GAP
    text = f"{value:{'+' if sign else ''}.{decimals}f}"
    return text.replace("-", "−")


def decimals_for(value: float | None, significant: int = 3) -> int:
    """Decimals that show `value` with so many significant digits (at most 8)."""
    if not value:
        return significant
    return min(8, max(0, significant - 1 - math.floor(math.log10(abs(value)))))


def half_text(half: float | None, decimals: int) -> str:
    """What stands after ±; where `decimals` would show 0, the first digit that is not."""
    if half is None:
        return ""
    shows = half == 0 or round(half, decimals)
    return number(half, decimals if shows else decimals_for(half, 1))


def p_text(p_value: float | None) -> str:
    """A p value; below 0.001 as a bound."""
    if p_value is None:
        return GAP
    return "<0.001" if p_value < 0.001 else f"{p_value:.3f}"


def duration(seconds: float | None) -> str:
    """Seconds as `48 s`, `2.4 min`, `12 min` or `3.4 h`."""
    if seconds is None:
        return GAP
    if seconds < 120:
        return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.1f} s"
    if seconds < 7200:
        return f"{seconds / 60:.1f} min" if seconds < 600 else f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"


PREFIXES = {4: "T", 3: "G", 2: "M", 1: "k", 0: "", -1: "m", -2: "µ"}
"""By power of 1000."""


def quantity(value: float | None, unit: str = "") -> str:
    """A number of three significant digits with a prefix: `2.25 G`, `40.3 ms`, `15.6 MB`."""
    if not value:
        return GAP if value is None else f"0 {unit}".strip()
    rounded = float(f"{value:.3g}")
    power = min(max(math.floor(math.log10(rounded) / 3), min(PREFIXES)), max(PREFIXES))
    scaled = rounded / 1000.0**power
    places = max(0, 2 - math.floor(math.log10(scaled)))
    return f"{scaled:.{places}f} {PREFIXES[power]}{unit}".strip()


def count(amount: int, noun: str) -> str:
    """`1 image`, `12 images`."""
    return f"{amount} {noun}" if amount == 1 else f"{amount} {noun}s"


def primary_comparisons(content: ReportContent) -> tuple[Comparison, ...]:
    """The declared comparisons, in the order of the tables."""
    return tuple(c for c in content.comparisons if c.primary)


def endpoints(content: ReportContent) -> list[EndpointVerdicts]:
    """The declared endpoints with the verdict on every variant, in the experiment's order."""
    groups: dict[tuple[str, str], list[Comparison]] = {}
    for c in primary_comparisons(content):
        groups.setdefault((c.dataset, c.metric), []).append(c)
    found = []
    for (dataset, metric), group in groups.items():
        spec = content.metric(metric)
        images = count(max(c.n_images for c in group), "image")
        margin = next(e.margin for e in content.experiment.primary
                      if (e.dataset, e.metric) == (dataset, metric))  # fmt: skip
        worth = f", worth knowing from {margin:g} on" if margin is not None else ""
        title = f"{spec.title} on {dataset} ({spec.direction} is better, {images}{worth})"
        if metric in content.missing:
            title += f": {content.missing[metric]}"
        verdicts = tuple(_statement(c, spec.decimals) for c in group)
        found.append(EndpointVerdicts(title, verdicts))
    return found


def _statement(c: Comparison, decimals: int) -> Statement:
    word = c.verdict or "no verdict"
    numbers = "has no score in common with the reference"
    if c.delta is not None:
        numbers = number(c.delta, decimals, sign=True)
        if c.low is not None:
            low, high = (number(bound, decimals, sign=True) for bound in (c.low, c.high))
            numbers += f" [{low}, {high}]"
        holm = p_text(c.p_adjusted)
        if not c.unverified:
            numbers += f", Holm p {holm if holm.startswith('<') else '= ' + holm}"
        numbers += f", {count(c.n_seeds, 'seed')}"
    return Statement(
        word, TONES.get(word, ""), c.variant, numbers, "; ".join(_caveats(c, decimals))
    )


def _caveats(c: Comparison, decimals: int) -> Iterator[str]:
    if c.unverified:
        yield "weights that are not known to be the official ones"
    if c.diverged:
        yield f"{c.diverged} of {count(c.seeds_total, 'seed')} diverged"
    if c.reference_diverged:
        yield f"{count(c.reference_diverged, 'seed')} of {c.reference} diverged"
    if c.verdict and c.favours_diverged:
        yield "no word in favour of the one that diverged more often"
    if c.images_left_out:
        yield f"{count(c.images_left_out, 'image')} left out"
    if c.distinct_seeds < c.n_seeds:
        yield f"only {c.distinct_seeds} seeds differ, the others are copies"
    if c.verdict in ("no difference shown", "under-powered") and c.smallest_effect is not None:
        smallest = number(c.smallest_effect, decimals)
        yield f"these seeds show differences from {smallest} on with 80 % power"
    if c.verdict == "under-powered" and (c.seeds_for_margin or 0) > c.n_seeds:
        margin = number(c.margin, decimals)
        yield f"{c.seeds_for_margin} seeds would show the margin of {margin}"
    if c.verdict == "under-powered" and c.seeds_needed is not None and c.seeds_needed > c.n_seeds:
        yield f"{c.seeds_needed} seeds would do if the difference is as observed"


def headline(content: ReportContent) -> str:
    """The outcome of all declared comparisons in one sentence."""
    if not content.experiment.primary:
        return (
            "No primary endpoint was declared, so this report makes no claim; "
            "all comparisons are exploratory."
        )
    found = Counter(c.verdict or "no verdict" for c in primary_comparisons(content))
    if not found:
        return "There is no comparison at the declared primary endpoints yet."
    words = [f"{found[word]} {word}" for word in (*TONES, "no verdict") if found[word]]
    total = count(sum(found.values()), "declared comparison")
    return f"Of {total} with {content.reference}: {', '.join(words)}."


def meanings(content: ReportContent) -> list[tuple[str, str]]:
    """The verdict words of this report, each with what it says."""
    found = {c.verdict for c in primary_comparisons(content)}
    return [(word, meaning) for word, meaning in MEANINGS.items() if word in found]


def conditions(content: ReportContent) -> list[str]:
    """What the numbers are conditional on: seeds, teacher, target pool, test images."""
    experiment = content.experiment
    training, targets = experiment.student.training, experiment.targets
    pools = sorted(name for name in content.runs if name.startswith("targets/"))
    digest = str(content.runs.get("teacher", {}).get("content", ""))[:12]
    teacher = f"one teacher (model {digest})" if digest else "one teacher"
    source = f"trained with seed {experiment.teacher.training.seed}"
    if experiment.teacher.imported:
        source = f"imported ({experiment.teacher.weights}) and not trained here"
    stored = targets.mode == "stored"
    answers = count(targets.pairs, "stored teacher answer" if stored else "teacher answer")
    when = "" if stored else "computed in each training step; "
    sizes = ", ".join(f"{d.name} ({count(d.n_images, 'image')})" for d in content.datasets)
    reuse = training.images / targets.pairs
    samplers = sorted({content.cell(variant).targets.sampler for variant in content.variants})
    own = "the training pairs, " if targets.per_seed else ""
    shared = "one for each seed" if targets.per_seed else "shared by the seeds"
    return [
        f"{count(len(experiment.seeds), 'seed')} per variant "
        f"({', '.join(str(seed) for seed in experiment.seeds)}). A seed sets {own}the order of "
        "the training pairs, the noise in the losses, the discriminator's initial weights and the "
        "sampling noise of the evaluation. Variants share all of these within a seed, so "
        "differences are paired.",
        f"All students start from and imitate {teacher}, {source}. No seed varies the teacher, so "
        "every verdict is conditional on it: with another teacher the results may differ.",
        f"{count(max(len(pools), 1), 'pool')} of {answers} "
        f"({_contents(content, pools)}{when}{' or '.join(samplers)} sampler, seed {targets.seed}), "
        f"{shared}. A student sees {training.images} images, so it meets each answer about "
        f"{reuse:.3g} times (base settings).",
        *merged(content.root),
        f"Test sets: {sizes}. Intervals over seeds say how repeatable a recipe is on exactly "
        "these images. Models without seeds have the sampling noise of seed 0.",
    ]


def _contents(content: ReportContent, runs: list[str], shown: int = 3) -> str:
    """The content digests of some runs, for the sentence that names them."""
    digests = [str(content.runs[name].get("content", ""))[:12] for name in runs]
    known = [digest for digest in digests if digest]
    more = f" and {len(known) - shown} more, see the run cards" if len(known) > shown else ""
    return f"content {', '.join(known[:shown])}{more}; " if known else ""


def problems(content: ReportContent) -> list[str]:
    """Diverged cells, missing metrics and unverified weights, one line each."""
    found = [
        f"{cell.name} diverged" + (f": {cell.message}" if cell.message else "")
        for cell in content.cells
        if cell.status == "diverged"
    ]
    for metric, reason in content.missing.items():
        found.append(f"{metric} is missing: {reason}")
    for spec in content.metrics:
        if content.unverified(spec.id):
            found.append(
                f"{spec.title} was computed with weights that are not known to be the official "
                "ones: its numbers are marked wherever they stand, and no verdict rests on them; "
                "tadsr weights list shows what is known of each file"
            )
    return found


def environments(content: ReportContent) -> str:
    """The versions that all runs were made with, and where they differ."""
    found: dict[str, Counter[str]] = {}
    for card in content.runs.values():
        for name, version in card.get("environment", {}).items():
            found.setdefault(name, Counter())[str(version)] += 1
    parts = [
        f"{name} {versions.most_common(1)[0][0]}" if len(versions) == 1 else
        f"{name} " + " or ".join(f"{v} ({count(n, 'run')})" for v, n in sorted(versions.items()))
        for name, versions in sorted(found.items())
    ]  # fmt: skip
    return ", ".join(parts)


def reproduce(content: ReportContent) -> list[tuple[str, str]]:
    """Commands that make this report again, each with what it does."""
    frozen = f"results/{content.experiment.name}/experiment.json"
    return [
        (f"tadsr run {frozen}", "everything, from data to this page"),
        (f"tadsr status {frozen}", "where each cell of the grid stands"),
        (f"tadsr compare {frozen}", "statistics and verdicts from the stored scores"),
        (f"tadsr report {frozen}", "this page from the stored statistics"),
    ]
