"""The one reader and writer of pictures.

Whatever a user hands over (EXIF orientation, palette, grey, CMYK, alpha, 16 bit) becomes one
thing, an 8-bit RGB array; whatever cannot is a `DataError` that names the file.
"""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageFile, ImageOps, UnidentifiedImageError

from tadsr.config.data import SUFFIXES as SUFFIXES
from tadsr.errors import ConfigError, DataError
from tadsr.files import atomic_path

MAX_PIXELS = 80_000_000
"""Larger pictures are refused before decoding: 80 megapixels are 240 MB as 8-bit RGB."""
LIMIT = "TADSR_MAX_PIXELS"
"""The variable that sets another limit."""

# A closed list, so that a hostile file never reaches an exotic decoder (EPS runs a program).
FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "TIFF", "GIF", "PPM", "JPEG2000")

GREY_MODES = ("1", "L", "LA", "La")
"""Pillow's modes with one channel of 8 bits; those of 16 bits begin with I."""

ORIENTATION = 274  # EXIF tag; 5 to 8 swap height and width
BITS_PER_SAMPLE, PLANAR_CONFIGURATION, TILE_WIDTH, TILE_LENGTH = 258, 284, 322, 323  # TIFF tags

LUMA = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in grey (ITU-R BT.601), as Pillow converts."""

RGB8 = NDArray[np.uint8]


def read_rgb(path: Path | str) -> RGB8:
    """Read a picture as an (H, W, 3) uint8 RGB array, upright.

    EXIF orientation is applied; palettes, grey and CMYK are converted (colour profiles are
    ignored, as is usual in super-resolution); transparency is composited on white, the page most
    pictures are shown on; 16 bits are scaled by 1/257 and rounded (of grey with alpha, Pillow
    gives the high byte alone, which is at most a level off). Of an animation the first frame
    counts.

    Raises:
        DataError: the file is missing, empty, truncated, no picture, of more pixels than
            `pixel_limit` allows (checked before decoding), or holds floating-point values.
    """
    with opened(path) as image:
        low = low_bytes(path, image)
        return _upright_rgb(Path(path), image) if low is None else _rounded(image, low)


def read_size(path: Path | str) -> tuple[int, int]:
    """(height, width) of a picture as `read_rgb` would give it, from its header alone.

    Raises:
        DataError: as `read_rgb`, but for damage behind the header, which only decoding finds.
    """
    with opened(path) as image:
        turned = image.getexif().get(ORIENTATION, 1) in (5, 6, 7, 8)
        width, height = image.size
        return (width, height) if turned else (height, width)


def is_grey_file(path: Path | str) -> bool:
    """Whether a picture is stored with one channel of colour, from its header alone.

    A picture of three equal channels is an RGB picture: classical tables score it on Y.

    Raises:
        DataError: as `read_size`.
    """
    with opened(path) as image:
        return image.mode in GREY_MODES or image.mode.startswith("I")


@contextmanager
def opened(path: Path | str) -> Iterator[ImageFile.ImageFile]:
    """Open a picture, not yet decoded; what goes wrong in the block is a `DataError` of the file.

    Raises:
        DataError: as `read_rgb`, for what does not concern the pixels' type.
    """
    path, limit = Path(path), pixel_limit()
    try:
        if path.stat().st_size == 0:
            raise DataError(f"{path}: the file is empty; copy or download it again")
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); check the path") from error
    try:
        with warnings.catch_warnings():
            # Our own limit below decides; Pillow's warning would only be noise.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(path, formats=FORMATS) as image:
                _check_size(path, image.size, limit)
                _check_tiles(path, image, limit)
                _check_planes(path, image)
                yield image
    except DataError:
        raise
    except Image.DecompressionBombError as error:
        raise DataError(
            f"{path}: too large to decode safely (limit {limit:,} pixels); scale or crop it"
        ) from error
    except UnidentifiedImageError as error:
        raise DataError(
            f"{path}: not a picture that can be read ({', '.join(FORMATS)}); remove or convert it"
        ) from error
    except PermissionError as error:
        raise DataError(f"{path}: may not be read; check its permissions") from error
    except Exception as error:  # decoders raise nearly anything on damaged bytes
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DataError(
            f"{path}: damaged picture ({reason}); copy or download it again, or remove it"
        ) from error


def pixel_limit() -> int:
    """The most pixels a picture may have: `MAX_PIXELS`, or what `TADSR_MAX_PIXELS` says.

    Raises:
        ConfigError: the variable holds no whole number from 1 on.
    """
    given = os.environ.get(LIMIT, "").strip()
    if not given:
        return MAX_PIXELS
    if not given.isdecimal() or int(given) < 1:
        raise ConfigError(f"{LIMIT}={given}: not a whole number of pixels; such as {MAX_PIXELS}")
    # Pillow has a limit of its own, twice this, against which it holds each header.
    Image.MAX_IMAGE_PIXELS = max(int(given), MAX_PIXELS)
    return int(given)


def _check_size(path: Path, size: tuple[int, int], max_pixels: int) -> None:
    width, height = size
    if width < 1 or height < 1:
        raise DataError(f"{path}: a picture of {width}x{height} pixels; remove it")
    if width * height > max_pixels:
        raise DataError(
            f"{path}: {width}x{height} is more than {max_pixels:,} pixels; scale or crop it, or "
            f"set {LIMIT}"
        )


def _check_tiles(path: Path, image: Image.Image, max_pixels: int) -> None:
    """A small TIFF may be stored in one huge tile, which is decoded whole."""
    tags: Any = getattr(image, "tag_v2", {})
    if TILE_WIDTH in tags and TILE_LENGTH in tags:
        _check_size(path, (tags[TILE_WIDTH], tags[TILE_LENGTH]), max_pixels)


def _check_planes(path: Path, image: Image.Image) -> None:
    """Refuse the one kind of TIFF that Pillow decodes to noise: 16 bits in separate planes."""
    tags: Any = getattr(image, "tag_v2", {})
    if tags.get(PLANAR_CONFIGURATION) == 2 and max(tags.get(BITS_PER_SAMPLE, (8,))) > 8:
        raise DataError(
            f"{path}: 16-bit colours in separate planes cannot be read; save it as PNG, or as TIFF "
            "with interleaved channels"
        )


def _upright_rgb(path: Path, image: Image.Image) -> RGB8:
    image.load()
    upright = ImageOps.exif_transpose(image)
    if upright.mode == "F":
        raise DataError(f"{path}: floating-point pixels have no known range; save it as 8-bit PNG")
    if upright.mode.startswith("I"):
        grey = sixteen_bit(path, upright).astype(np.int64)
        levels = ((grey + 128) // 257).astype(np.uint8)
        return np.repeat(levels[:, :, None], 3, axis=2)
    if upright.has_transparency_data:
        upright = on_white(upright)
    return np.array(upright.convert("RGB"))


def _rounded(image: Image.Image, low: NDArray[np.uint16]) -> RGB8:
    """16-bit colour, of which Pillow has the high bytes: rounded, transparency laid on white."""
    high = np.asarray(ImageOps.exif_transpose(image)).astype(np.uint16)
    deep = np.bitwise_or(high << 8, low).astype(np.uint32)  # 65535 squared fits
    colour = deep[:, :, :3]
    if deep.shape[2] == 4:
        alpha = deep[:, :, 3:]
        colour = (colour * alpha + 65535 * (65535 - alpha) + 32767) // 65535
    levels: RGB8 = ((colour + 128) // 257).astype(np.uint8)
    return levels


def low_bytes(path: Path | str, image: ImageFile.ImageFile) -> NDArray[np.uint16] | None:
    """The low bytes of 16-bit colour, upright; None where there are none. Call it before decoding.

    Pillow keeps the high byte of each value. Told that the byte order is the other one, the same
    decoder keeps the low byte.
    """
    swapped = [_swapped(tile.args) for tile in image.tile]
    if not swapped or None in swapped:
        return None
    with Image.open(path, formats=[str(image.format)]) as again:
        again.tile = [
            tile._replace(args=args) for tile, args in zip(again.tile, swapped, strict=True)
        ]
        return np.asarray(ImageOps.exif_transpose(again)).astype(np.uint16)


def _swapped(args: Any) -> Any:
    """A decoder's arguments with the byte order of its 16-bit colour exchanged, or None."""
    raw_mode = args[0] if isinstance(args, tuple) else args
    layout, _, order = raw_mode.partition(";16") if isinstance(raw_mode, str) else ("", "", "")
    if layout not in ("RGB", "RGBA") or order not in ("B", "L", "N"):
        return None
    if order == "N":
        order = "L" if sys.byteorder == "little" else "B"
    other = f"{layout};16{'L' if order == 'B' else 'B'}"
    return (other, *args[1:]) if isinstance(args, tuple) else other


