"""What a reader of the tables must not miss: found in plain data, told in one sentence each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING

import numpy as np

from tadsr.compare.disagreement import disagreements
from tadsr.compare.results import Comparison, Summary

if TYPE_CHECKING:
    from tadsr.config.metrics import MetricSpec

UNSTABLE_LEVEL = 0.01
"""Chance of one or more false `unstable_seed` alarms in a (dataset, metric)."""


@dataclass(frozen=True)
class Alarm:
    """One thing to look at before believing a number."""

    kind: str
    """`diverged`, `perception_up_fidelity_down`, `perception_up_consistency_down`,
    `metrics_disagree`, `unstable_seed`, `copied_seeds` or `images_left_out`."""
    variant: str
    """Empty where it concerns several."""
    dataset: str
    """Empty where it concerns every data set."""
    metric: str
    """Empty where it concerns several metrics, or every one."""
    text: str


def find_alarms(
    comparisons: Sequence[Comparison],
    summaries: Sequence[Summary],
    *,
    metrics: Iterable[MetricSpec] = (),
    contents: Mapping[tuple[str, int], str] | None = None,
) -> list[Alarm]:
    """All alarms of `compare` and `summarize` results, in a fixed order.

    `metrics` are those asked for; what is not among them is looked up in
    `tadsr.config.metrics.METRICS`. A metric known to neither raises no alarm about trade-offs or
    orders. `contents` are digests of the networks by (variant, seed).
    """
    from tadsr.config.metrics import METRICS

    known = METRICS | {spec.id: spec for spec in metrics}
    return [
        *_diverged(summaries),
        *_trade_offs(comparisons, known),
        *_disagreements(comparisons, summaries, known),
        *_unstable_seeds(summaries),
        *_copied_seeds(summaries),
        *_copied_networks(contents or {}),
        *_images_left_out(comparisons),
    ]


def _diverged(summaries: Sequence[Summary]) -> Iterable[Alarm]:
    """One alarm per variant with diverged seeds."""
    counts = {s.variant: (s.diverged, s.seeds_total) for s in summaries if s.diverged}
    for variant, (some, total) in sorted(counts.items()):
        yield Alarm("diverged", variant, "", "", f"{variant}: diverged {some}/{total} seeds")


def _trade_offs(
    comparisons: Sequence[Comparison], known: Mapping[str, MetricSpec]
) -> Iterable[Alarm]:
    """No-reference metrics up while metrics against the HR image, or the LR input, go down.

    Up and down by the recipe interval; trained variants and metrics with verified weights only.
    """
    trained = [c for c in comparisons
               if c.seeds_total and c.metric in known and not c.unverified]  # fmt: skip
    trained.sort(key=lambda c: (c.dataset, c.variant, c.metric))
    for (dataset, variant), group in groupby(trained, key=lambda c: (c.dataset, c.variant)):
        members = list(group)
        free = [c for c in members if not known[c.metric].needs_reference]
        up = [c.metric for c in free if _moved(c, better=True)]
        down = [c.metric for c in members if _moved(c, better=False)]
        head = f"{variant} on {dataset}: {', '.join(up)} improved while"
        hr = [metric for metric in down if known[metric].needs_hr]
        lr = [metric for metric in down if known[metric].needs_lr]
        if up and hr:
            text = (
                f"{head} {', '.join(hr)} got worse; look at the images for detail that the "
                "reference does not have"
            )
            yield Alarm("perception_up_fidelity_down", variant, dataset, "", text)
        if up and lr:
            text = (
                f"{head} {', '.join(lr)} got worse: reduced again, its images agree less with "
                "their LR inputs; where these were made by plain bicubic, look for detail that "
                "they do not support"
            )
            yield Alarm("perception_up_consistency_down", variant, dataset, "", text)


def _disagreements(
    comparisons: Sequence[Comparison],
    summaries: Sequence[Summary],
    known: Mapping[str, MetricSpec],
) -> Iterable[Alarm]:
    """One alarm for all pairs of metrics that disagree on the trained variants' order."""
    trained = [s for s in summaries if s.seeds_total and s.metric in known]
    found = disagreements(
        trained,
        directions={metric: spec.direction for metric, spec in known.items()},
        leave_out={c.metric for c in comparisons if c.unverified},
    )
    if not found:
        return
    places = [
        f"{dataset}: " + ", ".join(
            f"{' and '.join(d.metrics)} {d.opposed} of {d.opposed + d.agreed} (tau {d.tau:+.2f})"
            for d in of
        )
        for dataset, of in groupby(found, key=lambda d: d.dataset)
    ]  # fmt: skip
    most = max(found, key=lambda d: d.opposed)
    text = (
        "metrics disagree on the order of the trained variants. Pairs of variants in opposite "
        "orders, of those that both metrics tell apart beyond the scatter of seeds (Kendall's tau "
        f"over all variants): {'; '.join(places)}. For example on {most.dataset}, "
        f"{most.example[0]} is better than {most.example[1]} by {most.metrics[0]}, and worse by "
        f"{most.metrics[1]}: between such variants the choice of the metric decides"
    )
    yield Alarm("metrics_disagree", "", found[0].dataset if len(places) == 1 else "", "", text)


