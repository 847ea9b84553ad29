"""What a user may hand to the pipeline, and what comes back: everything becomes a tensor."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps
from torch import Tensor

from tadsr.data.images import read_rgb, to_tensor, to_uint8
from tadsr.errors import ConfigError, DataError, nearest

ImageInput = Image.Image | Path | str | NDArray[Any] | Tensor
OUTPUT_TYPES = ("pil", "np", "pt")


def to_tensors(image: ImageInput | list[ImageInput]) -> list[Tensor]:
    """All images of the input as (3, h, w) float32 tensors in [0, 1].

    Raises:
        DataError: something that is no picture, of a wrong shape or type, or out of range.
    """
    if isinstance(image, list | tuple):
        return [tensor for one in image for tensor in to_tensors(one)]
    if isinstance(image, Tensor):
        return _from_tensor(image)
    if isinstance(image, str | Path):
        return [to_tensor(read_rgb(image))]
    if isinstance(image, Image.Image):
        return [to_tensor(_rgb(image))]
    if isinstance(image, np.ndarray):
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or not image.size:
            raise DataError(
                f"an array of {image.dtype} {image.shape} is no picture; pass uint8 (h, w, 3)"
            )
        return [to_tensor(image)]
    raise DataError(
        f"a {type(image).__name__} is no picture; pass a PIL image, a path, an array or a tensor"
    )


def from_tensor(image: Tensor, output_type: str) -> Any:
    """(3, H, W) in [0, 1] as a PIL image, an (H, W, 3) float32 array, or the tensor itself."""
    if output_type == "pil":
        return Image.fromarray(to_uint8(image))
    if output_type == "np":
        return image.permute(1, 2, 0).cpu().numpy()
    return image


def check_output_type(output_type: str) -> None:
    """Refuse an output type that does not exist."""
    if output_type not in OUTPUT_TYPES:
        raise ConfigError(
            f"output_type '{output_type}' is not known; {nearest(output_type, list(OUTPUT_TYPES))}"
        )


def _from_tensor(image: Tensor) -> list[Tensor]:
    batch = image[None] if image.ndim == 3 else image
    if batch.ndim != 4 or batch.shape[1] != 3 or not batch.numel():
        raise DataError(
            f"a tensor of shape {tuple(image.shape)} is no picture; pass (3, h, w) or (N, 3, h, w)"
        )
    if not batch.is_floating_point():
        raise DataError(f"a tensor of {image.dtype} is no picture; pass floats in [0, 1]")
    batch = batch.detach().float()
    low, high = float(batch.min()), float(batch.max())
    if not (low >= 0 and high <= 1):
        raise DataError(f"tensor values from {low:.3g} to {high:.3g}; scale the picture to [0, 1]")
    return list(batch)


def _rgb(image: Image.Image) -> NDArray[np.uint8]:
    """Upright 8-bit RGB, transparency on white, as the reader of files does it."""
    upright = ImageOps.exif_transpose(image)
    if upright.mode == "F" or upright.mode.startswith("I"):
        raise DataError(
            f"a PIL image of mode {upright.mode} has no known range; save it to a file and pass "
            "its path, or convert it to RGB"
        )
    if upright.has_transparency_data:
        layer = upright.convert("RGBA")
        white = Image.new("RGBA", layer.size, (255, 255, 255, 255))
        upright = Image.alpha_composite(white, layer)
    return np.array(upright.convert("RGB"))


def reflect(image: Tensor, height: int, width: int) -> Tensor:
    """Extend (N, C, h, w) downwards and to the right by reflection, repeated where needed.

    Works from one pixel, which is repeated.
    """
    rows = _folded(image.shape[-2], height, image.device)
    columns = _folded(image.shape[-1], width, image.device)
    return image[..., rows, :][..., columns]


def _folded(length: int, target: int, device: torch.device) -> Tensor:
    """Source index of each of `target` positions under reflection without repeating the edge."""
    period = max(2 * (length - 1), 1)
    position = torch.arange(target, device=device) % period
    return torch.where(position < length, position, period - position)
