"""How metrics rank upscalers, and how seeds rank variants: plain data in, plain data out.

`rank_correlation`: do two metrics order the same upscalers alike? Kendall's tau-b over their means.

`average_ranks`: Friedman's test and Nemenyi's critical difference (Demsar, Journal of Machine
Learning Research 7, 2006) over the trained variants. The blocks are *training seeds*: within one,
variants share data order and noise, and it is the seed that stands for a new run of the recipe.
Images as blocks would call two runs of one recipe different; data sets or metrics as blocks would
count one and the same network several times. So few seeds give a wide critical difference, as they
should.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby

import numpy as np

from tadsr.compare.claims import CONFIDENCE, Floats
from tadsr.compare.comparison import direction_of
from tadsr.compare.results import Summary


@dataclass(frozen=True)
class RankCorrelation:
    """Kendall's tau-b between the metrics of a data set, over the upscalers that have all."""

    dataset: str
    metrics: tuple[str, ...]
    """Those with a known direction, in alphabetical order."""
    upscalers: tuple[str, ...]
    """In alphabetical order."""
    tau: tuple[tuple[float | None, ...], ...]
    """(metrics, metrics); 1: both metrics put the upscalers in one order from worst to best, -1: in
    opposite orders. None where a metric has the same mean for all upscalers."""
    left_out: tuple[str, ...]
    """Upscalers that lack one of the metrics, or have it on fewer images than others."""


@dataclass(frozen=True)
class AverageRanks:
    """Average ranks of the trained variants at one (dataset, metric); rank 1 is the best."""

    dataset: str
    metric: str
    variants: tuple[str, ...]
    """From the best to the worst average rank."""
    ranks: tuple[float, ...]
    """(variants,), mean over the seeds; equal means share their ranks' mean."""
    n_seeds: int
    """Blocks: seeds that every variant has, or has lost to a divergence (which ranks last)."""
    statistic: float
    """Friedman's chi-squared, corrected for ties."""
    p_value: float
    """Of `statistic`, with len(variants) - 1 degrees of freedom: that all variants are alike."""
    critical_difference: float
    """Nemenyi: average ranks closer than this are not told apart at 5 % over all pairs."""
    groups: tuple[tuple[str, ...], ...]
    """The longest runs of variants that are not told apart, two or more each, from the best."""
    left_out: tuple[str, ...]
    """Variants without a score, or with other images than the rest."""


def rank_correlation(
    summaries: Sequence[Summary], *, directions: Mapping[str, str] | None = None
) -> list[RankCorrelation]:
    """One per data set with at least two metrics on at least two upscalers.

    `summaries` are those of the upscalers to be ranked; `directions` is that of `compare`. Tells
    nothing about noise: two metrics may disagree on differences that no seed would repeat.
    """
    found = []
    for (dataset,), members in _by(summaries, "dataset"):
        most: dict[str, int] = {}
        for s in members:
            most[s.metric] = max(s.n_images, most.get(s.metric, 0))
        means = {(s.metric, s.variant): s.mean for s in members
                 if s.mean is not None and s.n_images == most[s.metric]}  # fmt: skip
        higher = {m: direction_of(m, directions or {}) for m in sorted({m for m, _ in means})}
        metrics = [metric for metric, known in higher.items() if known is not None]
        names = sorted({s.variant for s in members})
        whole = [name for name in names if all((metric, name) in means for metric in metrics)]
        if len(metrics) < 2 or len(whole) < 2:
            continue
        table = np.array([[means[metric, name] * (1 if higher[metric] else -1) for name in whole]
                          for metric in metrics])  # fmt: skip
        tau = tuple(tuple(kendall_tau(one, other) for other in table) for one in table)
        lacking = tuple(name for name in names if name not in whole)
        found.append(RankCorrelation(dataset, tuple(metrics), tuple(whole), tau, lacking))
    return found


def kendall_tau(one: Floats, other: Floats) -> float | None:
    """Kendall's tau-b (Biometrika 33, 1945) of two arrays (n,); None if one of them is constant."""
    signs = [np.sign(values[:, None] - values[None, :]) for values in (one, other)]
    pairs = float(np.sqrt((signs[0] ** 2).sum() * (signs[1] ** 2).sum()))
    return float((signs[0] * signs[1]).sum()) / pairs if pairs else None


