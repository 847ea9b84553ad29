"""Main effects and interactions of the axes of a grid: plain data in, plain data out.

A grid's points say which variant stands at which levels. An effect is a contrast of variants:
combinations of the other axes, in each of which some variants count plus and as many minus. Per
seed it is the mean of that contrast over combinations and images; over seeds it is a recipe claim
like any comparison's (`tadsr.compare.claims`).

Points that are one student (a loss of weight 0 makes its settings meaningless) share a variant.
Nothing was changed between them, so they say nothing about an effect: a combination in which two
of the students are the very same is left out, and one with the students of another combination
counts once.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations, product
from typing import TYPE_CHECKING

import numpy as np

from tadsr.compare.comparison import direction_of
from tadsr.compare.pairing import Pair, align_runs
from tadsr.compare.results import Effect
from tadsr.compare.scores import Scores, read_scores

if TYPE_CHECKING:
    import pandas as pd

Levels = Mapping[str, str]
"""Axis to the label of a level."""
Change = tuple[str, str, str]
"""(axis, its first level, another level)."""


@dataclass(frozen=True)
class Contrast:
    """The variants of an effect: in each combination `plus` against `minus`."""

    plus: tuple[tuple[str, ...], ...]
    """(combinations, 1 for a main effect and 2 for an interaction)."""
    minus: tuple[tuple[str, ...], ...]
    same_student: int

    @property
    def variants(self) -> list[str]:
        """All of them, each once."""
        rows = zip(self.plus, self.minus, strict=True)
        return list(dict.fromkeys(name for row in rows for side in row for name in side))


def effects(
    frame: pd.DataFrame,
    axes: Mapping[str, Sequence[str]],
    points: Sequence[tuple[str, Levels]],
    *,
    directions: Mapping[str, str] | None = None,
    diverged: Mapping[str, Collection[int]] | None = None,
    declared_seeds: Mapping[str, Collection[int]] | None = None,
) -> list[Effect]:
    """All main effects, then all interactions of two axes, at every (dataset, metric).

    Args:
        frame, directions, diverged, declared_seeds: as in `compare`.
        axes: axis to the labels of its levels; the others are compared with the first one. Levels
            that only `points` have come after them.
        points: (variant, levels); a point without a level of every axis takes no part.

    Returns:
        By dataset and metric, in the order of the axes and levels. Effects for which the grid has
        no combination are left out; one without a common seed and image has no numbers.
    """
    scores = read_scores(frame, diverged or {}, declared_seeds or {})
    whole = [(variant, levels) for variant, levels in points if set(levels) == set(axes)]
    contrasts = list(_contrasts(_levels(axes, whole), whole))
    return [
        _measured(scores, replace(effect, dataset=dataset, metric=metric, higher_is_better=higher),
                  contrast)
        for dataset, metric in scores.blocks
        for higher in (direction_of(metric, directions or {}),)
        for effect, contrast in contrasts
    ]  # fmt: skip


def _levels(
    axes: Mapping[str, Sequence[str]], points: Sequence[tuple[str, Levels]]
) -> dict[str, list[str]]:
    """The levels of each axis that some point has, in order."""
    found = {}
    for axis, labels in axes.items():
        there = dict.fromkeys(levels[axis] for _, levels in points)
        found[axis] = [n for n in labels if n in there] + [n for n in there if n not in labels]
    return found


def _contrasts(
    axes: Mapping[str, Sequence[str]], points: Sequence[tuple[str, Levels]]
) -> Iterator[tuple[Effect, Contrast]]:
    """Every effect without its numbers, and the variants it is made from."""
    at = {tuple(levels[axis] for axis in axes): variant for variant, levels in points}
    for axis in axes:
        for change in _changes(axis, axes[axis]):
            yield from _contrast(axes, at, (change,))
    for one, other in combinations(axes, 2):
        for pair in product(_changes(one, axes[one]), _changes(other, axes[other])):
            yield from _contrast(axes, at, pair)


def _changes(axis: str, labels: Sequence[str]) -> list[Change]:
    return [(axis, labels[0], label) for label in labels[1:]]


def _contrast(
    axes: Mapping[str, Sequence[str]],
    at: Mapping[tuple[str, ...], str],
    changes: tuple[Change, ...],
) -> Iterator[tuple[Effect, Contrast]]:
    """The effect of one change, or of two together; nothing where the grid has no combination."""
    found: dict[tuple[tuple[str, ...], tuple[str, ...]], None] = {}
    matched = 0
    others = [axis for axis in axes if axis not in {change[0] for change in changes}]
    for rest in product(*(axes[axis] for axis in others)):
        sides: tuple[list[str | None], list[str | None]] = ([], [])
        for after in product((True, False), repeat=len(changes)):
            moved = {c[0]: c[2] if now else c[1] for c, now in zip(changes, after, strict=True)}
            levels = {**dict(zip(others, rest, strict=True)), **moved}
            minus = after.count(False) % 2  # of a difference of differences, both or neither
            sides[minus].append(at.get(tuple(levels[axis] for axis in axes)))
        plus, less = (tuple(n for n in side if n is not None) for side in sides)
        if len(plus) + len(less) < 2 ** len(changes):
            continue
        matched += 1
        if len({*plus, *less}) == 2 ** len(changes):
            found[tuple(sorted(plus)), tuple(sorted(less))] = None
    if matched:
        (axis, first, level), (by_axis, by_first, by_level) = (*changes, ("", "", ""))[:2]
        yield (
            Effect("", "", axis, level, first, by_axis, by_level, by_first, None),
            Contrast(tuple(p for p, _ in found), tuple(m for _, m in found), matched - len(found)),
        )


def _measured(scores: Scores, effect: Effect, contrast: Contrast) -> Effect:
    """The effect with its numbers, as far as there are scores."""
    endpoint = effect.dataset, effect.metric
    runs = {name: scores.runs(endpoint, name) for name in contrast.variants}
    there = {name: run for name, run in runs.items() if run is not None}
    rows = [(plus, minus) for plus, minus in zip(contrast.plus, contrast.minus, strict=True)
            if there.keys() >= {*plus, *minus}]  # fmt: skip
    seeds = {seed for name in runs for seed in scores.seeds.get(name, ())}
    counted = replace(
        effect,
        n_combinations=len(rows),
        same_student=contrast.same_student,
        unmeasured=len(contrast.plus) - len(rows),
        seeds_total=len(seeds),
        diverged=sum(len(scores.diverged.get(name, ())) for name in runs),
    )
    names = list(dict.fromkeys(name for row in rows for side in row for name in side))
    if not names:
        return counted
    aligned = align_runs([there[name] for name in names])
    counted = replace(counted, images_left_out=aligned.left_out)
    if not aligned.seeds:
        return counted
    values = dict(zip(names, aligned.values, strict=True))
    ours, theirs = (
        np.mean([sum(values[name] for name in row[side]) for row in rows], axis=0)
        for side in (0, 1)
    )
    pair = Pair(aligned.seeds, ours, theirs, aligned.left_out)
    return replace(
        counted,
        n_seeds=len(pair.seeds),
        distinct_seeds=pair.distinct,
        n_images=ours.shape[1] * scores.blocks[endpoint].per_image,
        **pair.claim().numbers(),
    )
