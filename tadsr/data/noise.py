"""Sensor noise for the random degradations, from fields drawn on the CPU.

The random field of an image comes from a CPU generator of its own seed and does not depend on the
pixels; the pixels only decide what is made of it. So every device draws the same noise.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import gammaln, xlogy

from tadsr.data.images import LUMA


def gaussian_noise(image: torch.Tensor, seed: int, sigma: float, grey: bool) -> torch.Tensor:
    """Gaussian noise for a (3, H, W) image: (3, H, W), or (1, H, W) for all channels if `grey`.

    `sigma` is in the unit of the image.
    """
    shape = (1 if grey else 3, *image.shape[1:])
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator).to(image.device) * sigma


def poisson_noise(image: torch.Tensor, seed: int, grey: bool) -> torch.Tensor:
    """Shot noise of a (3, H, W) image in [0, 1]: (3, H, W), or (1, H, W) of its luma if `grey`.

    Real-ESRGAN's model (arXiv 2107.10833): the image is rounded to 8-bit levels, and the photon
    count of white is the number of levels in use, rounded up to a power of two. Mean zero,
    variance = level / (255 photons).
    """
    signal = image.clamp(0, 1)
    if grey:
        luma = signal.new_tensor(LUMA).view(3, 1, 1)
        signal = (signal * luma).sum(dim=0, keepdim=True)
    levels = (signal * 255).round().to(torch.int64)
    used = int(torch.bincount(levels.flatten(), minlength=256).count_nonzero())
    power = math.ceil(math.log2(used))
    generator = torch.Generator().manual_seed(seed)
    field = torch.rand(levels.shape, generator=generator).to(image.device)
    return poisson_counts(levels, field, power) / 2.0**power - levels / 255.0


def poisson_counts(levels: torch.Tensor, field: torch.Tensor, power: int) -> torch.Tensor:
    """Poisson counts of rate levels/255 * 2^power from a uniform `field` of the same shape.

    `levels` are integers of 0 to 255, `field` is float32 in [0, 1). Walker's alias method (ACM
    TOMS 3, 1977): one look-up a pixel whatever the rate. The field's 24 bits make each probability
    exact to about 1e-7.
    """
    keep, alias = _alias_tables(power, field.device)
    columns = keep.shape[1]
    scaled = field * columns
    # A field just below one may round up to `columns`.
    column = scaled.to(torch.int64).clamp_(max=columns - 1)
    cell = levels * columns + column
    stays = scaled - column < keep.take(cell)
    return torch.where(stays, column, alias.take(cell))


@lru_cache(maxsize=16)
def _alias_tables(power: int, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """(256, K) tables of rate level/255 * 2^power: probability to keep a column, and its alias."""
    rate = np.arange(256)[:, None] / 255 * 2.0**power
    highest = 2.0**power
    count = np.arange(int(highest + 8 * math.sqrt(highest) + 12))[None, :]
    weights = np.exp(xlogy(count, rate) - rate - gammaln(count + 1))
    keep, alias = _robin_hood(weights / weights.sum(axis=1, keepdims=True))
    return (
        torch.from_numpy(keep.astype(np.float32)).to(device),
        torch.from_numpy(alias).to(device),
    )


def _robin_hood(
    probability: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Alias tables of each row: the poorest column is filled up from the richest."""
    rows, columns = probability.shape
    wealth = probability * columns
    keep = np.ones_like(wealth)
    alias = np.tile(np.arange(columns), (rows, 1))
    every = np.arange(rows)
    while True:
        poor, rich = wealth.argmin(axis=1), wealth.argmax(axis=1)
        row = every[wealth[every, poor] < 1 - 1e-9]
        if not row.size:
            return keep, alias
        poor, rich = poor[row], rich[row]
        keep[row, poor] = wealth[row, poor]
        alias[row, poor] = rich
        wealth[row, rich] -= 1 - wealth[row, poor]
        wealth[row, poor] = 1
