"""The folder of super-resolved images of one upscaler on one data set.

`identity.json` says what made them, and is written before the first image: images are reused if
it agrees, and otherwise made anew. `timing.json` holds what each cost; it is kept apart from the
scores, so that equal images give equal score files.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import torch

from tadsr.config.base import SCALE
from tadsr.data.dataset import TestImage
from tadsr.data.images import read_rgb, to_tensor, to_uint8, write_png
from tadsr.errors import DataError
from tadsr.evaluation.scores import TIMING
from tadsr.evaluation.upscalers import Upscaler
from tadsr.files import read_json, write_json

IDENTITY = "identity.json"


def image_path(folder: Path, name: str) -> Path:
    """Where the super-resolved image `name` lies."""
    return folder / f"{name}.png"


def super_resolve(
    upscaler_factory: Callable[[], Upscaler],
    pairs: list[TestImage],
    folder: Path,
    identity: dict[str, str],
    progress: Callable[[int], None],
    scale: int = SCALE,
) -> dict[str, str]:
    """Make the images of `pairs` that are missing, as 8-bit PNG; the others stay.

    The upscaler is loaded only if an image is missing. Returns image to reason for those that
    failed; the others are made all the same. `progress` is called with the number of images done.
    """
    _start(folder, identity)
    missing = [pair for pair in pairs if not image_path(folder, pair.name).is_file()]
    if not missing:
        return {}
    upscaler = upscaler_factory()
    failed: dict[str, str] = {}
    seconds: dict[str, float] = {}
    try:
        for done, pair in enumerate(missing, start=len(pairs) - len(missing)):
            progress(done)
            try:
                taken = _make(upscaler, pair, image_path(folder, pair.name), scale)
                if upscaler.networks is not None:  # reading a finished image is no inference
                    seconds[pair.name] = taken
            except DataError as error:
                failed[pair.name] = str(error)
    finally:
        _note_seconds(folder, seconds)
    return failed


def _start(folder: Path, identity: dict[str, str]) -> None:
    """Leave in `folder` only images that `identity` made."""
    path = folder / IDENTITY
    if path.is_file() and read_json(path) == identity:
        return
    if folder.is_dir():
        for stale in (*folder.glob("*.png"), folder / TIMING):
            stale.unlink(missing_ok=True)
    write_json(path, identity)


def _make(upscaler: Upscaler, pair: TestImage, path: Path, scale: int) -> float:
    """Make one image; returns the seconds of inference alone."""
    lr = to_tensor(read_rgb(pair.lr_path))
    begun = time.perf_counter()
    sr = upscaler.upscale(lr, pair.name).detach().cpu()  # the copy waits for the GPU
    seconds = time.perf_counter() - begun
    expected = (3, scale * lr.shape[1], scale * lr.shape[2])
    if tuple(sr.shape) != expected:
        raise DataError(f"the upscaler gave shape {tuple(sr.shape)}, not {expected}")
    if not bool(torch.isfinite(sr).all()):
        raise DataError(
            "the model puts out NaN or infinite values; train it again with a lower learning rate"
        )
    write_png(path, to_uint8(sr))
    return seconds


def _note_seconds(folder: Path, seconds: dict[str, float]) -> None:
    path = folder / TIMING
    known = read_json(path)["seconds"] if path.is_file() else {}
    rounded = {name: round(value, 5) for name, value in seconds.items()}
    write_json(path, {"seconds": {**known, **rounded}})
