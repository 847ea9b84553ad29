"""Where the images of a data set come from: photographs, a folder, pairs, or LR alone.

Each source yields `Item`s one at a time, cropped so that HR is exactly `scale` times LR.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from tadsr.config.data import DatasetSpec
from tadsr.data.images import RGB8, list_images, read_rgb, to_tensor, to_uint8
from tadsr.data.photos import photo_paths
from tadsr.data.realesrgan import REALESRGAN, degrade
from tadsr.data.resize import bicubic_lr
from tadsr.errors import ConfigError, DataError
from tadsr.seeds import derive

SMALLEST_LR = 8
"""Shortest side of an LR image, in pixels: the windows of networks and metrics need it."""


@dataclass(frozen=True)
class Item:
    """One image of a data set, (H, W, 3) uint8 each; `source` is a credit or a file name."""

    name: str
    hr: RGB8 | None
    lr: RGB8 | None
    source: str


def read_items(spec: DatasetSpec, scale: int, *, hr_only: bool) -> Iterator[Item]:
    """The images of `spec` in a fixed order; LR is left out if `hr_only` (training images).

    Raises:
        DataError: an image that cannot be read, is too small, has no partner or a wrong size.
    """
    if spec.kind == "pairs":
        yield from _read_pairs(spec, scale)
        return
    for name, source, pixels in _read_singles(spec):
        if spec.kind == "lr_only":
            lr = centre_crop(pixels, spec.size, 1)
            _check_size(source, lr, SMALLEST_LR)
            yield Item(name, None, lr, source)
            continue
        hr = centre_crop(pixels, spec.size, scale)
        _check_size(source, hr, max(SMALLEST_LR * scale, spec.crop or 0))
        yield Item(name, hr, None if hr_only else _make_lr(hr, name, spec, scale), source)


def centre_crop(pixels: RGB8, size: int | None, multiple: int) -> RGB8:
    """Crop to at most `size` pixels a side, sides and offsets being multiples of `multiple`.

    Without `size` the rest is cut right and below (the usual mod-crop).
    """
    sides = [s // multiple * multiple for s in pixels.shape[:2]]
    if size is None:
        return pixels[: sides[0], : sides[1]]
    target = size // multiple * multiple
    kept = [min(side, target) for side in sides]
    top, left = ((s - k) // 2 // multiple * multiple for s, k in zip(sides, kept, strict=True))
    return pixels[top : top + kept[0], left : left + kept[1]]


def unique_stems(paths: list[Path]) -> dict[str, Path]:
    """Paths by stem. Two files of one stem (a.png, a.jpg) would overwrite each other: an error."""
    stems: dict[str, Path] = {}
    for path in paths:
        other = stems.setdefault(path.stem, path)
        if other is not path:
            raise DataError(
                f"{path.parent}: {other.name} and {path.name} have one name '{path.stem}'; "
                "rename or remove one of them"
            )
    return stems


def _read_singles(spec: DatasetSpec) -> Iterator[tuple[str, str, RGB8]]:
    """(name, source, pixels) of photographs or of the pictures of a folder."""
    if spec.kind == "folder" and spec.path is None:
        raise ConfigError("a data set of kind 'folder' needs 'path'")
    if spec.kind == "photos" or spec.path is None:
        for photo in photo_paths(spec.split or "test")[: spec.limit]:
            yield photo.name, f"{photo.package} {photo.file}: {photo.credit}", photo.read()
        return
    stems = unique_stems(list_images(Path(spec.path).expanduser()))
    for stem in sorted(stems)[: spec.limit]:
        yield stem, stems[stem].name, read_rgb(stems[stem])


def _read_pairs(spec: DatasetSpec, scale: int) -> Iterator[Item]:
    if spec.path is None:
        raise ConfigError("a data set of kind 'pairs' needs 'path' with subfolders hr and lr")
    folder = Path(spec.path).expanduser()
    hr_paths = unique_stems(list_images(folder / "hr"))
    lr_paths = unique_stems(list_images(folder / "lr"))
    alone = sorted(hr_paths.keys() ^ lr_paths.keys())
    if alone:
        has, lacks = ("hr", "lr") if alone[0] in hr_paths else ("lr", "hr")
        raise DataError(
            f"{folder}: '{alone[0]}' is in {has} but not in {lacks} ({len(hr_paths)} hr, "
            f"{len(lr_paths)} lr images, {len(alone)} without partner); add or remove it"
        )
    for stem in sorted(hr_paths)[: spec.limit]:
        hr, lr = read_rgb(hr_paths[stem]), read_rgb(lr_paths[stem])
        hr, lr = _align(hr, lr, scale, str(hr_paths[stem]))
        hr = centre_crop(hr, spec.size, scale)
        lr = centre_crop(lr, spec.size // scale if spec.size else None, 1)
        _check_size(hr_paths[stem].name, hr, max(SMALLEST_LR * scale, spec.crop or 0))
        yield Item(stem, hr, lr, hr_paths[stem].name)


def _align(hr: RGB8, lr: RGB8, scale: int, place: str) -> tuple[RGB8, RGB8]:
    """Cut a pair to exact multiples; LR may be HR / scale rounded up or down."""
    kept = []
    for large, small in zip(hr.shape[:2], lr.shape[:2], strict=True):
        if small not in (large // scale, -(-large // scale)):
            raise DataError(
                f"{place}: HR is {hr.shape[1]}x{hr.shape[0]}, LR {lr.shape[1]}x{lr.shape[0]}, "
                f"not 1/{scale} of it; check that the two belong together"
            )
        kept.append(large // scale)
    return hr[: kept[0] * scale, : kept[1] * scale], lr[: kept[0], : kept[1]]


def _check_size(source: str, pixels: RGB8, smallest: int) -> None:
    height, width = pixels.shape[:2]
    if min(height, width) < smallest:
        raise DataError(
            f"{source}: {width}x{height} pixels (after cropping) is smaller than {smallest}; "
            "remove it or choose a smaller crop"
        )


def _make_lr(hr: RGB8, name: str, spec: DatasetSpec, scale: int) -> RGB8:
    if spec.degradation == "realesrgan":
        # By name, not by position: `limit` then changes no image.
        settings = replace(REALESRGAN, scale=scale)
        return to_uint8(degrade(to_tensor(hr), derive(spec.seed, "lr", name), 0, settings))
    if spec.degradation != "bicubic":
        raise ConfigError(f"degradation '{spec.degradation}' cannot make LR: bicubic or realesrgan")
    levels = torch.from_numpy(hr.transpose(2, 0, 1).copy())[None]
    return bicubic_lr(levels, scale)[0].permute(1, 2, 0).contiguous().numpy()
