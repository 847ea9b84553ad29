"""Blur kernels of Real-ESRGAN (arXiv 2107.10833, sections 3.1 and 3.4), and blurring.

With S the covariance and q = x^T S^-1 x: Gaussian exp(-q/2), generalised Gaussian
exp(-q^beta / 2), plateau 1 / (1 + q^beta); sinc w J1(w r) / (2 pi r). All sum to one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from scipy.special import j1

Range = tuple[float, float]
Shape = Literal["gaussian", "generalised", "plateau"]
Kernel = NDArray[np.float64]

_KINDS: tuple[tuple[Shape, bool], ...] = (
    ("gaussian", True),
    ("gaussian", False),
    ("generalised", True),
    ("generalised", False),
    ("plateau", True),
    ("plateau", False),
)
KERNEL_WEIGHTS = (0.45, 0.25, 0.12, 0.03, 0.12, 0.03)
"""Of Gaussian, generalised and plateau kernels, isotropic and anisotropic each."""


@dataclass(frozen=True)
class BlurSettings:
    """Probability of a blur, odd kernel sizes (from, to), and ranges in pixels."""

    probability: float
    sizes: tuple[int, int]
    sinc_probability: float
    weights: tuple[float, float, float, float, float, float]
    sigma: Range
    beta_generalised: Range
    beta_plateau: Range


def elliptical_kernel(
    size: int,
    sigma: Range,
    angle: float = 0.0,
    shape: Shape = "gaussian",
    beta: float = 1.0,
) -> Kernel:
    """A (size, size) kernel with standard deviations `sigma` along axes turned by `angle`."""
    y, x = _grid(size)
    along = x * np.cos(angle) + y * np.sin(angle)
    across = y * np.cos(angle) - x * np.sin(angle)
    q = (along / sigma[0]) ** 2 + (across / sigma[1]) ** 2
    values = 1 / (1 + q**beta) if shape == "plateau" else np.exp(-0.5 * q**beta)
    return np.asarray(values / values.sum())


def sinc_kernel(size: int, cutoff: float) -> Kernel:
    """A (size, size) circular low-pass kernel, `cutoff` in (0, pi] radians per pixel."""
    y, x = _grid(size)
    r = np.hypot(x, y)
    centre = r == 0
    safe = np.where(centre, 1.0, r)
    values = np.where(
        centre, cutoff**2 / (4 * np.pi), cutoff * j1(cutoff * safe) / (2 * np.pi * safe)
    )
    return np.asarray(values / values.sum())


def random_kernel(rng: np.random.Generator, settings: BlurSettings) -> Kernel:
    """Draw a kernel by `settings`."""
    if rng.random() < settings.sinc_probability:
        return random_sinc(rng, settings.sizes)
    size = _odd_size(rng, settings.sizes)
    shape, isotropic = _KINDS[rng.choice(len(_KINDS), p=settings.weights)]
    first, second = rng.uniform(*settings.sigma, size=2)
    angle = rng.uniform(-np.pi, np.pi)
    beta = 1.0
    if shape != "gaussian":
        generalised = shape == "generalised"
        beta = _beta(rng, settings.beta_generalised if generalised else settings.beta_plateau)
    return elliptical_kernel(size, (first, first if isotropic else second), angle, shape, beta)


def random_sinc(rng: np.random.Generator, sizes: tuple[int, int]) -> Kernel:
    """Draw a sinc kernel; small ones get no low cut-off, which they could not hold."""
    size = _odd_size(rng, sizes)
    lowest = np.pi / 3 if size < 13 else np.pi / 5
    return sinc_kernel(size, float(rng.uniform(lowest, np.pi)))


def blur(image: torch.Tensor, kernel: Kernel) -> torch.Tensor:
    """Correlate each plane of (3, H, W) with an odd square kernel; the border is reflected."""
    half = kernel.shape[0] // 2
    rows, columns = (_reflected(n, half) for n in image.shape[1:])
    padded = image[:, rows][:, :, columns]
    weight = torch.from_numpy(kernel.astype(np.float32))[None, None]
    return F.conv2d(padded[:, None], weight)[:, 0]


def _grid(size: int) -> tuple[NDArray[Any], NDArray[Any]]:
    half = size // 2
    axis = np.arange(-half, half + 1, dtype=np.float64)
    y, x = np.meshgrid(axis, axis, indexing="ij")
    return y, x


def _odd_size(rng: np.random.Generator, sizes: tuple[int, int]) -> int:
    return int(rng.choice(np.arange(sizes[0], sizes[1] + 1, 2)))


def _beta(rng: np.random.Generator, limits: Range) -> float:
    """Sharper and flatter than a Gaussian are equally likely, whatever the two ranges' widths."""
    low, high = limits
    return float(
        rng.uniform(min(low, 1), 1) if rng.random() < 0.5 else rng.uniform(1, max(high, 1))
    )


def _reflected(length: int, pad: int) -> torch.Tensor:
    """Indices -pad .. length+pad-1 reflected without repeating the edge, at any `pad`."""
    period = max(2 * (length - 1), 1)
    index = torch.remainder(torch.arange(-pad, length + pad), period)
    return torch.where(index < length, index, period - index)
