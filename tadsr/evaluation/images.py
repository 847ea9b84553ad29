"""The folder of super-resolved images of one upscaler on one data set.

`identity.json` says what made them, and is written before the first image: images are reused if
it agrees, and otherwise made anew. `scores.jsonl` is there while an evaluation is not finished
(`tadsr.evaluation.journal`).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch

from tadsr.config.base import SCALE
from tadsr.data.dataset import TestImage
from tadsr.data.images import RGB8, read_rgb, to_tensor, to_uint8
from tadsr.errors import DataError
from tadsr.evaluation.journal import JOURNAL
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
        for stale in (*folder.glob("*.png"), folder / JOURNAL):
            stale.unlink(missing_ok=True)
    write_json(path, identity)


def super_resolve(upscaler: Upscaler, pair: TestImage, scale: int = SCALE) -> RGB8:
    """One image as (H, W, 3) 8-bit levels.

    Raises:
        DataError: an LR image that cannot be read, another size than `scale` times it, or NaN.
    """
    lr = to_tensor(read_rgb(pair.lr_path))
    sr = upscaler.upscale(lr, pair.name).detach().cpu()
    expected = (3, scale * lr.shape[1], scale * lr.shape[2])
    if tuple(sr.shape) != expected:
        raise DataError(f"the upscaler gave shape {tuple(sr.shape)}, not {expected}")
    if not bool(torch.isfinite(sr).all()):
        raise DataError(
            "the model puts out NaN or infinite values; train it again with a lower learning rate"
        )
    return to_uint8(sr)