def _moved(comparison: Comparison, *, better: bool) -> bool:
    """Whether the whole recipe interval lies on the better (or worse) side of 0."""
    low, high = comparison.low, comparison.high
    if low is None or high is None or comparison.higher_is_better is None:
        return False
    return low > 0 if comparison.higher_is_better == better else high < 0


def _unstable_seeds(summaries: Sequence[Summary]) -> Iterable[Alarm]:
    """A seed far from its variant's other seeds, measured by the scatter of all other seeds.

    With three seeds one cannot stand out from its own two siblings, so the scatter is pooled
    within all variants of the (dataset, metric), leaving the seed itself out (a deleted-residual
    t test, Bonferroni over the seeds tested).
    """
    from scipy.special import stdtr

    seeded = sorted(
        (s for s in summaries if s.n_seeds >= 2), key=lambda s: (s.dataset, s.metric, s.variant)
    )
    for _, group in groupby(seeded, key=lambda s: (s.dataset, s.metric)):
        members = list(group)
        squares = {s.variant: _squares([item.mean for item in s.per_seed]) for s in members}
        pooled, df = sum(squares.values()), sum(s.n_seeds - 1 for s in members) - 1
        tested = [s for s in members if s.n_seeds >= 3]
        limit = UNSTABLE_LEVEL / max(1, sum(s.n_seeds for s in tested))
        for summary in tested:
            for item in summary.per_seed:
                rest = [other.mean for other in summary.per_seed if other is not item]
                distance = item.mean - float(np.mean(rest))
                within = pooled - squares[summary.variant] + _squares(rest)
                error = float(np.sqrt(within / df * (1 + 1 / len(rest))))
                p_value = 2 * stdtr(df, -abs(distance) / error) if error else float(distance == 0)
                if p_value < limit:
                    yield _unstable(summary, item.seed, distance, error)


def _squares(values: Sequence[float]) -> float:
    """Sum of squared deviations from the mean."""
    return float(np.var(values) * len(values))


def _unstable(summary: Summary, seed: int, distance: float, error: float) -> Alarm:
    """The alarm of one seed."""
    size = f", {abs(distance) / error:.1f} standard errors" if error else ""
    text = (
        f"{summary.variant} seed {seed} on {summary.dataset} by {summary.metric}: its mean lies "
        f"{distance:+.4g} from the other seeds'{size}; look at its training curves"
    )
    return Alarm("unstable_seed", summary.variant, summary.dataset, summary.metric, text)


def _copied_seeds(summaries: Sequence[Summary]) -> Iterable[Alarm]:
    """Seeds with the same scores on every image: one run under two names."""
    for s in sorted(summaries, key=lambda s: (s.dataset, s.metric, s.variant)):
        if s.distinct_seeds < s.n_seeds:
            text = (
                f"{s.variant} on {s.dataset} by {s.metric}: {s.n_seeds} seeds hold only "
                f"{s.distinct_seeds} different sets of scores; copies are no replicates"
            )
            yield Alarm("copied_seeds", s.variant, s.dataset, s.metric, text)


def _copied_networks(contents: Mapping[tuple[str, int], str]) -> Iterable[Alarm]:
    """The same weights under two seeds, which sampling noise of their own hides from the scores."""
    for variant, group in groupby(sorted(contents.items()), key=lambda item: item[0][0]):
        digests = [digest for _, digest in group]
        if len(set(digests)) < len(digests):
            text = (
                f"{variant}: {len(digests)} seeds hold only {len(set(digests))} different "
                "networks; copies are no replicates of a training"
            )
            yield Alarm("copied_seeds", variant, "", "", text)


def _images_left_out(comparisons: Sequence[Comparison]) -> Iterable[Alarm]:
    """Comparisons that not every image of the data set entered."""
    for c in sorted(comparisons, key=lambda c: (c.dataset, c.metric, c.variant)):
        if c.images_left_out:
            text = (
                f"{c.variant} against {c.reference} on {c.dataset} by {c.metric}: "
                f"{c.images_left_out} of {c.n_images + c.images_left_out} images lack a score "
                "and were left out; evaluate again"
            )
            yield Alarm("images_left_out", c.variant, c.dataset, c.metric, text)
