"""The JPEG round trip, bit for bit against the library behind Pillow and OpenCV."""

from __future__ import annotations

import io
from collections.abc import Callable

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image, features
from skimage import data

from tadsr.data.jpeg import jpeg_round_trip, quantisation_tables

RGB8 = NDArray[np.uint8]
CUDA = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")


def pillow(image: RGB8, quality: int) -> RGB8:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, format="JPEG", quality=quality)
    buffer.seek(0)
    return np.array(Image.open(buffer))


def opencv(image: RGB8, quality: int) -> RGB8:
    _, encoded = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    return cv2.imdecode(encoded, cv2.IMREAD_COLOR)[..., ::-1]


def ours(image: RGB8, quality: int) -> RGB8:
    planes = torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)))[None]
    return jpeg_round_trip(planes, [quality])[0].permute(1, 2, 0).numpy()


def assert_equal(actual: RGB8, expected: RGB8) -> None:
    """Equal where the reference is libjpeg-turbo; else within a level, as decoders may differ."""
    if features.check("libjpeg_turbo"):
        np.testing.assert_array_equal(actual, expected)
    else:
        np.testing.assert_allclose(actual.astype(int), expected, atol=1)


PHOTOS: dict[str, Callable[[], RGB8]] = {
    "astronaut": lambda: data.astronaut()[100:228, 150:283],
    "coffee": lambda: data.coffee()[120:249, 200:264],
    "chelsea": lambda: data.chelsea()[40:151, 60:187],
}


@pytest.mark.parametrize("name", PHOTOS)
def test_photographs_at_every_quality(name: str) -> None:
    image = np.ascontiguousarray(PHOTOS[name]())
    for quality in range(1, 101):
        assert_equal(ours(image, quality), pillow(image, quality))


@pytest.mark.parametrize("quality", [1, 30, 75, 95, 100])
def test_the_second_library_agrees(quality: int) -> None:
    image = np.ascontiguousarray(PHOTOS["astronaut"]())
    np.testing.assert_allclose(
        ours(image, quality).astype(int), opencv(image, quality).astype(int), atol=1
    )


@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 100), st.booleans())
@settings(max_examples=150, deadline=None)
def test_noise_of_any_size(height: int, width: int, quality: int, extreme: bool) -> None:
    rng = np.random.default_rng((height, width, quality))
    image = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
    if extreme:  # pure black and white in each channel: the largest coefficients
        image = (image > 127).astype(np.uint8) * np.uint8(255)
    assert_equal(ours(image, quality), pillow(image, quality))


@pytest.mark.parametrize("shape", [(1, 1), (2, 2), (1, 9), (9, 1), (17, 33), (16, 16), (5, 4)])
@pytest.mark.parametrize("quality", [5, 50, 92])
def test_odd_sizes(shape: tuple[int, int], quality: int) -> None:
    image = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    assert_equal(ours(image, quality), pillow(image, quality))


@pytest.mark.parametrize("quality", [1, 10, 49, 50, 75, 100])
def test_tables_are_those_in_the_file(quality: int) -> None:
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8)).save(buffer, format="JPEG", quality=quality)
    buffer.seek(0)
    stored = Image.open(buffer).quantization
    for table, number in zip(quantisation_tables(quality), (0, 1), strict=True):
        np.testing.assert_array_equal(table.flatten().numpy(), stored[number])


def test_each_image_has_its_quality_and_no_neighbours() -> None:
    images = torch.randint(
        0, 256, (5, 3, 21, 35), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )
    before = images.clone()
    quality = [90, 10, 55, 10, 100]
    batch = jpeg_round_trip(images, torch.tensor(quality))
    for n in range(5):
        assert torch.equal(batch[n : n + 1], jpeg_round_trip(images[n : n + 1], [quality[n]]))
    assert torch.equal(images, before)
    assert not torch.equal(batch[0], jpeg_round_trip(images[:1], [10])[0])


def test_floats_are_rounded_levels() -> None:
    levels = torch.randint(
        0, 256, (2, 3, 16, 24), dtype=torch.uint8, generator=torch.Generator().manual_seed(1)
    )
    expected = jpeg_round_trip(levels, [40, 80])
    floats = (levels.float() + 0.4) / 255
    actual = jpeg_round_trip(floats, [40, 80])
    assert actual.dtype == torch.float32
    torch.testing.assert_close(actual, expected.float() / 255, rtol=0, atol=1e-7)
    outside = jpeg_round_trip(torch.full((1, 3, 8, 8), 1.7), [90])
    assert torch.equal(outside, jpeg_round_trip(torch.ones(1, 3, 8, 8), [90]))


@CUDA
def test_the_gpu_gives_the_same_pixels() -> None:
    image = torch.from_numpy(data.astronaut()[:133, :97].copy()).permute(2, 0, 1)[None]
    batch = image.expand(4, -1, -1, -1)
    quality = [3, 30, 75, 98]
    assert torch.equal(
        jpeg_round_trip(batch.cuda(), quality).cpu(), jpeg_round_trip(batch, quality)
    )


@pytest.mark.parametrize("quality", [0, 101, -3])
def test_impossible_quality_is_refused(quality: int) -> None:
    with pytest.raises(ValueError, match=f"1 to 100, got {quality}"):
        jpeg_round_trip(torch.zeros(1, 3, 8, 8), [quality])


def test_wrong_input_is_refused() -> None:
    with pytest.raises(ValueError, match="expected"):
        jpeg_round_trip(torch.zeros(3, 8, 8), [90])
    with pytest.raises(ValueError, match="expected uint8 or float"):
        jpeg_round_trip(torch.zeros(1, 3, 8, 8, dtype=torch.int32), [90])
    with pytest.raises(ValueError, match="2 images and 1 qualities"):
        jpeg_round_trip(torch.zeros(2, 3, 8, 8), [90])
