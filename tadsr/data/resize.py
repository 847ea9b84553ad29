"""Bicubic resampling as Matlab's `imresize` does it, the reference of super-resolution.

Differs from `torch.nn.functional.interpolate`, whose kernel has a = -0.75. One pass per axis is a
product with a banded matrix, so batches and devices come for free, and gradients too.
"""

from __future__ import annotations

import math
from functools import lru_cache

import torch

A = -0.5
"""Keys' kernel parameter (IEEE ASSP 29, 1981); third-order accurate only at this value."""


def bicubic(
    image: torch.Tensor,
    *,
    scale: float | None = None,
    size: tuple[int, int] | None = None,
    antialias: bool = True,
) -> torch.Tensor:
    """Resize a (N, C, H, W) float tensor by `scale`, or to `size` = (height, width).

    With `scale` the output has ceil(scale * H) rows and ceil(scale * W) columns, as in Matlab.
    With `size`, each axis is scaled by its own ratio. When shrinking, `antialias` widens the
    kernel by 1/scale. Beyond the border the image is mirrored, edge pixel repeated. Weights are
    computed in float64; the product is float32 (float64 for a float64 image). Values may leave
    the input's range: clamp before storing.
    """
    if image.ndim != 4 or not image.is_floating_point():
        raise ValueError(f"expected a float tensor (N, C, H, W), got {tuple(image.shape)}")
    if (scale is None) == (size is None):
        raise ValueError("give either scale or size")
    height, width = image.shape[-2:]
    dtype = torch.float64 if image.dtype == torch.float64 else torch.float32
    rows = _matrix(*_axis(height, scale, size[0] if size else None), antialias, dtype, image.device)
    columns = _matrix(
        *_axis(width, scale, size[1] if size else None), antialias, dtype, image.device
    )
    return rows @ (image.to(dtype) @ columns.T)


def _axis(length: int, scale: float | None, target: int | None) -> tuple[int, int, float]:
    """(input length, output length, scale) of one axis."""
    if scale is not None:
        if not (scale > 0 and math.isfinite(scale)):
            raise ValueError(f"scale must be positive, got {scale}")
        # The tolerance keeps ceil(length * (1/3)) at length/3 whatever the rounding.
        return length, max(1, math.ceil(scale * length - 1e-9)), float(scale)
    if target is None or target < 1:
        raise ValueError(f"size must be positive, got {target}")
    return length, target, target / length


def cubic_kernel(x: torch.Tensor) -> torch.Tensor:
    """Keys' cubic convolution kernel with a = -0.5, supported on [-2, 2]."""
    x = x.abs()
    inner = ((A + 2) * x - (A + 3)) * x * x + 1
    outer = ((A * x - 5 * A) * x + 8 * A) * x - 4 * A
    return torch.where(x <= 1, inner, torch.where(x < 2, outer, torch.zeros_like(x)))


@lru_cache(maxsize=16)
def _matrix(
    length: int,
    target: int,
    scale: float,
    antialias: bool,
    dtype: torch.dtype,
    device: torch.device,
) -> torch.Tensor:
    """The (target, length) matrix of one axis; rows sum to 1."""
    shrink = min(scale, 1.0) if antialias else 1.0
    # Pixel centres sit at integers + 0.5: output pixel i looks at (i + 0.5)/scale - 0.5.
    centre = (torch.arange(target, dtype=torch.float64) + 0.5) / scale - 0.5
    first = torch.floor(centre - 2 / shrink)
    taps = torch.arange(math.ceil(4 / shrink) + 2, dtype=torch.float64)
    position = first[:, None] + taps[None, :]
    weights = cubic_kernel(shrink * (centre[:, None] - position))
    weights = weights / weights.sum(dim=1, keepdim=True)
    # Mirror with the edge repeated has period 2 * length; several reflections fold into one.
    folded = torch.remainder(position.to(torch.int64), 2 * length)
    index = torch.where(folded < length, folded, 2 * length - 1 - folded)
    matrix = torch.zeros(target, length, dtype=torch.float64).scatter_add_(1, index, weights)
    return matrix.to(device=device, dtype=dtype)


def reflected(
    length: int, start: int, stop: int, device: torch.device | str = "cpu"
) -> torch.Tensor:
    """Indices of positions `start` to `stop - 1`, reflected into 0..length-1 at any distance.

    The edge is not repeated; a single pixel stands for all.
    """
    period = max(2 * (length - 1), 1)
    index = torch.remainder(torch.arange(start, stop, device=device), period)
    return torch.where(index < length, index, period - index)


def bicubic_lr(levels: torch.Tensor, scale: int = 4) -> torch.Tensor:
    """Shrink (N, C, H, W) uint8 levels by `scale` to uint8, rounded half to even.

    For scale 4 the kernel's weights are dyadic, so in float64 every sum is exact: the LR pixels
    do not depend on batch size, thread count or device, even at rounding ties.
    """
    small = bicubic(levels.to(torch.float64), scale=1 / scale)
    return small.round().clamp(0, 255).to(torch.uint8)
