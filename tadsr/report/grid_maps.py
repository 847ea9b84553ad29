"""Maps of a window: how far each upscaler is from HR, and how far seeds are from each other."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib import colormaps
from numpy.typing import NDArray

from tadsr.report.images import Source

RGB8 = NDArray[np.uint8]
Levels = NDArray[np.float64]
"""(h, w), in levels of an 8-bit image."""

COLORS = "inferno"
"""From black to pale yellow; evenly stepped in lightness, so that it survives grey print."""
QUANTILE = 0.99
"""The share of all pixels that the scale holds; the few above it have its last colour."""


@dataclass(frozen=True)
class Scales:
    """Levels at which the last colour of each kind of map is reached."""

    difference: int = 1
    spread: int = 1


@dataclass(frozen=True)
class RowSource:
    """The windows (h, w, 3) of one image: LR enlarged, HR, answers by source, seeds' answers."""

    image: str
    window: tuple[int, int, int, int]
    lr: RGB8
    hr: RGB8 | None
    answers: Mapping[Source, RGB8]
    seeds: tuple[RGB8, ...]
    """Of the reference variant."""

    def differences(self) -> dict[str, Levels]:
        """|SR - HR| by upscaler; without answers of another size, and none without HR."""
        if self.hr is None:
            return {}
        return {source.name: difference(pixels, self.hr) for source, pixels in self.answers.items()
                if pixels.shape == self.hr.shape}  # fmt: skip

    def spread(self) -> Levels | None:
        """Standard deviation over seeds; None below two."""
        return seed_spread(self.seeds) if len(self.seeds) > 1 else None


def difference(one: RGB8, other: RGB8) -> Levels:
    """Mean over channels of |one - other|: two (h, w, 3) to (h, w), in levels."""
    gap = np.abs(one.astype(np.float64) - other.astype(np.float64))
    return np.asarray(gap.mean(axis=2))


def seed_spread(answers: Sequence[RGB8]) -> Levels:
    """Mean over channels of the standard deviation (n - 1) over answers (h, w, 3), in levels."""
    return np.asarray(np.std(np.stack(answers).astype(np.float64), axis=0, ddof=1).mean(axis=2))


def shared_scales(sources: Sequence[RowSource]) -> Scales:
    """One scale for all differences of a test set, one for all spreads, in whole levels."""
    differences = [levels for source in sources for levels in source.differences().values()]
    spreads = [levels for source in sources if (levels := source.spread()) is not None]
    return Scales(_top(differences), _top(spreads))


def _top(maps: Sequence[Levels]) -> int:
    if not maps:
        return 1
    values = np.concatenate([levels.ravel() for levels in maps])
    return max(1, math.ceil(float(np.quantile(values, QUANTILE))))


def colored(levels: Levels, top: int) -> RGB8:
    """(h, w) levels as (h, w, 3) colours, black at 0 and the last colour from `top` on."""
    colors = colormaps[COLORS](np.clip(levels / top, 0, 1), bytes=True)
    return np.ascontiguousarray(np.asarray(colors)[..., :3])
