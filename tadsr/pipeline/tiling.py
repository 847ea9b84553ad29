"""Pictures larger than memory: overlapping tiles, and windows that blend them without seams.

Everything is separable: a layout of tiles is rows times columns, and a tile's window the product
of one ramp along each axis. The windows sum to one at every pixel.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from tadsr.errors import ConfigError

OVERLAP = 16
"""Least pixels of the low-resolution picture that tiles share by default, where they can."""


@dataclass(frozen=True)
class Axis:
    """Tiles along one axis: `starts` of pieces of `size` pixels, neighbours share `overlap`."""

    starts: tuple[int, ...]
    size: int
    overlap: int

    def windows(self, scale: int) -> list[Tensor]:
        """One window per tile, (scale size,) float32; they sum to one over the whole axis.

        In the overlap a window is 0 for the outer quarter, where the tile's own border is felt,
        rises linearly over the middle half, and is 1 from there. At the picture's ends it is 1.
        """
        place = (torch.arange(scale * self.size, dtype=torch.float64) + 0.5) / scale
        rise = _ramp(place, self.overlap)
        fall = rise.flip(0)
        total = torch.zeros(scale * (self.starts[-1] + self.size), dtype=torch.float64)
        raw = []
        for index, start in enumerate(self.starts):
            window = torch.ones_like(place)
            window = window * rise if index else window
            window = window * fall if index < len(self.starts) - 1 else window
            total[scale * start : scale * start + len(window)] += window
            raw.append(window)
        return [
            (window / total[scale * start : scale * start + len(window)]).float()
            for start, window in zip(self.starts, raw, strict=True)
        ]


@dataclass(frozen=True)
class Tiles:
    """A layout of equal tiles over a picture, in pixels of the low-resolution one."""

    rows: Axis
    columns: Axis

    @classmethod
    def of(cls, height: int, width: int, size: int | None, overlap: int) -> Tiles:
        """Cover (height, width) with tiles of `size`; None is one tile, the whole picture."""
        return cls(_axis(height, size, overlap), _axis(width, size, overlap))

    def __len__(self) -> int:
        return len(self.rows.starts) * len(self.columns.starts)

    def slices(self, factor: int = 1, divisor: int = 1) -> Iterator[tuple[slice, slice]]:
        """(rows, columns) of each tile, times `factor` / `divisor`: of pixels, latent or result."""
        for top in self.rows.starts:
            for left in self.columns.starts:
                yield (
                    slice(top * factor // divisor, (top + self.rows.size) * factor // divisor),
                    slice(left * factor // divisor, (left + self.columns.size) * factor // divisor),
                )

    def windows(self, scale: int) -> Iterator[Tensor]:
        """(scale h, scale w) window of each tile, in the order of `slices`."""
        columns = self.columns.windows(scale)
        for row in self.rows.windows(scale):
            for column in columns:
                yield row[:, None] * column


def choose_overlap(tile_size: int | None, overlap: int | None, multiple: int, cell: int) -> int:
    """The overlap of tiles in low-resolution pixels, everything checked.

    By default a multiple of `multiple` (so that the network's attention windows lie as in the
    whole picture) of at least `OVERLAP`; a quarter of a tile that is too small for that.

    Args:
        tile_size: None for none.
        multiple: sides of what the network takes, see `TADSRPipeline.lq_multiple`.
        cell: pixels under one latent pixel, or 1.

    Raises:
        ConfigError: a size or overlap that does not suit the model.
    """
    if tile_size is None:
        if overlap is not None:
            raise ConfigError(f"tile_overlap is {overlap}, but there are no tiles; set tile_size")
        return 0
    if tile_size < multiple or tile_size % multiple:
        below = max(tile_size // multiple, 1) * multiple
        raise ConfigError(
            f"tile_size is {tile_size}; this model takes multiples of {multiple} pixels, such as "
            f"{below} or {below + multiple}"
        )
    if overlap is None:
        aligned = -(-OVERLAP // multiple) * multiple
        return aligned if 2 * aligned <= tile_size else tile_size // 4 // cell * cell
    if not 0 <= overlap < tile_size or overlap % cell:
        of = f" that is a multiple of {cell}" if cell > 1 else ""
        raise ConfigError(
            f"tile_overlap is {overlap}; choose one from 0 to {tile_size - cell}{of} "
            f"for tiles of {tile_size}"
        )
    return overlap


def _axis(length: int, size: int | None, overlap: int) -> Axis:
    if size is None or size >= length:
        return Axis((0,), length, 0)
    starts = [*range(0, length - size, size - overlap), length - size]
    return Axis(tuple(starts), size, overlap)


def _ramp(place: Tensor, overlap: int) -> Tensor:
    if not overlap:
        return torch.ones_like(place)
    return ((place - overlap / 4) / (overlap / 2)).clamp(0, 1)
