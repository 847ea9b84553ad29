"""From numbers to words: Holm over the declared family, power, and one plain sentence each.

A primary endpoint gets one of four words:

- `under-powered` where fewer than `MIN_SEEDS` paired seeds are left, where seeds are copies of
  each other, where the seeds that are left favour the side that diverged more often, or where the
  difference is not significant and these seeds could not have shown a relevant one: the smallest
  effect they show with 80 % power, at the level that Holm's procedure stopped at, exceeds the
  margin. The margin is the smallest difference the user declared to be worth knowing; where none
  was declared, `LARGE_EFFECT` standard deviations of the paired seed differences. By that default
  5 seeds do for a family of 1, 6 for 3, 8 for 18.
- `better` / `worse` where Holm's p is at most `ALPHA`, by the metric's direction.
- `no difference shown` otherwise. It never means "equal": the smallest effect stands beside it.

A metric computed with weights that are not known to be the official ones gets none of them, but
`UNVERIFIED`; its endpoints count in the family all the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache

import numpy as np

from tadsr.compare.claims import Floats
from tadsr.compare.results import Comparison

ALPHA = 0.05
"""Chance of one or more false `better` or `worse` in the whole primary family."""
POWER = 0.8
MIN_SEEDS = 3
"""Below this many paired seeds no word but `under-powered`: two cannot show their own scatter."""
LARGE_EFFECT = 2.0
"""Default margin, in standard deviations of the paired seed differences."""
MAX_SEEDS_NEEDED = 10_000
VERDICTS = ("better", "worse", "no difference shown", "under-powered")
UNVERIFIED = "unverified"
"""In place of a verdict: no claim rests on numbers of weights of unknown origin."""


def holm(p_values: Floats) -> Floats:
    """Holm's adjusted p (Scandinavian Journal of Statistics 6, 1979) of `p_values` (m,)."""
    order = np.argsort(p_values, kind="stable")
    steps = p_values[order] * np.arange(len(p_values), 0, -1)
    adjusted = np.empty_like(p_values)
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1.0)
    return adjusted


def power_of(n_seeds: int, effect: float, level: float) -> float:
    """Chance that the two-sided paired t test at `level` shows a true `effect` > 0, as positive.

    `effect` in standard deviations of the paired differences. The chance of showing it with the
    wrong sign is no power (and `nctdtr` is NaN in that tail).
    """
    from scipy.special import chdtr, nctdtr, stdtrit

    df, shift = n_seeds - 1, effect * np.sqrt(n_seeds)
    critical = stdtrit(df, 1 - level / 2)
    if critical > 1e4:  # two seeds, a huge family: `nctdtr` fails, and only the sd's scatter counts
        return float(chdtr(df, df * (shift / critical) ** 2))
    return float(1 - nctdtr(df, shift, critical))


@lru_cache(maxsize=4096)
def smallest_effect(n_seeds: int, level: float) -> float:
    """The effect, in sds of the paired differences, that `n_seeds` >= 2 show with 80 % power."""
    low, high = 0.0, 1.0
    while power_of(n_seeds, high, level) < POWER:
        low, high = high, 2 * high
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if power_of(n_seeds, middle, level) < POWER else (low, middle)
    return high


def seeds_needed(effect: float, level: float) -> int | None:
    """The number of seeds, at least `MIN_SEEDS`, that show `effect` (in sds) with 80 % power.

    None if `MAX_SEEDS_NEEDED` would not do.
    """
    low, high = MIN_SEEDS, MAX_SEEDS_NEEDED
    if smallest_effect(low, level) <= abs(effect):
        return low
    if smallest_effect(high, level) > abs(effect):
        return None
    while high - low > 1:
        middle = (low + high) // 2
        enough = smallest_effect(middle, level) <= abs(effect)
        low, high = (low, middle) if enough else (middle, high)
    return high


def judge(
    comparisons: Sequence[Comparison], margins: Mapping[tuple[str, str], float]
) -> list[Comparison]:
    """Fill in `p_adjusted`, `family`, the power numbers, `verdict` and `text`.

    The family is every primary comparison, those without a number too: what was declared counts,
    not what came back. Those that cannot get a word but `under-powered` enter with p = 1.
    """
    primary = [c for c in comparisons if c.primary]
    entered = np.array([c.p_value if _judgeable(c) else 1.0 for c in primary], dtype=np.float64)
    adjusted = iter(holm(entered).tolist())
    level = ALPHA / max(1, len(primary) - int(np.sum(holm(entered) <= ALPHA)))
    judged = []
    for comparison in comparisons:
        if not comparison.primary:
            judged.append(_worded(_with_power(comparison, ALPHA), None))
            continue
        p_adjusted = next(adjusted)
        claimed = comparison.p_value is not None and not comparison.unverified
        shown = p_adjusted if claimed else None
        numbers = replace(comparison, p_adjusted=shown, family=len(primary))
        numbers = _with_margin(_with_power(numbers, level), margins, level)
        judged.append(_worded(numbers, _word(numbers, p_adjusted)))
    return judged


def _judgeable(comparison: Comparison) -> bool:
    """Whether there are enough real replicates for any word but `under-powered`."""
    independent = comparison.distinct_seeds == comparison.n_seeds and not comparison.unverified
    whole = independent and not comparison.favours_diverged
    return comparison.p_value is not None and comparison.n_seeds >= MIN_SEEDS and whole


