"""Which scores of a variant and the reference can be set against each other."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tadsr.compare.claims import Floats
from tadsr.compare.scores import Runs


@dataclass(frozen=True)
class Pair:
    """The scores of a variant and the reference that can be set against each other."""

    seeds: tuple[int, ...]
    """Paired seeds; `(SEEDLESS,)` between two upscalers without seeds; empty if none pair."""
    ours: Floats
    """(seeds, images) of the variant, without NaN."""
    theirs: Floats
    """(seeds, images) of the reference, without NaN."""
    left_out: int
    seedless: tuple[bool, bool] = (False, False)
    """Whether the variant, and the reference, is an upscaler without seeds."""


def pair_runs(ours: Runs | None, theirs: Runs | None) -> Pair:
    """Pair by seed, then keep the images that all paired seeds have in both.

    The mean differences of two seeds are comparable only over the same images, and the crossed
    interval needs a full rectangle; so one seed's missing image is left out of all.
    """
    empty = np.zeros((0, 0))
    if ours is None or theirs is None:
        return Pair((), empty, empty, 0)
    if ours.seedless or theirs.seedless:
        seeds = theirs.seeds if ours.seedless else ours.seeds
    else:
        seeds = tuple(sorted(set(ours.seeds) & set(theirs.seeds)))
    if not seeds:
        return Pair((), empty, empty, 0)
    left, right = _rows(ours, seeds), _rows(theirs, seeds)
    absent = np.isnan(np.concatenate([left, right]))
    whole = ~absent.any(axis=0)
    left_out = int(np.sum(~whole & ~absent.all(axis=0)))
    if not whole.any():
        return Pair((), empty, empty, left_out)
    seedless = ours.seedless, theirs.seedless
    return Pair(seeds, left[:, whole], right[:, whole], left_out, seedless)


def _rows(runs: Runs, seeds: tuple[int, ...]) -> Floats:
    """Scores of `seeds` (seeds, images); an upscaler without seeds has the same for each."""
    at = [0] * len(seeds) if runs.seedless else [runs.seeds.index(seed) for seed in seeds]
    return runs.values[at]
