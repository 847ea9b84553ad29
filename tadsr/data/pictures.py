"""Pictures with all that a viewer would miss: alpha, greyness, 16 bits, the colour profile.

Evaluation reads 8-bit RGB (`tadsr.data.images.read_rgb`); a user who enlarges a picture wants its
transparency and its kind back.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from tadsr.data.images import GREY_MODES, low_bytes, on_white, opened, sixteen_bit
from tadsr.errors import DataError
from tadsr.files import atomic_path

Levels = NDArray[np.unsignedinteger[Any]]
"""uint8 or uint16."""

WRITERS: dict[str, dict[str, Any]] = {
    ".png": {"format": "PNG", "compress_level": 6},
    ".jpg": {"format": "JPEG", "quality": 95, "subsampling": 0},
    ".jpeg": {"format": "JPEG", "quality": 95, "subsampling": 0},
    ".webp": {"format": "WEBP", "quality": 95},
    ".tif": {"format": "TIFF", "compression": "tiff_adobe_deflate"},
    ".tiff": {"format": "TIFF", "compression": "tiff_adobe_deflate"},
}
"""How a picture is stored, by suffix. JPEG and WebP lose a little; PNG and TIFF do not."""


@dataclass(frozen=True, eq=False)
class Picture:
    """A decoded picture, upright.

    `colour` is (H, W, 3), `alpha` (H, W) of the same type or None; uint8 to 255 or uint16 to
    65535, transparency not multiplied in. `grey`: it was stored with one channel of colour.
    `icc_profile` says what its RGB values mean, None for sRGB or unknown.
    """

    colour: Levels
    alpha: Levels | None = None
    grey: bool = False
    icc_profile: bytes | None = None


def read_picture(path: Path | str) -> Picture:
    """Read a picture with alpha, greyness and, from PNG and TIFF, all 16 bits.

    EXIF orientation is applied; palettes and CMYK become RGB; of an animation the first frame
    counts. 16 bits are rounded down to 8 in grey PNGs with alpha, TIFFs with premultiplied alpha
    and other formats.

    Raises:
        DataError: as `tadsr.data.images.read_rgb`.
    """
    with opened(path) as image:
        low = low_bytes(path, image)
        image.load()
        picture = picture_from_pil(image, Path(path))
        if low is None:
            return picture
        high = np.asarray(ImageOps.exif_transpose(image)).astype(np.uint16)
        deep: Levels = np.bitwise_or(high << 8, low, dtype=np.uint16)
        alpha = deep[:, :, 3] if deep.shape[2] == 4 else None
        return Picture(deep[:, :, :3], alpha, icc_profile=picture.icc_profile)


def picture_from_pil(image: Image.Image, path: Path | None = None) -> Picture:
    """A PIL image of any mode; `path` is the file it came from, for messages.

    Raises:
        DataError: pixels without a known range (modes F, and I unless from a 16-bit file).
    """
    upright = ImageOps.exif_transpose(image)
    mode = upright.mode
    if mode.startswith("I;16") or (mode == "I" and path):
        return _grey(sixteen_bit(path or Path("image"), upright))
    if mode in ("F", "I"):
        raise DataError(
            f"{path or 'a PIL image'}: pixels of mode {mode} have no known range; save it as "
            "8-bit PNG, or convert it to RGB"
        )
    grey = mode in GREY_MODES
    profile = upright.info.get("icc_profile") if grey or mode.startswith("RGB") else None
    if upright.has_transparency_data:
        straight = upright.convert("LA") if mode == "La" else upright  # no way from La to RGBA
        planes = np.array(straight.convert("RGBA"))
        return Picture(planes[:, :, :3], planes[:, :, 3], grey, profile)
    return Picture(np.array(upright.convert("RGB")), None, grey, profile)


def picture_from_array(array: NDArray[Any]) -> Picture:
    """An array (h, w), (h, w, 1), (h, w, 3) or (h, w, 4), uint8 or uint16.

    Raises:
        DataError: another type or shape.
    """
    channels = 1 if array.ndim == 2 else array.shape[-1]
    known = array.dtype in (np.uint8, np.uint16)
    if not known or array.ndim not in (2, 3) or channels not in (1, 3, 4) or not array.size:
        raise DataError(
            f"an array of {array.dtype} {array.shape} is no picture; pass uint8 or uint16 of "
            "shape (h, w), (h, w, 3) or (h, w, 4)"
        )
    if channels == 1:
        return _grey(array.reshape(array.shape[:2]))
    return Picture(array[:, :, :3], array[:, :, 3] if channels == 4 else None)


def write_picture(path: Path | str, image: Image.Image) -> None:
    """Store `image` in one step, in the format of the suffix (`WRITERS`), profile included.

    JPEG knows no transparency: it is laid on white.

    Raises:
        DataError: the format cannot hold a picture of this size.
    """
    path = Path(path)
    options = WRITERS[path.suffix.lower()]
    if options["format"] == "JPEG" and image.has_transparency_data:
        profile = image.info.get("icc_profile")
        image = on_white(image).convert("RGB" if image.mode != "LA" else "L")
        image.info["icc_profile"] = profile
    content = io.BytesIO()
    try:
        image.save(content, icc_profile=image.info.get("icc_profile"), **options)
    except (OSError, ValueError) as error:  # WebP ends at 16383 pixels a side, JPEG at 65535
        width, height = image.size
        raise DataError(
            f"{path}: {options['format']} cannot hold {width}x{height} pixels ({error}); "
            "write a .png"
        ) from error
    with atomic_path(path) as temporary:
        temporary.write_bytes(content.getbuffer())


def _grey(values: Levels) -> Picture:
    return Picture(np.repeat(values[:, :, None], 3, axis=2), grey=True)
