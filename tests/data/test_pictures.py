"""Pictures with alpha, greyness, 16 bits and profile, against OpenCV and tifffile."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image

from tadsr.data.images import read_rgb
from tadsr.data.pictures import (
    WRITERS,
    picture_from_array,
    picture_from_pil,
    read_picture,
    write_picture,
)
from tadsr.errors import DataError


def deep(channels: int, seed: int = 0) -> np.ndarray[Any, Any]:
    rng = np.random.default_rng(seed)
    return rng.integers(0, 65536, (11, 7, channels), dtype=np.uint16)


@pytest.mark.parametrize("channels", [3, 4])
def test_16_bit_png_colour_is_read_exactly(tmp_path: Path, channels: int) -> None:
    values = deep(channels)
    order = [2, 1, 0, 3][:channels]
    cv2.imwrite(str(tmp_path / "x.png"), values[:, :, order])
    picture = read_picture(tmp_path / "x.png")
    np.testing.assert_array_equal(picture.colour, values[:, :, :3])
    assert picture.colour.dtype == np.uint16
    if channels == 4:
        np.testing.assert_array_equal(picture.alpha, values[:, :, 3])
    assert (picture.alpha is None) == (channels == 3)


@pytest.mark.parametrize("settings", [{}, {"byteorder": ">"}, {"compression": "zlib"}])
@pytest.mark.parametrize("channels", [3, 4])
def test_16_bit_tiff_colour_is_read_exactly(
    tmp_path: Path, channels: int, settings: dict[str, Any]
) -> None:
    values = deep(channels)
    extra = {"extrasamples": ["unassalpha"]} if channels == 4 else {}
    tifffile.imwrite(tmp_path / "x.tif", values, photometric="rgb", **settings, **extra)
    picture = read_picture(tmp_path / "x.tif")
    np.testing.assert_array_equal(picture.colour, values[:, :, :3])
    if channels == 4:
        np.testing.assert_array_equal(picture.alpha, values[:, :, 3])


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_16_bits_are_upright(tmp_path: Path, orientation: int, suffix: str) -> None:
    turned = {1: 0, 3: 2, 6: -1, 8: 1}[orientation]
    values, path = deep(3), tmp_path / f"x.{suffix}"
    if suffix == "tif":
        tag = (274, "H", 1, orientation, True)
        tifffile.imwrite(path, values, photometric="rgb", extratags=[tag])
    else:
        exif = Image.Exif()
        exif[0x0112] = orientation
        Image.new("RGB", (7, 11)).save(tmp_path / "small.png", exif=exif)
        chunk = (tmp_path / "small.png").read_bytes()
        start = chunk.index(b"eXIf") - 4
        length = int.from_bytes(chunk[start : start + 4], "big") + 12
        cv2.imwrite(str(path), values[:, :, ::-1])
        content = path.read_bytes()
        path.write_bytes(content[:33] + chunk[start : start + length] + content[33:])
    np.testing.assert_array_equal(read_picture(path).colour, np.rot90(values, turned))


def test_16_bit_grey_is_read_exactly(tmp_path: Path) -> None:
    values = deep(1)[:, :, 0]
    Image.fromarray(values).save(tmp_path / "x.png")
    tifffile.imwrite(tmp_path / "x.tif", values, photometric="minisblack")
    for name in ("x.png", "x.tif"):
        picture = read_picture(tmp_path / name)
        assert picture.grey
        np.testing.assert_array_equal(picture.colour[:, :, 1], values)


def test_premultiplied_16_bits_are_read_as_8(tmp_path: Path) -> None:
    values = deep(4)
    values[:, :, :3] = (values[:, :, :3].astype(np.int64) * values[:, :, 3:] // 65535).astype("u2")
    tifffile.imwrite(tmp_path / "x.tif", values, photometric="rgb", extrasamples=["assocalpha"])
    picture = read_picture(tmp_path / "x.tif")
    assert picture.colour.dtype == np.uint8
    assert picture.alpha is not None
    assert np.abs(picture.alpha - values[:, :, 3] / 257).max() <= 1


def test_separate_planes_of_16_bits_are_refused_not_garbled(tmp_path: Path) -> None:
    planes = np.ascontiguousarray(deep(3).transpose(2, 0, 1))
    tifffile.imwrite(tmp_path / "x.tif", planes, photometric="rgb", planarconfig="separate")
    for read in (read_picture, read_rgb):
        with pytest.raises(DataError, match=r"x\.tif: 16-bit colours in separate planes"):
            read(tmp_path / "x.tif")
    flat = (planes >> 8).astype(np.uint8)
    tifffile.imwrite(tmp_path / "x.tif", flat, photometric="rgb", planarconfig="separate")
    np.testing.assert_array_equal(read_picture(tmp_path / "x.tif").colour, flat.transpose(1, 2, 0))


@pytest.mark.parametrize(
    ("mode", "grey", "alpha"),
    [("1", True, False), ("L", True, False), ("LA", True, True), ("P", False, False),
     ("RGB", False, False), ("RGBA", False, True), ("CMYK", False, False)],
)  # fmt: skip
def test_kinds_are_kept_and_colours_are_those_of_the_8_bit_reader(
    tmp_path: Path, mode: str, grey: bool, alpha: bool
) -> None:
    source = np.random.default_rng(0).integers(0, 256, (9, 6, 4), dtype=np.uint8)
    image = Image.fromarray(source).convert("RGB" if mode in ("P", "CMYK") else "RGBA")
    path = tmp_path / ("x.tif" if mode == "CMYK" else "x.png")
    image.convert(mode).save(path)
    picture = read_picture(path)
    assert (picture.grey, picture.alpha is not None) == (grey, alpha)
    if not alpha:
        np.testing.assert_array_equal(picture.colour, read_rgb(path))
    else:
        np.testing.assert_array_equal(picture.alpha, source[:, :, 3])


def test_transparent_palette_entries_are_alpha(tmp_path: Path) -> None:
    image = Image.new("P", (4, 4), 1)
    image.putpalette([10, 20, 30, 40, 50, 60])
    image.putpixel((0, 0), 0)
    image.save(tmp_path / "x.png", transparency=0)
    picture = read_picture(tmp_path / "x.png")
    assert picture.alpha is not None
    assert (picture.alpha[0, 0], picture.alpha[1, 1]) == (0, 255)
    assert picture.colour[1, 1].tolist() == [40, 50, 60]
    assert not picture.grey


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("part", [0.3, 0.8])
def test_truncated_16_bit_files_are_named(tmp_path: Path, channels: int, part: float) -> None:
    cv2.imwrite(str(tmp_path / "x.png"), deep(channels))
    content = (tmp_path / "x.png").read_bytes()
    (tmp_path / "x.png").write_bytes(content[: int(part * len(content))])
    with pytest.raises(DataError, match=r"x\.png: damaged"):
        read_picture(tmp_path / "x.png")


def test_arrays_and_pil_images_keep_16_bits() -> None:
    values = deep(4)
    assert picture_from_array(values[:, :, :1]).grey
    picture = picture_from_array(values)
    assert picture.alpha is not None
    np.testing.assert_array_equal(picture.alpha, values[:, :, 3])
    np.testing.assert_array_equal(picture_from_pil(Image.fromarray(values[:, :, 0])).colour,
                                  np.stack([values[:, :, 0]] * 3, axis=2))  # fmt: skip


@pytest.mark.parametrize("suffix", WRITERS)
@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA"])
def test_pictures_are_written_with_profile_and_alpha(
    tmp_path: Path, suffix: str, mode: str
) -> None:
    smooth = np.linspace(40, 200, 24 * 32).reshape(24, 32)
    planes = np.stack([smooth, 240 - smooth, smooth, np.full_like(smooth, 128)], axis=2)
    image = Image.fromarray(planes.round().astype(np.uint8)).convert(mode)
    image.info["icc_profile"] = b"profile" * 20
    write_picture(tmp_path / f"x{suffix}", image)
    with Image.open(tmp_path / f"x{suffix}") as stored:
        assert stored.info["icc_profile"] == b"profile" * 20
    back = read_picture(tmp_path / f"x{suffix}")
    jpeg = suffix in (".jpg", ".jpeg")
    assert (back.alpha is not None) == (mode.endswith("A") and not jpeg)
    if suffix != ".webp":  # which knows no grey
        assert back.grey == mode.startswith("L")
    white = Image.new("RGBA", image.size, (255, 255, 255, 255))
    expected = np.asarray(Image.alpha_composite(white, image.convert("RGBA")).convert("RGB"))
    error = np.abs(read_rgb(tmp_path / f"x{suffix}").astype(int) - expected)
    assert error.max() <= (8 if jpeg or suffix == ".webp" else 0)
    assert sorted(tmp_path.iterdir()) == [tmp_path / f"x{suffix}"]


def test_a_size_the_format_cannot_hold_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"x\.webp: WEBP cannot hold 17000x1 pixels") as info:
        write_picture(tmp_path / "x.webp", Image.new("RGB", (17000, 1)))
    assert "\n" not in str(info.value)
    assert not list(tmp_path.iterdir())