def _with_power(comparison: Comparison, level: float) -> Comparison:
    """Add the smallest effect in metric units and the seeds that the observed one would take."""
    if comparison.sd is None or comparison.delta is None:
        return comparison
    effect = comparison.effect_size
    return replace(
        comparison,
        smallest_effect=smallest_effect(comparison.n_seeds, level) * comparison.sd,
        seeds_needed=seeds_needed(effect, level) if effect else None,
    )


def _with_margin(
    comparison: Comparison, margins: Mapping[tuple[str, str], float], level: float
) -> Comparison:
    """Add the margin, declared or by default, and the seeds that would show it."""
    sd = comparison.sd
    declared = margins.get((comparison.dataset, comparison.metric))
    if sd is None:
        return replace(comparison, margin=declared)
    return replace(
        comparison,
        margin=LARGE_EFFECT * sd if declared is None else declared,
        seeds_for_margin=seeds_needed(
            LARGE_EFFECT if declared is None else declared / sd, level
        ) if sd else None,
    )  # fmt: skip


def _word(comparison: Comparison, p_adjusted: float) -> str:
    """The verdict; see the head of this module."""
    if comparison.unverified:
        return UNVERIFIED
    smallest, margin, delta = comparison.smallest_effect, comparison.margin, comparison.delta
    if not _judgeable(comparison) or smallest is None or margin is None or delta is None:
        return "under-powered"
    if p_adjusted <= ALPHA:
        return "better" if (delta > 0) == comparison.higher_is_better else "worse"
    return "under-powered" if smallest > margin else "no difference shown"


def _worded(comparison: Comparison, verdict: str | None) -> Comparison:
    """Add the verdict and its sentence."""
    worded = replace(comparison, verdict=verdict)
    return replace(worded, text="; ".join([*_statement(worded), *_caveats(worded)]) + ".")


def _statement(c: Comparison) -> list[str]:
    """What was found, with its numbers."""
    place = f"on {c.dataset} by {c.metric}"
    if c.delta is None:
        head = f"{c.variant} cannot be compared with {c.reference} {place}"
        reason = "no seed and image has a score of both"
        return [f"{c.verdict}: {head}" if c.verdict else head, reason]
    head = {
        "better": f"{c.variant} is better than {c.reference} {place}",
        "worse": f"{c.variant} is worse than {c.reference} {place}",
        "no difference shown": f"no difference shown between {c.variant} and {c.reference} {place}",
        "under-powered": f"under-powered: {_count(c.n_seeds, 'seed')} cannot tell {c.variant} "
        f"from {c.reference} {place}",
        UNVERIFIED: f"no verdict on {c.variant} against {c.reference} {place}",
        None: f"exploratory: {c.variant} against {c.reference} {place}",
    }[c.verdict]
    return [f"{head}: {_numbers(c)}"]


def _numbers(c: Comparison) -> str:
    """Difference, interval, size of the sample and p."""
    better = {True: ", higher is better", False: ", lower is better", None: ""}
    parts = [f"difference {c.delta:+.4g}{better[c.higher_is_better]}"]
    if c.low is not None:
        parts.append(f"95 % interval {c.low:+.4g} to {c.high:+.4g}")
    sample = [_count(c.n_seeds, "paired seed")] if c.n_seeds else []
    sample += [_count(c.n_images, "image")] if c.n_images else []
    parts.append(", ".join(sample) or "one value each")
    if c.p_adjusted is not None:
        parts.append(f"Holm-adjusted p {c.p_adjusted:.2g} in a family of {c.family}")
    return "; ".join(parts)


def _caveats(c: Comparison) -> list[str]:
    """All that a reader must know before using the statement."""
    found = []
    if c.unverified:
        found.append("unverified: computed with weights that are not known to be the official ones")
    if c.verdict in ("no difference shown", "under-powered") and c.smallest_effect is not None:
        found.append(
            f"these seeds show differences from {c.smallest_effect:.4g} on with 80 % power"
        )
    if c.verdict == "under-powered":
        found += _enough_seeds(c)
    if c.diverged:
        found.append(f"{c.diverged} of {c.seeds_total} seeds of {c.variant} diverged and count as "
                     "failures, not in these numbers")  # fmt: skip
    if c.reference_diverged:
        found.append(f"{_count(c.reference_diverged, 'seed')} of {c.reference} diverged")
    if c.verdict and c.favours_diverged:
        found.append("no word in favour of the one that diverged more often")
    unpaired = c.seeds_total - c.diverged - c.n_seeds
    if unpaired > 0:
        found.append(f"{_count(unpaired, 'seed')} of {c.variant} not paired, for want of a score")
    if c.images_left_out:
        found.append(f"{_count(c.images_left_out, 'image')} left out because a seed lacks them")
    if c.distinct_seeds < c.n_seeds:
        found.append(f"only {c.distinct_seeds} of the seeds differ, the others are copies")
    if not c.seeds_total and c.n_seeds:
        found.append(f"{c.variant} has no seeds, so only those of {c.reference} vary")
    return found


def _enough_seeds(c: Comparison) -> list[str]:
    """How many seeds would do; nothing where the present ones already should."""
    found = []
    if c.seeds_for_margin is not None and c.n_seeds < c.seeds_for_margin:
        found.append(f"{c.seeds_for_margin} seeds would show the margin of {c.margin:.4g}")
    if c.seeds_needed is not None and c.n_seeds < c.seeds_needed:
        found.append(f"{c.seeds_needed} seeds would do if the difference is as observed")
    return found


def _count(number: int, noun: str) -> str:
    """`1 seed`, `3 seeds`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