def average_ranks(
    summaries: Sequence[Summary],
    *,
    directions: Mapping[str, str] | None = None,
    diverged: Mapping[str, Collection[int]] | None = None,
) -> list[AverageRanks]:
    """One per (dataset, metric) with at least three trained variants and two common seeds.

    `summaries`, `directions` and `diverged` are those of `summarize` and `compare`. A seed counts
    where each variant has a score or diverged; a diverged seed takes the last rank. Exploratory:
    the ranks are not part of Holm's family, and no verdict rests on them.

    Raises:
        ValueError: a summary counts diverged seeds that `diverged` does not name.
    """
    found = []
    for (dataset, metric), members in _by(summaries, "dataset", "metric"):
        higher = direction_of(metric, directions or {})
        trained = sorted((s for s in members if s.seeds_total), key=lambda s: s.variant)
        if higher is None or not trained:
            continue
        losses = {s.variant: _losses(s, higher, (diverged or {}).get(s.variant, ()))
                  for s in trained if _comparable(s, trained)}  # fmt: skip
        seeds = sorted(set.intersection(*(set(of) for of in losses.values()))) if losses else []
        if len(losses) < 3 or len(seeds) < 2:
            continue
        table = np.array([[of[seed] for of in losses.values()] for seed in seeds])
        lacking = tuple(s.variant for s in trained if s.variant not in losses)
        found.append(_ranked(dataset, metric, list(losses), table, lacking))
    return found


def _by(summaries: Sequence[Summary], *names: str) -> list[tuple[tuple[str, ...], list[Summary]]]:
    """The summaries by the values of these fields, sorted by them."""

    def key(summary: Summary) -> tuple[str, ...]:
        return tuple(getattr(summary, name) for name in names)

    return [(at, list(members)) for at, members in groupby(sorted(summaries, key=key), key=key)]


def _comparable(summary: Summary, trained: Sequence[Summary]) -> bool:
    """Whether its means are over the images of the others, or all its seeds diverged."""
    if summary.diverged == summary.seeds_total:
        return True
    return summary.n_seeds > 0 and summary.n_images == max(s.n_images for s in trained)


def _losses(summary: Summary, higher: bool, diverged: Collection[int]) -> dict[int, float]:
    """Seed to a number that is small for a good run, infinite for a diverged one."""
    if summary.diverged > len(diverged):
        raise ValueError(f"{summary.variant}: {summary.diverged} seeds diverged; name them all")
    signed = {item.seed: -item.mean if higher else item.mean for item in summary.per_seed}
    return signed | {seed: float("inf") for seed in diverged}


def _ranked(
    dataset: str, metric: str, names: list[str], losses: Floats, left_out: tuple[str, ...]
) -> AverageRanks:
    """Ranks of `losses` (seeds, variants)."""
    from scipy.special import chdtrc

    seeds, count = losses.shape
    ranks = np.array([_ranks(row) for row in losses])
    mean = ranks.mean(axis=0)
    order = np.argsort(mean, kind="stable")
    statistic = friedman(ranks)
    difference = critical_difference(count, seeds)
    best_first = [names[at] for at in order]
    return AverageRanks(
        dataset=dataset,
        metric=metric,
        variants=tuple(best_first),
        ranks=tuple(mean[order].tolist()),
        n_seeds=seeds,
        statistic=statistic,
        p_value=float(chdtrc(count - 1, statistic)),
        critical_difference=difference,
        groups=_groups(best_first, mean[order], difference),
        left_out=left_out,
    )


def _ranks(values: Floats) -> Floats:
    """Ranks from 1 of `values` (n,); ties share their mean."""
    below = (values[None, :] < values[:, None]).sum(axis=1)
    equal = (values[None, :] == values[:, None]).sum(axis=1)
    return np.asarray(below + (equal + 1) / 2, dtype=np.float64)


def friedman(ranks: Floats) -> float:
    """Friedman's chi-squared, corrected for ties, of `ranks` (blocks, k); 0 if all are tied."""
    blocks, count = ranks.shape
    expected = (count + 1) / 2
    spread = float(((ranks - expected) ** 2).sum()) / (count - 1)
    between = blocks * float(((ranks.mean(axis=0) - expected) ** 2).sum())
    return blocks * between / spread if spread else 0.0


@lru_cache(maxsize=256)
def critical_difference(count: int, blocks: int) -> float:
    """Nemenyi's critical difference of the average ranks of `count` variants over `blocks`."""
    from scipy.stats import studentized_range

    quantile = float(studentized_range.ppf(CONFIDENCE, count, np.inf)) / np.sqrt(2)
    return float(quantile * np.sqrt(count * (count + 1) / (6 * blocks)))


def _groups(names: list[str], ranks: Floats, difference: float) -> tuple[tuple[str, ...], ...]:
    """Maximal runs of the sorted `ranks` (n,) that span less than `difference`."""
    groups: list[tuple[str, ...]] = []
    end = 0
    for start in range(len(names)):
        stop = start + int(np.sum(ranks[start:] - ranks[start] < difference))
        if stop > end and stop - start > 1:
            groups.append(tuple(names[start:stop]))
        end = max(end, stop)
    return tuple(groups)
