"""Finished images of another method: found by name, complete, of the right size."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

from tadsr.config.models import ImagePlace
from tadsr.data.images import read_rgb, to_tensor
from tadsr.data.manifest import pixel_digest, read_manifest
from tadsr.errors import DataError
from tadsr.files import digest_json
from tadsr.models.strict import names_of
from tadsr.plan.sources import finished_files


@dataclass(frozen=True)
class Finished:
    """The finished images of a test set."""

    paths: Mapping[str, Path]
    """By image, in the order of the test set."""
    extra: tuple[str, ...]
    """Pictures in the same place that belong to no image of the test set."""


class FinishedImages:
    """Images that another method made, as an upscaler.

    They go the way of all others: read, checked, stored and measured.
    """

    def __init__(self, paths: Mapping[str, Path]) -> None:
        self._paths = paths

    @property
    def networks(self) -> None:
        """Nothing is computed here; what the method cost is not known."""

    def upscale(self, lr: torch.Tensor, image: str) -> torch.Tensor:
        """See `Upscaler`: the finished image of this name."""
        return to_tensor(read_rgb(self._paths[image]))


def find_finished(place: ImagePlace, dataset: Path) -> Finished:
    """The finished images at a place, one for each image of the test set in the folder `dataset`.

    Raises:
        DataError: images that are not there, all named, or that are there twice.
    """
    images = [str(image) for image in read_manifest(dataset)["image"]]
    there = _by_name(place)
    missing = [image for image in images if image not in there]
    if missing:
        raise DataError(
            f"{place.folder}: {len(missing)} of {len(images)} images are not there as "
            f"'{place.before}<image>{place.after}': {names_of(missing)}; add or rename them"
        )
    extra = tuple(there[image].name for image in there.keys() - set(images))
    return Finished({image: there[image] for image in images}, tuple(sorted(extra)))


def finished_content(finished: Finished, dataset: Path, scale: int) -> str:
    """Digest of the pixels of finished images, by name; files and their compression do not matter.

    Raises:
        DataError: images of another size than `scale` times the LR image, all named with both
            sizes; or one that cannot be read.
    """
    digests, wrong = {}, []
    for row in read_manifest(dataset).to_dict("records"):
        path = finished.paths[str(row["image"])]
        pixels = read_rgb(path)
        height, width = scale * row["lr_height"], scale * row["lr_width"]
        if pixels.shape[:2] != (height, width):
            size = f"{pixels.shape[1]}x{pixels.shape[0]}"
            wrong.append(f"{path.name} ({size} instead of {width}x{height})")
        digests[str(row["image"])] = pixel_digest(pixels)
    if wrong:
        raise DataError(
            f"{path.parent}: {len(wrong)} of {len(digests)} images are not {scale} times as large "
            f"as their LR image: {names_of(wrong)}; take the method's uncropped outputs"
        )
    return digest_json(digests)


def _by_name(place: ImagePlace) -> dict[str, Path]:
    """Image to file, of every picture that fits the pattern."""
    there: dict[str, Path] = {}
    for image, file in finished_files(place):
        other = there.setdefault(image, place.folder / file)
        if other.name != file:
            raise DataError(
                f"{place.folder}: {other.name} and {file} are both image '{image}'; "
                "remove one of them"
            )
    return there
