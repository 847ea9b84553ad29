"""Blur kernels of Real-ESRGAN (arXiv 2107.10833, sections 3.1 and 3.4), and blurring.

With S the covariance and q = x^T S^-1 x: Gaussian exp(-q/2), generalised Gaussian
exp(-q^beta / 2), plateau 1 / (1 + q^beta); sinc w J1(w r) / (2 pi r). All sum to one.

The published recipes pad kernels with zeros to one size (21, 15, 41), which changes no pixel; so do
these, that kernels of unlike size make one batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from scipy.fft import next_fast_len
from scipy.special import j1

from tadsr.data.resize import reflected

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
    """Probability of a blur, odd kernel sizes (from, to), padded size, and ranges in pixels."""

    probability: float
    sizes: tuple[int, int]
    padded: int
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
    """Draw a kernel by `settings`, padded to (settings.padded, settings.padded).

    A sinc's cut-off is uniform in [pi/3, pi] below size 13, which could not hold a lower one, and
    in [pi/5, pi] from 13 on.
    """
    size = _odd_size(rng, settings.sizes)
    if rng.random() < settings.sinc_probability:
        lowest = np.pi / 3 if size < 13 else np.pi / 5
        return _padded(sinc_kernel(size, float(rng.uniform(lowest, np.pi))), settings.padded)
    shape, isotropic = _KINDS[rng.choice(len(_KINDS), p=settings.weights)]
    first, second = rng.uniform(*settings.sigma, size=2)
    angle = rng.uniform(-np.pi, np.pi)
    beta = 1.0
    if shape != "gaussian":
        generalised = shape == "generalised"
        beta = _beta(rng, settings.beta_generalised if generalised else settings.beta_plateau)
    sigma = (first, first if isotropic else second)
    return _padded(elliptical_kernel(size, sigma, angle, shape, beta), settings.padded)


def random_final_sinc(rng: np.random.Generator, settings: BlurSettings) -> Kernel:
    """Draw the last sinc filter, whose cut-off is uniform in [pi/3, pi] at every size."""
    size = _odd_size(rng, settings.sizes)
    return _padded(sinc_kernel(size, float(rng.uniform(np.pi / 3, np.pi))), settings.padded)


def blur(images: torch.Tensor, kernels: Sequence[Kernel]) -> torch.Tensor:
    """Correlate each plane of image n of (N, C, H, W) with kernels[n]; the border is reflected.

    The kernels are odd, square and of one size. Computed by Fourier transforms, whose cost does
    not grow with the kernel; at 256 pixels they win from size 7 on. float32 errors are about 1e-6.
    """
    height, width = images.shape[-2:]
    half = kernels[0].shape[0] // 2
    size = tuple(next_fast_len(n + 2 * half, real=True) for n in (height, width))
    weights = torch.from_numpy(np.stack(kernels).astype(np.float32)).to(images.device)
    # Conjugation turns convolution into correlation; what wraps around lies beyond the crop.
    spectrum = torch.fft.rfft2(weights, s=size).conj()[:, None]
    spectrum = torch.fft.rfft2(_reflect(images, half), s=size) * spectrum
    blurred: torch.Tensor = torch.fft.irfft2(spectrum, s=size)
    return blurred[..., :height, :width]


def _reflect(images: torch.Tensor, pad: int) -> torch.Tensor:
    """Reflect the borders, edges not repeated, also where the image is smaller than `pad`."""
    height, width = images.shape[-2:]
    if min(height, width) > pad:
        return F.pad(images, (pad, pad, pad, pad), mode="reflect")
    rows, columns = (reflected(n, -pad, n + pad, images.device) for n in (height, width))
    return images[..., rows, :][..., columns]


def _padded(kernel: Kernel, size: int) -> Kernel:
    return np.pad(kernel, (size - kernel.shape[0]) // 2)


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
