"""Where the images of a data set come from: photographs, a folder, pairs, or LR alone.

Each source yields `Item`s one at a time, cropped so that HR is exactly `scale` times LR.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch

from tadsr.config.data import DatasetSpec
from tadsr.data.degradations import make_lr
from tadsr.data.folders import check_count, find_pairs, find_singles, members
from tadsr.data.images import RGB8, read_rgb, read_size
from tadsr.data.photos import photo_paths
from tadsr.errors import ConfigError, DataError
from tadsr.seeds import derive

SMALLEST_LR = 8
"""Shortest side of an LR image, in pixels: the windows of networks and metrics need it."""

DECODED = 10_000
"""Training images up to which each is decoded once: damage is found before a training starts, and
copies among the test images are told by their pixels. Beyond it, files alone are digested."""


@dataclass(frozen=True)
class Item:
    """One image of a data set, (H, W, 3) uint8 each, and the files it was read from.

    `source` is a credit or a file name; a made LR image has no file. A training image of a folder
    stays where it is, and in a large folder it is not even decoded: then there are no pixels.
    """

    name: str
    hr: RGB8 | None
    lr: RGB8 | None
    source: str
    hr_file: Path | None
    lr_file: Path | None
    hr_size: tuple[int, int] | None = None
    """(height, width) of an HR image that is not copied."""


Reader = Callable[[], Item | None]
"""Reads one image; None: it is left out, as asked."""


def read_items(spec: DatasetSpec, scale: int, *, hr_only: bool) -> Iterator[Item | DataError]:
    """The images of `spec` in a fixed order; LR is left out if `hr_only` (training images).

    The names of a folder are sorted; `count` is checked, then `holdout` and `limit` apply. In
    place of an image that cannot be read, is too small or has a partner of a wrong size comes the
    error that names it: so all of them can be told at once.

    Raises:
        DataError: an image without partner, a folder of another number of images, or with more
            than one way to read it.
    """
    if spec.kind == "pairs":
        readers = _pairs(spec, scale)
    elif hr_only and stays_in_place(spec):
        readers = _in_place(spec, scale)
    else:
        readers = _singles(spec, scale, hr_only)
    for read in readers:
        try:
            item = read()
        except DataError as error:
            yield error
        else:
            if item is not None:
                yield item


def stays_in_place(spec: DatasetSpec) -> bool:
    """Whether training images are read from where they are, instead of from a copy.

    A copy of a set as large as ImageNet would take days and hundreds of gigabytes. `size` cuts
    images, so those are stored.
    """
    return spec.kind == "folder" and spec.size is None


def _in_place(spec: DatasetSpec, scale: int) -> Iterator[Reader]:
    """Training images that stay where they are; of a large folder the headers alone are read."""
    if spec.path is None:
        raise ConfigError("a data set of kind 'folder' needs 'path'")
    folder = Path(spec.path).expanduser()
    files = find_singles(folder, "hr", spec.hr)
    chosen = _chosen(spec, files, folder)
    for name in chosen:
        yield partial(_look_at, spec, scale, name, files[name], len(chosen) <= DECODED)


def _look_at(spec: DatasetSpec, scale: int, name: str, path: Path, decode: bool) -> Item | None:
    size = read_size(path)
    if spec.skip_small and min(size) < (spec.crop or 0):
        return None
    _check_size(path.name, size, max(SMALLEST_LR * scale, spec.crop or 0))
    pixels = centre_crop(read_rgb(path), None, scale) if decode else None
    return Item(name, pixels, None, path.name, path.absolute(), None, size)


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


def _singles(spec: DatasetSpec, scale: int, hr_only: bool) -> Iterator[Reader]:
    """Photographs, or the pictures of a folder."""
    read = partial(_single, spec, scale, hr_only)
    if spec.path is None:
        if spec.kind == "folder":
            raise ConfigError("a data set of kind 'folder' needs 'path'")
        for photo in photo_paths(spec.split or "test")[: spec.limit]:
            source = f"{photo.package} {photo.file}: {photo.credit}"
            yield partial(read, photo.name, source, photo.path, photo.read)
        return
    folder = Path(spec.path).expanduser()
    role, subfolder = ("hr", spec.hr) if spec.kind == "folder" else ("lr", spec.lr)
    files = find_singles(folder, role, subfolder)
    for name in _chosen(spec, files, folder):
        yield partial(read, name, files[name].name, files[name], partial(read_rgb, files[name]))


def _single(
    spec: DatasetSpec, scale: int, hr_only: bool,
    name: str, source: str, path: Path, pixels: Callable[[], RGB8],
) -> Item | None:  # fmt: skip
    if spec.kind == "lr_only":
        lr = centre_crop(pixels(), spec.size, 1)
        _check_size(source, lr.shape, SMALLEST_LR)
        return Item(name, None, lr, source, None, path)
    hr = centre_crop(pixels(), spec.size, scale)
    if spec.skip_small and min(hr.shape[:2]) < (spec.crop or 0):
        return None
    _check_size(source, hr.shape, max(SMALLEST_LR * scale, spec.crop or 0))
    made = None if hr_only else _make_lr(hr, name, spec, scale)
    return Item(name, hr, made, source, path, None)


def _pairs(spec: DatasetSpec, scale: int) -> Iterator[Reader]:
    if spec.path is None:
        raise ConfigError("a data set of kind 'pairs' needs 'path' with subfolders hr and lr")
    folder = Path(spec.path).expanduser()
    files = find_pairs(folder, spec.hr, spec.lr)
    for name in _chosen(spec, files, folder):
        yield partial(_pair, spec, scale, name, *files[name])


def _pair(spec: DatasetSpec, scale: int, name: str, hr_path: Path, lr_path: Path) -> Item:
    hr, lr = _align(read_rgb(hr_path), read_rgb(lr_path), scale, hr_path)
    hr = centre_crop(hr, spec.size, scale)
    lr = centre_crop(lr, spec.size // scale if spec.size else None, 1)
    _check_size(hr_path.name, hr.shape, max(SMALLEST_LR * scale, spec.crop or 0))
    return Item(name, hr, lr, hr_path.name, hr_path, lr_path)


def _chosen(spec: DatasetSpec, names: Collection[str], folder: Path) -> list[str]:
    """The names to read: counted, those of the split, then the first `limit`."""
    check_count(spec, len(names), folder)
    chosen = sorted(names)
    if spec.holdout is not None and spec.split is not None:
        chosen = members(names, spec.holdout, spec.split, folder)
    return chosen[: spec.limit]


def _align(hr: RGB8, lr: RGB8, scale: int, place: Path) -> tuple[RGB8, RGB8]:
    """Cut a pair to exact multiples; LR may be HR / scale rounded up or down."""
    kept = []
    for large, small in zip(hr.shape[:2], lr.shape[:2], strict=True):
        if small not in (large // scale, -(-large // scale)):
            wanted = "not the same size" if scale == 1 else f"not 1/{scale} of it"
            raise DataError(
                f"{place}: HR is {hr.shape[1]}x{hr.shape[0]}, LR {lr.shape[1]}x{lr.shape[0]}, "
                f"{wanted}; check that the two belong together (and data.scale)"
            )
        kept.append(large // scale)
    return hr[: kept[0] * scale, : kept[1] * scale], lr[: kept[0], : kept[1]]


def _check_size(source: str, size: tuple[int, ...], smallest: int) -> None:
    height, width = size[:2]
    if min(height, width) < smallest:
        raise DataError(
            f"{source}: {width}x{height} pixels (after cropping) is smaller than {smallest}; "
            "remove it, choose a smaller crop, or set skip_small for a training folder"
        )


def _make_lr(hr: RGB8, name: str, spec: DatasetSpec, scale: int) -> RGB8:
    if spec.degradation is None:
        raise ConfigError(f"a data set of kind '{spec.kind}' needs 'degradation' to make LR")
    levels = torch.from_numpy(hr.transpose(2, 0, 1).copy())[None]
    # By name, not by position: `limit` then changes no image.
    seed = derive(spec.seed, "lr", name)
    lr = make_lr(levels, spec.degradation, seed, [0], scale)
    return lr[0].permute(1, 2, 0).contiguous().numpy()
