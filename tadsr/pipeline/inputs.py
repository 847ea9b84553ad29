"""What a user may hand to the pipeline, and what comes back: everything becomes a tensor."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from tadsr.data.images import LUMA, to_uint8
from tadsr.data.pictures import Picture, picture_from_array, picture_from_pil, read_picture
from tadsr.data.resize import bicubic, reflected
from tadsr.errors import ConfigError, DataError, nearest

ImageInput = Image.Image | Path | str | NDArray[Any] | Tensor
OUTPUT_TYPES = ("pil", "np", "pt")


@dataclass(frozen=True, eq=False)
class Source:
    """An input picture: `colour` (3, h, w) and `alpha` (1, h, w) or None, float32 in [0, 1].

    `grey` and `icc_profile` are as in `tadsr.data.pictures.Picture`.
    """

    colour: Tensor
    alpha: Tensor | None = None
    grey: bool = False
    icc_profile: bytes | None = None


def to_sources(image: ImageInput | list[ImageInput]) -> list[Source]:
    """All pictures of the input, in order.

    Raises:
        DataError: something that is no picture, of a wrong shape or type, or out of range.
    """
    if isinstance(image, list | tuple):
        return [source for one in image for source in to_sources(one)]
    if isinstance(image, Tensor):
        return [Source(one) for one in _checked(image)]
    if isinstance(image, str | Path):
        return [_source(read_picture(image))]
    if isinstance(image, Image.Image):
        return [_source(picture_from_pil(image))]
    if isinstance(image, np.ndarray):
        return [_source(picture_from_array(image))]
    raise DataError(
        f"a {type(image).__name__} is no picture; pass a PIL image, a path, an array or a tensor"
    )


def to_output(result: Tensor, source: Source, scale: int, output_type: str) -> Any:
    """The result for `source` in the asked-for form.

    Args:
        result: (3, H, W) in [0, 1], `scale` times the size of the source.
        output_type: `pil`: grey stays grey, alpha is enlarged by bicubic interpolation and added;
            `np`: (H, W, 3) float32, or (H, W, 4) with alpha; `pt`: `result` itself.
    """
    if output_type == "pt":
        return result
    alpha = None
    if source.alpha is not None:
        alpha = bicubic(source.alpha[None], scale=scale)[0].clamp(0, 1)
    if output_type == "np":
        planes = [result.cpu()] if alpha is None else [result.cpu(), alpha.cpu()]
        return torch.cat(planes).permute(1, 2, 0).numpy()
    picture = Image.fromarray(_luma(result) if source.grey else to_uint8(result))
    if alpha is not None:
        picture.putalpha(Image.fromarray(_plane(alpha)))
    if source.icc_profile:
        picture.info["icc_profile"] = source.icc_profile
    return picture


def check_output_type(output_type: str) -> None:
    """Refuse an output type that does not exist."""
    if output_type not in OUTPUT_TYPES:
        raise ConfigError(
            f"output_type '{output_type}' is not known; {nearest(output_type, list(OUTPUT_TYPES))}"
        )


def fill_transparent(colour: Tensor, alpha: Tensor) -> Tensor:
    """Give wholly transparent pixels the colours of what is visible around them.

    What a file stores there is arbitrary (often black), and a network with a neighbourhood would
    carry it into the visible edge. Coarser and coarser means of the visible pixels are taken until
    every hole is filled. A picture without a visible pixel stays as it is.

    Args:
        colour: (3, h, w). alpha: (1, h, w), 0 where transparent.
    """
    visible = (alpha > 0).to(colour.dtype)
    if not bool(visible.any()) or bool(visible.all()):
        return colour
    return _filled(colour[None], visible[None])[0]


def _filled(colour: Tensor, visible: Tensor) -> Tensor:
    if bool(visible.all()):
        return colour
    share = F.avg_pool2d(visible, 2, ceil_mode=True)
    mean = F.avg_pool2d(colour * visible, 2, ceil_mode=True) / share.clamp(min=1e-6)
    coarse = _filled(mean, (share > 0).to(colour.dtype))
    smooth = F.interpolate(coarse, colour.shape[-2:], mode="bilinear")
    return torch.where(visible > 0, colour, smooth)


def _source(picture: Picture) -> Source:
    colour = _planes(picture.colour)
    if picture.alpha is None:
        return Source(colour, None, picture.grey, picture.icc_profile)
    alpha = _planes(picture.alpha[:, :, None])
    return Source(fill_transparent(colour, alpha), alpha, picture.grey, picture.icc_profile)


def _planes(levels: NDArray[Any]) -> Tensor:
    """(h, w, C) uint8 or uint16 to (C, h, w) float32 in [0, 1]."""
    planes = np.ascontiguousarray(levels.transpose(2, 0, 1))
    # Through float32, because torch has few operations for uint16.
    return torch.from_numpy(planes.astype(np.float32)) / float(np.iinfo(levels.dtype).max)


def _plane(plane: Tensor) -> NDArray[np.uint8]:
    """(1, H, W) in [0, 1] to (H, W) uint8."""
    return to_uint8(plane.expand(3, -1, -1))[:, :, 0]


def _luma(image: Tensor) -> NDArray[np.uint8]:
    weights = torch.tensor(LUMA, device=image.device).reshape(3, 1, 1)
    return _plane((image * weights).sum(dim=0, keepdim=True))


def _checked(image: Tensor) -> list[Tensor]:
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


def reflect(image: Tensor, height: int, width: int) -> Tensor:
    """Extend (N, C, h, w) downwards and to the right by reflection, repeated where needed.

    Works from one pixel, which is repeated.
    """
    rows = reflected(image.shape[-2], 0, height, image.device)
    columns = reflected(image.shape[-1], 0, width, image.device)
    return image[..., rows, :][..., columns]
