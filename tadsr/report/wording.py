"""Numbers and sentences as readers see them; the plain-words summary of a report."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

from tadsr.compare.results import Comparison
from tadsr.config import MetricSpec
from tadsr.report.content import ReportContent
from tadsr.report.table import GAP, Tone

TEMPLATES = Path(__file__).resolve().parents[2] / "reports"
"""Templates, captions and the figures' style, in the repository's root."""

TONES: Mapping[str, Tone] = {
    "better": "good", "worse": "bad", "no difference shown": "muted", "under-powered": "warn",
    "done": "", "diverged": "warn", "failed": "bad", "missing": "bad",
}  # fmt: skip
"""The tone of verdict words and of the states of a cell."""


@dataclass(frozen=True)
class Statement:
    """A verdict word with its sentence."""

    word: str
    tone: Tone
    text: str


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


def p_text(p_value: float | None) -> str:
    """A p value; below 0.001 as a bound."""
    if p_value is None:
        return GAP
    return "<0.001" if p_value < 0.001 else f"{p_value:.3f}"


def duration(seconds: float | None) -> str:
    """Seconds as `48 s`, `12 min` or `3.4 h`."""
    if seconds is None:
        return GAP
    if seconds < 120:
        return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.1f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def count(amount: int, noun: str) -> str:
    """`1 image`, `12 images`."""
    return f"{amount} {noun}" if amount == 1 else f"{amount} {noun}s"


def primary_comparisons(content: ReportContent) -> tuple[Comparison, ...]:
    """The declared comparisons, in the order of the tables."""
    return tuple(c for c in content.comparisons if c.primary)


def statements(content: ReportContent) -> list[Statement]:
    """One sentence per declared comparison, as `tadsr compare` worded it."""
    return [
        Statement(word, TONES.get(word, ""), c.text)
        for c in primary_comparisons(content)
        for word in (c.verdict or "no verdict",)
    ]


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


def conditions(content: ReportContent) -> list[str]:
    """What the numbers are conditional on: seeds, teacher, target pool, test images."""
    experiment = content.experiment
    training, targets = experiment.student.training, experiment.targets
    pools = sum(name.startswith("targets/") for name in content.runs)
    digest = str(content.runs.get("teacher", {}).get("content", ""))[:12]
    teacher = f"one teacher (model {digest})" if digest else "one teacher"
    sizes = ", ".join(f"{d.name} ({count(d.n_images, 'image')})" for d in content.datasets)
    reuse = training.images / targets.pairs
    return [
        f"{count(len(experiment.seeds), 'seed')} per variant "
        f"({', '.join(str(seed) for seed in experiment.seeds)}). A seed sets the order of the "
        "training pairs, the noise in the losses and the discriminator's initial weights. "
        "Variants share all of these within a seed, so differences are paired.",
        f"All students start from and imitate {teacher}, trained with seed "
        f"{experiment.teacher.training.seed}. The teacher was not varied: with another teacher "
        "the results may differ.",
        f"{count(max(pools, 1), 'pool')} of {count(targets.pairs, 'stored teacher answer')} "
        f"({targets.sampler} sampler, seed {targets.seed}), shared by the seeds. A student sees "
        f"{training.images} images, so it meets each answer about {reuse:.3g} times "
        "(base settings).",
        f"Test sets: {sizes}. Intervals over seeds say how repeatable a recipe is on exactly "
        "these images.",
    ]


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
        if unverified(content, spec):
            found.append(f"{spec.title} was computed with weights of unverified origin")
    return found


def unverified(content: ReportContent, metric: MetricSpec) -> bool:
    """Whether a metric used weights that were not matched with an official digest."""
    card = content.cards.get(metric.id)
    return bool(metric.weights) and card is not None and card.get("verified") is not True


def reproduce(content: ReportContent) -> list[tuple[str, str]]:
    """Commands that make this report again, each with what it does."""
    frozen = f"results/{content.experiment.name}/experiment.json"
    return [
        (f"tadsr run {frozen}", "everything, from data to this page"),
        (f"tadsr verify {frozen}", "check that stored results still match their run cards"),
        (f"tadsr compare {frozen}", "statistics and verdicts from the stored scores"),
        (f"tadsr report {frozen}", "this page from the stored statistics"),
    ]
