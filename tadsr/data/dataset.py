"""Training crops as a pure function of (seed, crop number), and the pairs of a test set."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import get_args

import numpy as np
import torch

from tadsr.config.base import SCALE
from tadsr.config.data import Degradation as Degradation
from tadsr.data.degradations import make_lr
from tadsr.data.images import RGB8, read_rgb
from tadsr.data.manifest import read_manifest
from tadsr.errors import DataError
from tadsr.seeds import derive, numpy_generator

MEMORY = 4 * 2**30
"""Bytes of decoded training images that a process keeps."""


@dataclass(frozen=True)
class Batch:
    """Crops `hr`: (n, 3, crop, crop), `lq`: (n, 3, crop/scale, crop/scale), float32 in [-1, 1]."""

    hr: torch.Tensor
    lq: torch.Tensor
    names: tuple[str, ...]
    indices: tuple[int, ...]  # crop numbers


@dataclass(frozen=True)
class TestImage:
    """An image to upscale, and its reference where there is one."""

    __test__ = False  # a name that pytest would take for a test class

    name: str
    lr_path: Path
    hr_path: Path | None


class TrainingCrops:
    """Random crops of the HR images of a data set, with their degraded LR.

    Crop number i depends on (seed, i) alone: not on batch size, process or what was drawn before.
    Every image comes once per epoch, in an order shuffled anew, whatever its size (as in the
    released recipes); positions are uniform; half of the crops are flipped left to right, the
    only augmentation of the papers. LR is rounded to 8 bits, as test images are.
    """

    def __init__(
        self,
        folder: Path | str,
        crop: int,
        degradation: Degradation,
        scale: int = SCALE,
        seed: int = 0,
        *,
        flip: bool = True,
        axis: str = "crops",
    ) -> None:
        if crop < 1 or crop % scale:
            raise ValueError(f"crop must be a positive multiple of {scale}, got {crop}")
        if degradation not in get_args(Degradation):
            known = ", ".join(get_args(Degradation))
            raise ValueError(f"degradation must be one of {known}, got {degradation!r}")
        self.crop = crop
        self.degradation = degradation
        self.scale = scale
        self.seed = seed
        self.flip = flip
        self.axis = axis
        self.names, paths = _find_hr(Path(folder), crop)
        self._images = _Images(paths, MEMORY)

    def __len__(self) -> int:
        """Number of images: the crops of one epoch."""
        return len(self._images)

    def batch(self, start: int, count: int) -> Batch:
        """Crops number `start` to `start + count - 1`."""
        if start < 0 or count < 1:
            raise ValueError(f"start must be >= 0 and count >= 1, got {start} and {count}")
        return self.pick(range(start, start + count))

    def pick(self, numbers: Iterable[int]) -> Batch:
        """Crops by number, in the order given."""
        indices = tuple(numbers)
        drawn = [self._draw(index) for index in indices]
        # (n, crop, crop, 3) to (n, 3, crop, crop), still 8-bit levels
        levels = torch.from_numpy(np.stack([crop for _, crop in drawn]))
        levels = levels.permute(0, 3, 1, 2).contiguous()
        return Batch(
            hr=levels.to(torch.float32) / 127.5 - 1,
            lq=self._degrade(levels, indices),
            names=tuple(self.names[image] for image, _ in drawn),
            indices=indices,
        )

    def _draw(self, index: int) -> tuple[int, RGB8]:
        """(image number, pixels) of crop `index`."""
        epoch, place = divmod(index, len(self._images))
        image = _order(self.seed, self.axis, epoch, len(self._images))[place]
        pixels = self._images[image]
        rng = numpy_generator(self.seed, self.axis, "place", index)
        top = int(rng.integers(pixels.shape[0] - self.crop + 1))
        left = int(rng.integers(pixels.shape[1] - self.crop + 1))
        crop = pixels[top : top + self.crop, left : left + self.crop]
        return image, crop[:, ::-1] if self.flip and rng.random() < 0.5 else crop

    def _degrade(self, levels: torch.Tensor, indices: tuple[int, ...]) -> torch.Tensor:
        # By axis: validation crop i must not meet the kernels and noise of training crop i.
        seed = derive(self.seed, self.axis, "degradation")
        lr = make_lr(levels, self.degradation, seed, indices, self.scale)
        return lr.to(torch.float32) / 127.5 - 1


def fixed_pairs(
    folder: Path | str,
    crop: int,
    count: int,
    degradation: Degradation,
    seed: int = 0,
    scale: int = SCALE,
) -> Batch:
    """`count` crops for validation, the same at every call: all images in turn, never flipped."""
    crops = TrainingCrops(folder, crop, degradation, scale, seed, flip=False, axis="fixed")
    return crops.batch(0, count)


def load_pairs(folder: Path | str) -> list[TestImage]:
    """The images of a data set to upscale, in the manifest's order.

    Raises:
        DataError: no manifest, or a data set without LR (the training set).
    """
    folder = Path(folder)
    pairs = []
    for row in read_manifest(folder).to_dict("records"):
        if not row["lr"]:
            raise DataError(f"{folder}: '{row['image']}' has no LR image; choose a val or test set")
        hr_path = folder / row["hr"] if row["hr"] else None
        pairs.append(TestImage(row["image"], folder / row["lr"], hr_path))
    return pairs


class _Images:
    """The HR images of a data set by number, read when first asked for.

    They stay in memory as long as they fit; a set as large as ImageNet is read again and again.
    """

    def __init__(self, paths: list[Path], budget: int) -> None:
        self._paths = paths
        self._free = budget
        self._kept: dict[int, RGB8] = {}

    def __len__(self) -> int:
        return len(self._paths)

    def __getitem__(self, number: int) -> RGB8:
        if number in self._kept:
            return self._kept[number]
        pixels = read_rgb(self._paths[number])
        if pixels.nbytes <= self._free:
            self._free -= pixels.nbytes
            self._kept[number] = pixels
        return pixels


def _find_hr(folder: Path, crop: int) -> tuple[list[str], list[Path]]:
    """Names and files of the HR images, each at least as large as a crop."""
    names, paths = [], []
    for row in read_manifest(folder).to_dict("records"):
        if not row["hr"]:
            raise DataError(f"{folder}: '{row['image']}' has no HR image to take crops from")
        if min(row["hr_width"], row["hr_height"]) < crop:
            raise DataError(
                f"{folder / row['hr']}: {row['hr_width']}x{row['hr_height']} is smaller than the "
                f"crop of {crop}; remove it or choose a smaller crop"
            )
        names.append(str(row["image"]))
        paths.append(folder / row["hr"])
    return names, paths


@lru_cache(maxsize=8)
def _order(seed: int, axis: str, epoch: int, count: int) -> tuple[int, ...]:
    """The order of the images in an epoch."""
    rng = numpy_generator(seed, axis, "order", epoch)
    return tuple(int(image) for image in rng.permutation(count))
