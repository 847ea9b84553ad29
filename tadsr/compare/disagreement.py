"""Metrics that put the trained variants in opposite orders, where seeds tell the variants apart.

Two metrics always disagree on differences that are noise. So only those pairs of variants count
that *both* metrics tell apart beyond the scatter of seeds: Tukey's honestly significant
difference over all pairs of variants, with the residual of the two-way layout variants x seeds
(seeds pair the variants, so what a seed does to all of them is taken out). That scatter is pooled
over the variants, which is what makes it known with three seeds; it takes them to scatter alike,
which is good enough for an alarm and would not be for a verdict.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations, groupby

import numpy as np
from numpy.typing import NDArray

from tadsr.compare.claims import Floats
from tadsr.compare.comparison import direction_of
from tadsr.compare.ranks import kendall_tau
from tadsr.compare.results import Summary

LEVEL = 0.01
"""Chance that a metric by which all variants are alike tells any two of them apart."""
FEWEST = 3
"""Pairs of variants in opposite orders from which on two metrics disagree on an order; of fewer
variants than three, their only pair."""


@dataclass(frozen=True)
class Disagreement:
    """Two metrics of a data set that mostly oppose each other where both are sure."""

    dataset: str
    metrics: tuple[str, str]
    variants: int
    """Trained variants that both metrics have."""
    tau: float
    """Kendall's tau-b over the means of all these variants; differences in noise count, too."""
    opposed: int
    """Pairs of variants that both metrics tell apart, and order differently."""
    agreed: int
    """Pairs of variants that both metrics tell apart, and order alike."""
    example: tuple[str, str]
    """(better by the first metric, better by the second one): the pair with the largest differences
    in units of what can be told apart."""


def disagreements(
    summaries: Sequence[Summary],
    *,
    directions: Mapping[str, str] | None = None,
    leave_out: Collection[str] = (),
) -> list[Disagreement]:
    """Every pair of metrics that opposes more pairs of variants than it agrees on, by data set.

    At least `FEWEST` pairs of variants, or all there are: one pair of many is no order.
    `summaries` and `directions` are those of `summarize` and `compare`; metrics of `leave_out`
    take no part, nor those whose better direction nobody knows.
    """
    found: list[Disagreement] = []
    order = sorted(summaries, key=lambda s: (s.dataset, s.metric, s.variant))
    for dataset, members in groupby(order, key=lambda s: s.dataset):
        gains = {}
        for metric, of in groupby(members, key=lambda s: s.metric):
            higher = direction_of(metric, directions or {})
            if higher is not None and metric not in leave_out:
                gains[metric] = _gains(list(of), higher)
        for pair in combinations(gains, 2):
            found += _opposed(dataset, pair, *(gains[metric] for metric in pair))
    return found


def told_apart(table: Floats, level: float = LEVEL) -> Floats:
    """Differences of the rows' means in units of Tukey's honestly significant difference.

    `table` holds (variants, seeds) >= (2, 2). The result is (variants, variants), row minus column;
    beyond 1 in size, two variants are told apart, over all pairs at `level`. Where seeds leave no
    residual at all, every difference is.
    """
    variants, seeds = table.shape
    mean = table.mean(axis=1)
    difference = mean[:, None] - mean[None, :]
    residual = table - mean[:, None] - table.mean(axis=0) + table.mean()
    df = (variants - 1) * (seeds - 1)
    variance = float((residual**2).sum()) / df
    unit = _studentized(variants, df, level) * np.sqrt(variance / seeds)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.where(difference == 0, 0.0, difference / unit))


@lru_cache(maxsize=256)
def _studentized(groups: int, df: int, level: float) -> float:
    """The quantile of the studentized range."""
    from scipy.stats import studentized_range

    return float(studentized_range.ppf(1 - level, groups, df))


def _gains(summaries: Sequence[Summary], higher: bool) -> dict[str, dict[int, float]]:
    """Trained variant to seed to mean, signed so that more is better; over the same images."""
    images = max(s.n_images for s in summaries)
    sign = 1 if higher else -1
    return {
        s.variant: {item.seed: sign * item.mean for item in s.per_seed}
        for s in summaries
        if s.n_seeds >= 2 and s.n_images == images
    }


def _opposed(
    dataset: str,
    metrics: tuple[str, str],
    one: Mapping[str, Mapping[int, float]],
    other: Mapping[str, Mapping[int, float]],
) -> Iterator[Disagreement]:
    names = [name for name in one if name in other]
    if len(names) < 2:
        return
    seeds = sorted(set.intersection(*(set(of[name]) for of in (one, other) for name in names)))
    if len(seeds) < 2:
        return
    tables = [np.array([[of[name][seed] for seed in seeds] for name in names])
              for of in (one, other)]  # fmt: skip
    first, second = (told_apart(table) for table in tables)
    opposed, agreed = (_sure(first, sign * second) for sign in (-1, 1))
    enough = min(FEWEST, len(names) * (len(names) - 1) // 2)
    if opposed.sum() <= agreed.sum() or opposed.sum() < enough:
        return
    size = np.where(opposed, np.minimum(np.abs(first), np.abs(second)), -1.0)
    best = np.unravel_index(int(np.argmax(size)), size.shape)
    yield Disagreement(
        dataset=dataset,
        metrics=metrics,
        variants=len(names),
        tau=kendall_tau(*(table.mean(axis=1) for table in tables)) or 0.0,
        opposed=int(opposed.sum()),
        agreed=int(agreed.sum()),
        example=(names[best[0]], names[best[1]]),
    )


def _sure(first: Floats, second: Floats) -> NDArray[np.bool_]:
    """Where both are beyond 1, in the same direction: (row, column) with the row the better one."""
    return np.asarray((first > 1) & (second > 1))
