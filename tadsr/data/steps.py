"""The steps of a random degradation, and running a batch of programs of them.

A program is a tuple of steps with every number drawn already; `None` leaves the image as it is. The
programs of one recipe are equally long, so they run in lockstep: at each place, images of one
size that meet the same kind of step are one batch. An image's result does not depend on who else
is in the batch: no step mixes images, and what could change the rounding (the size of a Fourier
transform) depends on the image and its kernel alone.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Hashable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import torch
import torch.nn.functional as F

from tadsr.data.jpeg import jpeg_round_trip
from tadsr.data.kernels import Kernel, blur
from tadsr.data.noise import gaussian_noise, poisson_noise

Mode = Literal["area", "bilinear", "bicubic"]


@dataclass(frozen=True)
class Step(ABC):
    """One step of one image."""

    def group(self) -> Hashable:
        """Steps of one class and group run as one batch on images of one size."""
        return None

    @staticmethod
    @abstractmethod
    def run(images: torch.Tensor, steps: Sequence[Any]) -> torch.Tensor:
        """Apply steps[n] to image n of (N, 3, H, W) in [0, 1]; all of one class and group."""


Program = tuple[Step | None, ...]

CPU_VALUES = 1 << 18
"""Largest batch of a step on the CPU, in values: what fits its cache runs twice as fast."""


@dataclass(frozen=True)
class Blur(Step):
    """Correlation with an odd square kernel; the border is reflected."""

    kernel: Kernel

    def group(self) -> Hashable:
        """By kernel size."""
        return self.kernel.shape

    @staticmethod
    def run(images: torch.Tensor, steps: Sequence[Blur]) -> torch.Tensor:
        """Blur each image by its own kernel."""
        return blur(images, [step.kernel for step in steps])


@dataclass(frozen=True)
class Resize(Step):
    """To (height, width), without antialiasing: aliasing is a defect worth learning too."""

    size: tuple[int, int]
    mode: Mode

    def group(self) -> Hashable:
        """By target and mode."""
        return (self.size, self.mode)

    @staticmethod
    def run(images: torch.Tensor, steps: Sequence[Resize]) -> torch.Tensor:
        """Resize all images alike."""
        size, mode = steps[0].size, steps[0].mode
        if size == tuple(images.shape[-2:]):
            return images
        return F.interpolate(
            images, size=size, mode=mode, align_corners=None if mode == "area" else False
        )


@dataclass(frozen=True)
class Noise(Step):
    """Noise of its own for each image; clamped to [0, 1] after it."""

    @abstractmethod
    def of(self, image: torch.Tensor) -> torch.Tensor:
        """The noise of a (3, H, W) image: (3, H, W), or (1, H, W) for all channels."""

    @staticmethod
    def run(images: torch.Tensor, steps: Sequence[Noise]) -> torch.Tensor:
        """Add to each image its own noise."""
        noisy = [image + step.of(image) for image, step in zip(images, steps, strict=True)]
        return torch.stack(noisy).clamp_(0, 1)


@dataclass(frozen=True)
class GaussianNoise(Noise):
    """Noise of standard deviation `sigma` in [0, 1] units."""

    seed: int
    sigma: float
    grey: bool

    def of(self, image: torch.Tensor) -> torch.Tensor:
        """See `Noise`."""
        return gaussian_noise(image, self.seed, self.sigma, self.grey)


@dataclass(frozen=True)
class PoissonNoise(Noise):
    """Shot noise times `scale`."""

    seed: int
    scale: float
    grey: bool

    def of(self, image: torch.Tensor) -> torch.Tensor:
        """See `Noise`."""
        return self.scale * poisson_noise(image, self.seed, self.grey)


@dataclass(frozen=True)
class Jpeg(Step):
    """A JPEG of integer `quality`; the image is clamped and rounded to 8 bits, as in any file."""

    quality: int

    @staticmethod
    def run(images: torch.Tensor, steps: Sequence[Jpeg]) -> torch.Tensor:
        """Compress each image by its own quality."""
        return jpeg_round_trip(images, [step.quality for step in steps])


def run_programs(images: torch.Tensor, programs: Sequence[Program]) -> list[torch.Tensor]:
    """Run programs[n] on image n of (N, 3, H, W); the results may differ in size."""
    current = list(images.unbind())
    with _one_thread():
        for steps in zip(*programs, strict=True):
            _run_place(current, steps)
    return current


def _run_place(current: list[torch.Tensor], steps: Sequence[Step | None]) -> None:
    """Replace the images of `current` by what steps[n] makes of them."""
    groups: dict[Hashable, list[int]] = defaultdict(list)
    for n, step in enumerate(steps):
        if step is not None:
            groups[type(step), step.group(), current[n].shape].append(n)
    for members in groups.values():
        for part in _parts(members, current[members[0]]):
            chosen = [step for n in part if (step := steps[n]) is not None]
            done = type(chosen[0]).run(torch.stack([current[n] for n in part]), chosen)
            for n, image in zip(part, done.unbind(), strict=True):
                current[n] = image


@contextmanager
def _one_thread() -> Iterator[None]:
    """CPU work on one thread: the steps are so short that a second gains nothing when idle.

    Beside another busy process, two threads that wait for each other took six times as long.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _parts(members: list[int], image: torch.Tensor) -> list[list[int]]:
    """Split a group of images like `image` into batches that suit its device."""
    most = max(1, CPU_VALUES // image.numel()) if image.device.type == "cpu" else len(members)
    return [members[i : i + most] for i in range(0, len(members), most)]
