"""The reader against pictures of every kind, sound and unsound."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from numpy.typing import NDArray
from PIL import Image

from tadsr.data import images
from tadsr.data.images import list_images, read_rgb, read_size, to_tensor, to_uint8, write_png
from tadsr.errors import ConfigError, DataError

Picture = Callable[..., NDArray[np.uint8]]

# What a viewer does to stored pixels, by EXIF orientation (Exif 2.3, tag 0x0112).
UPRIGHT = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.transpose(1, 0, 2),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: a[::-1, ::-1].transpose(1, 0, 2),
    8: lambda a: np.rot90(a, 1),
}


@pytest.mark.parametrize("orientation", UPRIGHT)
@pytest.mark.parametrize("suffix", ["png", "tif", "webp"])
def test_exif_orientation_is_applied(
    tmp_path: Path, orientation: int, suffix: str, picture: Picture
) -> None:
    stored = picture(12, 20)
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / f"x.{suffix}"
    extra = {"lossless": True} if suffix == "webp" else {}
    Image.fromarray(stored).save(path, exif=exif, **extra)
    np.testing.assert_array_equal(read_rgb(path), UPRIGHT[orientation](stored))


def test_alpha_is_composited_on_white(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    rgba = rng.integers(0, 256, (9, 7, 4), dtype=np.uint8)
    Image.fromarray(rgba).save(tmp_path / "x.png")
    alpha = rgba[:, :, 3:] / 255
    expected = rgba[:, :, :3] * alpha + 255 * (1 - alpha)
    assert np.abs(read_rgb(tmp_path / "x.png") - expected).max() <= 1


def test_grey_alpha_palette_and_bilevel(tmp_path: Path, picture: Picture) -> None:
    grey = picture(8, 8)[:, :, 0]
    Image.fromarray(grey).save(tmp_path / "grey.png")
    np.testing.assert_array_equal(read_rgb(tmp_path / "grey.png"), np.stack([grey] * 3, axis=2))

    Image.merge("LA", [Image.fromarray(grey), Image.new("L", (8, 8), 0)]).save(tmp_path / "la.png")
    assert (read_rgb(tmp_path / "la.png") == 255).all()

    palette = Image.new("P", (4, 4), 1)
    palette.putpalette([10, 20, 30, 40, 50, 60])
    palette.putpixel((0, 0), 0)
    palette.save(tmp_path / "p.png", transparency=0)
    pixels = read_rgb(tmp_path / "p.png")
    assert pixels[0, 0].tolist() == [255, 255, 255]
    assert pixels[1, 1].tolist() == [40, 50, 60]

    Image.fromarray(grey > 128).save(tmp_path / "bits.png")
    expected = np.where(grey > 128, 255, 0)
    np.testing.assert_array_equal(read_rgb(tmp_path / "bits.png")[:, :, 1], expected)


def test_cmyk_jpeg(tmp_path: Path) -> None:
    Image.new("CMYK", (16, 16), (0, 255, 255, 0)).save(tmp_path / "x.jpg", quality=95)
    red = read_rgb(tmp_path / "x.jpg").reshape(-1, 3).mean(axis=0)
    assert red[0] > 240
    assert red[1:].max() < 15


@given(arrays(np.uint16, (5, 6)))
@settings(max_examples=20, deadline=None)
def test_16_bit_grey_is_scaled_and_rounded(
    tmp_path_factory: pytest.TempPathFactory, grey: NDArray[np.uint16]
) -> None:
    path = tmp_path_factory.mktemp("deep") / "x.png"
    Image.fromarray(grey).save(path)
    expected = np.floor(grey / 257 + 0.5)
    np.testing.assert_array_equal(read_rgb(path)[:, :, 2], expected)


def test_16_bit_colour_is_scaled_and_rounded(tmp_path: Path) -> None:
    """Pillow cannot write 16-bit colour, so the file is put together by hand."""
    values = np.random.default_rng(0).integers(0, 65536, (6, 5, 3)).astype(">u2")
    values[0] = np.arange(15).reshape(5, 3) * 17 * 257  # promoted 8-bit values
    rows = b"".join(b"\x00" + row.tobytes() for row in values)
    header = struct.pack(">IIBBBBB", 5, 6, 16, 2, 0, 0, 0)
    content = b"\x89PNG\r\n\x1a\n"
    for kind, data in ((b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")):
        content += struct.pack(">I", len(data)) + kind + data
        content += struct.pack(">I", zlib.crc32(kind + data))
    (tmp_path / "x.png").write_bytes(content)
    pixels = read_rgb(tmp_path / "x.png")
    np.testing.assert_array_equal(pixels, np.floor(values / 257 + 0.5))
    np.testing.assert_array_equal(pixels[0], values[0] // 257)


@pytest.mark.parametrize("name", ["float.tif", "wide.tif"])
def test_pixels_of_unknown_range_are_refused(tmp_path: Path, name: str) -> None:
    dtype, high = (np.float32, 1.0) if name == "float.tif" else (np.int32, 70_000)
    Image.fromarray(np.full((4, 4), high, dtype=dtype)).save(tmp_path / name)
    with pytest.raises(DataError, match=rf"{name}: .*8-bit PNG"):
        read_rgb(tmp_path / name)


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "tif"])
@pytest.mark.parametrize("part", [0.05, 0.5, 0.95])
def test_truncated_files_are_named(
    tmp_path: Path, suffix: str, part: float, picture: Picture
) -> None:
    whole, path = tmp_path / f"whole.{suffix}", tmp_path / f"cut.{suffix}"
    Image.fromarray(picture(64, 64)).save(whole)
    content = whole.read_bytes()
    path.write_bytes(content[: int(len(content) * part)])
    with pytest.raises(DataError) as caught:
        read_rgb(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@given(noise=st.binary(max_size=200), place=st.integers(0, 400))
@settings(max_examples=60, deadline=None)
def test_damage_never_escapes_as_another_error(
    tmp_path_factory: pytest.TempPathFactory, noise: bytes, place: int, picture: Picture
) -> None:
    path = tmp_path_factory.mktemp("noise") / "x.png"
    write_png(path, picture(10, 10))
    content = path.read_bytes()
    path.write_bytes(content[:place] + noise + content[place + len(noise) :])
    try:
        assert read_rgb(path).ndim == 3
    except DataError as error:
        assert str(path) in str(error)


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"", "empty"), (b"GET / HTTP", "not a picture"), (b"%!PS-Adobe-3.0 EPSF-3.0", "not a pic")],
)
def test_not_a_picture(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "x.png").write_bytes(content)
    with pytest.raises(DataError, match=rf"x\.png: .*{message}"):
        read_rgb(tmp_path / "x.png")


def test_missing_file_and_folder(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none\.png: cannot be read"):
        read_rgb(tmp_path / "none.png")
    with pytest.raises(DataError, match=str(tmp_path)):
        read_rgb(tmp_path)


def _png_of_size(path: Path, width: int, height: int) -> None:
    """A PNG whose header claims a size its few bytes cannot hold."""
    Image.new("L", (1, 1)).save(path)
    content = bytearray(path.read_bytes())
    content[16:24] = struct.pack(">II", width, height)
    content[29:33] = struct.pack(">I", zlib.crc32(bytes(content[12:29])))
    path.write_bytes(bytes(content))


@pytest.mark.parametrize("side", [10_000, 16_000, 60_000])
def test_bombs_are_refused_by_their_header(tmp_path: Path, side: int) -> None:
    _png_of_size(tmp_path / "bomb.png", side, side)
    with pytest.raises(DataError, match=r"bomb\.png: .*80,000,000 pixels"):
        read_rgb(tmp_path / "bomb.png")


def test_limit_can_be_set(
    tmp_path: Path, picture: Picture, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_png(tmp_path / "x.png", picture(10, 10))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", Image.MAX_IMAGE_PIXELS)
    monkeypatch.setenv("TADSR_MAX_PIXELS", "100")
    assert read_rgb(tmp_path / "x.png").shape == (10, 10, 3)
    monkeypatch.setenv("TADSR_MAX_PIXELS", "99")
    with pytest.raises(DataError, match="10x10 is more than 99 pixels"):
        read_rgb(tmp_path / "x.png")
    monkeypatch.setenv("TADSR_MAX_PIXELS", "400000000")
    _png_of_size(tmp_path / "large.png", 19_000, 19_000)
    with pytest.raises(DataError, match="damaged"):  # no longer too large; its bytes are missing
        read_rgb(tmp_path / "large.png")
    monkeypatch.setenv("TADSR_MAX_PIXELS", "many")
    with pytest.raises(ConfigError, match="TADSR_MAX_PIXELS=many"):
        read_rgb(tmp_path / "x.png")


@given(arrays(np.uint8, array_shapes(min_dims=2, max_dims=2, max_side=12).map(lambda s: (*s, 3))))
@settings(max_examples=40, deadline=None)
def test_round_trips(tmp_path_factory: pytest.TempPathFactory, pixels: NDArray[np.uint8]) -> None:
    np.testing.assert_array_equal(to_uint8(to_tensor(pixels)), pixels)
    folder = tmp_path_factory.mktemp("trip")
    write_png(folder / "a.png", pixels)
    write_png(folder / "b.png", np.asfortranarray(pixels))
    np.testing.assert_array_equal(read_rgb(folder / "a.png"), pixels)
    assert (folder / "a.png").read_bytes() == (folder / "b.png").read_bytes()


def test_to_uint8_rounds_half_to_even_and_clamps() -> None:
    # 0.5 and 2.5 are met exactly: 255 * (k / 510) in float32 has no rounding error for these.
    values = torch.tensor([-3.0, 0.5 / 255, 2.5 / 255, 1.0, 7.0]).expand(3, 1, 5)
    assert to_uint8(values)[0, :, 0].tolist() == [0, 0, 2, 255, 255]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_non_finite_images_are_refused(value: float) -> None:
    image = torch.zeros(3, 2, 2)
    image[1, 1, 0] = value
    with pytest.raises(DataError, match="NaN or infinite"):
        to_uint8(image)


def test_failed_write_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, picture: Picture
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(images.Image.Image, "save", fail)
    with pytest.raises(KeyboardInterrupt):
        write_png(tmp_path / "x.png", picture(4, 4))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "array", [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3)), np.zeros((0, 4, 3), np.uint8)]
)
def test_write_png_takes_8_bit_rgb_only(tmp_path: Path, array: NDArray[np.uint8]) -> None:
    with pytest.raises(ValueError, match="expected a uint8 array"):
        write_png(tmp_path / "x.png", array)


def test_list_images(tmp_path: Path) -> None:
    for name in ("b.PNG", "a.jpg", ".tmp-c.png", "notes.txt"):
        (tmp_path / name).write_bytes(b"")
    assert [p.name for p in list_images(tmp_path)] == ["a.jpg", "b.PNG"]
    with pytest.raises(DataError, match="no such folder"):
        list_images(tmp_path / "none")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="holds no picture"):
        list_images(tmp_path / "empty")


def test_sizes_come_from_the_header(tmp_path: Path) -> None:
    Image.new("L", (30, 20)).save(tmp_path / "x.png")
    content = (tmp_path / "x.png").read_bytes()
    (tmp_path / "x.png").write_bytes(content[:60])
    assert read_size(tmp_path / "x.png") == (20, 30)
    with pytest.raises(DataError, match=r"y\.png"):
        read_size(tmp_path / "y.png")


def test_a_picture_that_may_not_be_read_is_not_called_damaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*arguments: object, **options: object) -> None:
        raise PermissionError(13, "Permission denied")

    (tmp_path / "p.png").write_bytes(b"a picture")
    monkeypatch.setattr(Image, "open", refused)
    with pytest.raises(DataError, match=r"p\.png: may not be read; check its permissions"):
        read_rgb(tmp_path / "p.png")