def on_white(image: Image.Image) -> Image.Image:
    """A picture with transparency laid on white, the page most pictures are shown on."""
    layer = image.convert("RGBA")
    white = Image.new("RGBA", layer.size, (255, 255, 255, 255))
    return Image.alpha_composite(white, layer)


def sixteen_bit(path: Path, image: Image.Image) -> NDArray[np.uint16]:
    """The (H, W) values of a decoded 16-bit grey image (Pillow's modes `I` and `I;16`).

    Raises:
        DataError: the values do not fit in 16 bits.
    """
    values = np.asarray(image)
    if values.min() < 0 or values.max() > 65535:
        raise DataError(f"{path}: 32-bit pixels have no known range; save it as 8-bit PNG")
    return values.astype(np.uint16)


def write_png(path: Path | str, array: RGB8, *, grey: bool = False) -> None:
    """Write an (H, W, 3) uint8 array as PNG, in one step; equal arrays give equal bytes.

    `grey` stores one channel of three equal ones. Equal bytes hold for one Pillow version:
    settings are fixed and no time or text is stored.
    """
    if array.dtype != np.uint8 or array.ndim != 3 or array.shape[2] != 3 or array.size == 0:
        raise ValueError(f"expected a uint8 array (H, W, 3), got {array.dtype} {array.shape}")
    if grey and not (array == array[:, :, :1]).all():
        raise ValueError("channels differ: not a grey picture")
    with atomic_path(path) as temporary:
        image = Image.fromarray(np.ascontiguousarray(array[:, :, 0] if grey else array))
        image.save(temporary, format="PNG", compress_level=6)


