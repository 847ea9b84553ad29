"""Which scores of variants can be set against each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from tadsr.compare.claims import Floats, RecipeClaim, recipe_claim
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

    @property
    def distinct(self) -> int:
        """Seeds that are no copies: of the side that has fewer, a side without seeds aside."""
        sides = zip((self.ours, self.theirs), self.seedless, strict=True)
        counts = (len(np.unique(side, axis=0)) for side, seedless in sides if not seedless)
        return min(counts, default=1)

    def claim(self) -> RecipeClaim:
        """The recipe claim of ours minus theirs; a difference alone where seeds are copies.

        Copies have no scatter to judge by.
        """
        claim = recipe_claim((self.ours - self.theirs).mean(axis=1))
        if self.distinct > 1:
            return claim
        return RecipeClaim(claim.delta, None, None, None, 0, None, None, claim.n_seeds)


def pair_runs(ours: Runs | None, theirs: Runs | None) -> Pair:
    """Pair the runs of two variants by seed and image; see `align_runs`."""
    empty = Pair((), np.zeros((0, 0)), np.zeros((0, 0)), 0)
    if ours is None or theirs is None:
        return empty
    aligned = align_runs([ours, theirs])
    if not aligned.seeds:
        return replace(empty, left_out=aligned.left_out)
    left, right = aligned.values
    return Pair(aligned.seeds, left, right, aligned.left_out, (ours.seedless, theirs.seedless))


@dataclass(frozen=True)
class Aligned:
    """Scores of several variants on the same seeds and images."""

    seeds: tuple[int, ...]
    """The seeds that all have; `(SEEDLESS,)` if none has seeds; empty if nothing is left."""
    values: Floats
    """(variants, seeds, images), without NaN."""
    left_out: int
    """Images that some of these seeds have and another lacks."""


def align_runs(runs: Sequence[Runs]) -> Aligned:
    """Keep the seeds that all `runs` have, then the images that all these seeds have in all.

    The mean differences of two seeds are comparable only over the same images, and the crossed
    interval needs a full rectangle; so one seed's missing image is left out of all.
    """
    seeded = [set(run.seeds) for run in runs if not run.seedless]
    seeds = tuple(sorted(set.intersection(*seeded))) if seeded else runs[0].seeds
    empty = np.zeros((len(runs), 0, 0))
    if not seeds:
        return Aligned((), empty, 0)
    values = np.stack([_rows(run, seeds) for run in runs])
    absent = np.isnan(values)
    whole = ~absent.any(axis=(0, 1))
    left_out = int(np.sum(~whole & ~absent.all(axis=(0, 1))))
    if not whole.any():
        return Aligned((), empty, left_out)
    return Aligned(seeds, values[:, :, whole], left_out)


def _rows(runs: Runs, seeds: tuple[int, ...]) -> Floats:
    """Scores of `seeds` (seeds, images); an upscaler without seeds has the same for each."""
    at = [0] * len(seeds) if runs.seedless else [runs.seeds.index(seed) for seed in seeds]
    return runs.values[at]
