"""The folder of super-resolved images of one upscaler on one data set.

`identity.json` says what made them, and is written before the first image: images are reused if
it agrees, and otherwise made anew. `timing.json` holds what each cost; it is kept apart from the
scores, so that equal images give equal score files. `scores.jsonl` is there while an evaluation
is not finished (`tadsr.evaluation.journal`).
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path

import torch

from tadsr.config.base import SCALE
from tadsr.data.dataset import TestImage
from tadsr.data.images import RGB8, read_rgb, to_tensor, to_uint8
from tadsr.errors import DataError
from tadsr.evaluation.journal import JOURNAL
from tadsr.evaluation.scores import TIMING
from tadsr.evaluation.upscalers import Upscaler
from tadsr.files import read_json, write_json

IDENTITY = "identity.json"


def image_path(folder: Path, name: str) -> Path:
    """Where the super-resolved image `name` lies."""
    return folder / f"{name}.png"


def start_folder(folder: Path, identity: Mapping[str, str]) -> None:
    """Leave in `folder` only images that `identity` made."""
    path = folder / IDENTITY
    if path.is_file() and read_json(path) == identity:
        return
    if folder.is_dir():
        for stale in (*folder.glob("*.png"), folder / JOURNAL, folder / TIMING):
            stale.unlink(missing_ok=True)
    write_json(path, identity)


def super_resolve(
    upscaler: Upscaler, pair: TestImage, scale: int = SCALE
) -> tuple[RGB8, float | None]:
    """One image as (H, W, 3) 8-bit levels, and the seconds of inference alone.

    Raises:
        DataError: an LR image that cannot be read, another size than `scale` times it, or NaN.
    """
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
    return to_uint8(sr), seconds if upscaler.networks is not None else None


def note_seconds(folder: Path, seconds: Mapping[str, float]) -> None:
    """Add seconds of inference by image to those that are known."""
    path = folder / TIMING
    known = read_json(path)["seconds"] if path.is_file() else {}
    rounded = {name: round(value, 5) for name, value in seconds.items()}
    write_json(path, {"seconds": {**known, **rounded}})