def to_tensor(array: RGB8) -> torch.Tensor:
    """(H, W, 3) uint8 to a (3, H, W) float32 tensor in [0, 1]."""
    planes = np.ascontiguousarray(array.transpose(2, 0, 1))
    return torch.from_numpy(planes).to(torch.float32) / 255


def to_uint8(image: torch.Tensor) -> RGB8:
    """(3, H, W) in [0, 1] to (H, W, 3) uint8: clamped, scaled by 255, rounded half to even.

    Raises:
        DataError: the image holds NaN or infinity, which no 8-bit value stands for.
    """
    if image.ndim != 3 or image.shape[0] != 3:
        raise ValueError(f"expected a tensor (3, H, W), got {tuple(image.shape)}")
    values = image.detach().to("cpu", torch.float32)
    if not bool(torch.isfinite(values).all()):
        raise DataError(
            "an image with NaN or infinite values cannot be stored; the model that made it has "
            "diverged: train it again with a lower learning rate"
        )
    levels = values.clamp(0, 1).mul_(255).round_().to(torch.uint8)  # one copy: it may be large
    return levels.permute(1, 2, 0).contiguous().numpy()


def list_images(folder: Path | str) -> list[Path]:
    """The picture files directly in `folder`, sorted by name; hidden files are skipped.

    Raises:
        DataError: `folder` is missing, or holds no picture.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder; check the path")
    paths = sorted(
        p
        for p in folder.iterdir()
        if p.suffix.lower() in SUFFIXES and not p.name.startswith(".") and p.is_file()
    )
    if not paths:
        raise DataError(f"{folder}: holds no picture ({', '.join(SUFFIXES)}); add some")
    return paths
