"""The two-stage random degradation of Real-ESRGAN (Wang et al., arXiv 2107.10833).

Written from the paper's equations. Stage: blur, resize, noise, JPEG; the second stage, without its
JPEG, happens with some probability; at last a resize to the output size with a sinc filter
(ringing) and a JPEG, in random order. Unlike the paper's training code, whose JPEG is a smooth
approximation with real-valued quality, ours is a file's: 8-bit levels and an integer quality.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch

from tadsr.data.kernels import KERNEL_WEIGHTS, BlurSettings, random_final_sinc, random_kernel
from tadsr.data.steps import (
    Blur,
    GaussianNoise,
    Jpeg,
    Mode,
    PoissonNoise,
    Program,
    Resize,
    Step,
    run_programs,
)
from tadsr.seeds import numpy_generator

Range = tuple[float, float]
Size = tuple[int, int]

_MODES: tuple[Mode, ...] = ("area", "bilinear", "bicubic")


class Recipe(Protocol):
    """Settings from which programs are drawn."""

    @property
    def scale(self) -> int:
        """HR side over LR side."""

    def draw(self, rng: np.random.Generator, size: Size) -> Program:
        """All numbers for one HR image of `size` = (height, width); programs are equally long."""


@dataclass(frozen=True)
class StageSettings:
    """One stage: blur, resize, noise, JPEG. Noise levels are in 8-bit units."""

    blur: BlurSettings
    resize_weights: tuple[float, float, float]  # up, down, keep
    resize_range: Range | None  # smallest and largest factor; None: straight to the output size
    gaussian_probability: float  # else Poisson
    gaussian_sigma: Range
    poisson_scale: Range
    grey_probability: float  # one noise plane for all channels

    def draw(self, rng: np.random.Generator, base: Size, target: Size) -> tuple[Step | None, ...]:
        """Blur, resize and noise; factors are of the size `base`."""
        blurred = rng.random() < self.blur.probability
        blur = Blur(random_kernel(rng, self.blur)) if blurred else None
        size = target
        if self.resize_range is not None:
            low, high = self.resize_range
            way = rng.choice(3, p=self.resize_weights)
            factor = (rng.uniform(1, max(1, high)), rng.uniform(low, min(1, high)), 1.0)[way]
            size = (max(1, int(base[0] * factor)), max(1, int(base[1] * factor)))
        return (blur, Resize(size, _random_mode(rng)), self._noise(rng))

    def _noise(self, rng: np.random.Generator) -> Step:
        gaussian = rng.random() < self.gaussian_probability
        grey = bool(rng.random() < self.grey_probability)
        seed = int(rng.integers(2**62))
        if gaussian:
            return GaussianNoise(seed, rng.uniform(*self.gaussian_sigma) / 255, grey)
        return PoissonNoise(seed, rng.uniform(*self.poisson_scale), grey)


@dataclass(frozen=True)
class DegradationSettings:
    """All parameters of the one- or two-stage degradation; see `REALESRGAN`, `IMAGENET_TEST`."""

    first: StageSettings
    first_jpeg: tuple[int, int]
    second: StageSettings | None
    second_probability: float
    final_sinc_probability: float
    final_jpeg: tuple[int, int] | None
    scale: int = 4

    def draw(self, rng: np.random.Generator, size: Size) -> Program:
        """Draw all numbers of one image of `size` = (height, width)."""
        target = (size[0] // self.scale, size[1] // self.scale)
        first = self.first.draw(rng, size, target)
        second: tuple[Step | None, ...] = (None, None, None)
        jpeg = _random_jpeg(rng, self.first_jpeg)
        if self.second is not None and rng.random() < self.second_probability:
            # Factors of the second stage are relative to the output size, else images of both
            # stages' smallest factors would keep five pixels of a hundred.
            second = self.second.draw(rng, target, target)
        return (*first, jpeg, *second, *self._finish(rng, target))

    def _finish(self, rng: np.random.Generator, target: Size) -> tuple[Step | None, ...]:
        """JPEG, resize, sinc; or resize, sinc, JPEG."""
        jpeg = _random_jpeg(rng, self.final_jpeg) if self.final_jpeg else None
        resize = Resize(target, _random_mode(rng))
        ringing = rng.random() < self.final_sinc_probability
        sinc = Blur(random_final_sinc(rng, self.first.blur)) if ringing else None
        if rng.random() < 0.5:
            return (jpeg, resize, sinc, None)
        return (None, resize, sinc, jpeg)


_FIRST = StageSettings(
    blur=BlurSettings(1.0, (3, 19), 21, 0.1, KERNEL_WEIGHTS, (0.2, 3.0), (0.5, 4.0), (1.0, 2.0)),
    resize_weights=(0.2, 0.7, 0.1),
    resize_range=(0.15, 1.5),
    gaussian_probability=0.5,
    gaussian_sigma=(1, 30),
    poisson_scale=(0.05, 3.0),
    grey_probability=0.4,
)
_SECOND = StageSettings(
    blur=BlurSettings(0.8, (3, 13), 15, 0.1, KERNEL_WEIGHTS, (0.2, 1.5), (0.5, 4.0), (1.0, 2.0)),
    resize_weights=(0.3, 0.4, 0.3),
    resize_range=(0.3, 1.2),
    gaussian_probability=0.5,
    gaussian_sigma=(1, 25),
    poisson_scale=(0.05, 2.5),
    grey_probability=0.4,
)
# Blur, noise and JPEG ranges are those stated for ImageNet-Test; straight down-sampling, isotropic
# and anisotropic kernels alike and Gaussian noise alone are our reading of "first-order".
_MILD = StageSettings(
    blur=BlurSettings(1.0, (3, 19), 21, 0.0, (0.5, 0.5, 0, 0, 0, 0), (0.2, 0.8), (1, 1), (1, 1)),
    resize_weights=(0, 1, 0),
    resize_range=None,
    gaussian_probability=1.0,
    gaussian_sigma=(1, 15),
    poisson_scale=(0, 0),
    grey_probability=0.4,
)

REALESRGAN = DegradationSettings(
    first=_FIRST,
    first_jpeg=(30, 95),
    second=_SECOND,
    second_probability=0.5,
    final_sinc_probability=0.8,
    final_jpeg=(30, 95),
)
"""The training setting of ResShift, SinSR and TAD-SR."""

IMAGENET_TEST = DegradationSettings(
    first=_MILD,
    first_jpeg=(70, 95),
    second=None,
    second_probability=0.0,
    final_sinc_probability=0.0,
    final_jpeg=None,
)
"""The milder first-order recipe of ImageNet-Test, as far as it is published."""


def degrade_batch(
    hr: torch.Tensor, seed: int, indices: Sequence[int], settings: Recipe = REALESRGAN
) -> torch.Tensor:
    """Degrade `hr`, (N, 3, H, W) float in [0, 1], to (N, 3, H/scale, W/scale), rounded to 8 bits.

    Image n is a pure function of its pixels, (seed, indices[n]) and the settings, on the CPU bit
    for bit in whatever batch. All random numbers, the noise included, are drawn on the CPU, so that
    every device sees the same ones: a GPU's result differs where rounding tips a level. Runs on
    the device of `hr`. Sides must be multiples of `settings.scale`.
    """
    height, width = hr.shape[-2:]
    scale = settings.scale
    if hr.ndim != 4 or hr.shape[1] != 3 or height % scale or width % scale or not hr.numel():
        raise ValueError(
            f"expected (N, 3, H, W), sides multiples of {scale}, got {tuple(hr.shape)}"
        )
    if len(indices) != hr.shape[0]:
        raise ValueError(f"{hr.shape[0]} images and {len(indices)} indices")
    programs = [
        settings.draw(numpy_generator(seed, "degradation", index), (height, width))
        for index in indices
    ]
    lr = torch.stack(run_programs(hr.detach().to(torch.float32), programs))
    return lr.clamp_(0, 1).mul_(255).round_().div_(255)


def degrade(hr: torch.Tensor, seed: int, index: int, settings: Recipe = REALESRGAN) -> torch.Tensor:
    """Degrade one image, (3, H, W) in [0, 1], to (3, H/scale, W/scale); see `degrade_batch`."""
    return degrade_batch(hr[None], seed, [index], settings)[0]


def _random_mode(rng: np.random.Generator) -> Mode:
    return _MODES[rng.integers(3)]


def _random_jpeg(rng: np.random.Generator, quality: tuple[int, int]) -> Jpeg:
    return Jpeg(int(rng.integers(quality[0], quality[1] + 1)))
