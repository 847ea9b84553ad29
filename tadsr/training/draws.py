"""The random numbers of a step, image by image."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from tadsr import seeds
from tadsr.training.placement import to_device


@dataclass(frozen=True)
class Draws:
    """What the images of a batch meet: row i is a function of (seed, axis, positions[i]) alone.

    So it does not matter in which batch, piece of a batch or process an image is worked on. All
    numbers are drawn on the CPU, the same for every device.

    Attributes:
        positions: place of each image in the training (or in a pool), N of them.
    """

    seed: int
    positions: Iterable[int]

    def gaussian(self, axis: str, like: Tensor) -> Tensor:
        """Standard Gaussian noise shaped like `like`, (N, ...)."""
        return self._rows(axis, like, torch.randn)

    def uniform(self, axis: str, like: Tensor) -> Tensor:
        """Noise uniform on [0, 1), shaped like `like`, (N, ...)."""
        return self._rows(axis, like, torch.rand)

    def steps(self, axis: str, steps: int, device: torch.device | str) -> Tensor:
        """(N,) int64 uniform on {0, ..., steps - 1}."""
        rows = [int(torch.randint(steps, (), generator=self.generator(axis, i)))
                for i in self.positions]  # fmt: skip
        return to_device(torch.tensor(rows), device)

    def generator(self, axis: str, position: int) -> torch.Generator:
        """The generator of one image on an axis, for other distributions."""
        return seeds.torch_generator(self.seed, axis, position)

    def _rows(self, axis: str, like: Tensor, draw: Callable[..., Tensor]) -> Tensor:
        rows = [draw(like.shape[1:], generator=self.generator(axis, i)) for i in self.positions]
        return to_device(torch.stack(rows), like.device)
