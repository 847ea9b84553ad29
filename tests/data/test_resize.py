"""Bicubic against Pillow (same kernel), Matlab's output and published PSNR values."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from tadsr.data.images import list_images, read_rgb, to_tensor, to_uint8
from tadsr.data.resize import bicubic, bicubic_lr

Picture = Callable[..., NDArray[np.uint8]]


def _levels(pixels: NDArray[np.uint8]) -> torch.Tensor:
    return torch.from_numpy(pixels.transpose(2, 0, 1).copy())[None]


@pytest.mark.parametrize("size", [(30, 20), (200, 150), (31, 171), (64, 80)])
def test_agrees_with_pillow_away_from_the_border(size: tuple[int, int], picture: Picture) -> None:
    plane = picture(64, 80)[:, :, 0].astype(np.float32)
    ours = bicubic(torch.from_numpy(plane)[None, None], size=size)[0, 0].numpy()
    reference = Image.fromarray(plane).resize((size[1], size[0]), Image.Resampling.BICUBIC)
    # Pillow drops taps beyond the border, Matlab mirrors: compare where no tap reaches it.
    edge = [int(np.ceil(2 * max(1.0, s / n))) + 3 for s, n in zip(size, (64, 80), strict=True)]
    inner = (slice(edge[0], -edge[0]), slice(edge[1], -edge[1]))
    np.testing.assert_allclose(ours[inner], np.asarray(reference)[inner], atol=2e-3)


@pytest.mark.parametrize("name", ["set5", "set14"])
def test_reproduces_matlab_lr(shared: Path, name: str) -> None:
    """Matlab keeps 8 bits between its passes (rows first); the published LR images were made
    before the HR ones were cut to multiples, so the outermost LR pixel is left out."""
    for path in list_images(shared / "data" / name / "hr"):
        hr, lr = (
            to_tensor(read_rgb(path))[None],
            read_rgb(shared / "data" / name / "lr" / path.name),
        )
        height, width = lr.shape[:2]
        assert hr.shape[-2:] == (4 * height, 4 * width)
        rows = torch.floor(bicubic(hr, size=(height, 4 * width)).clamp(0, 1) * 255 + 0.5) / 255
        ours = to_uint8(bicubic(rows, size=(height, width))[0]).astype(int)
        difference = np.abs(ours - lr)[1:-1, 1:-1]
        assert difference.max() <= 1
        assert (difference > 0).mean() < 0.02
        once = np.abs(to_uint8(bicubic(hr, scale=0.25)[0]).astype(int) - lr)[1:-1, 1:-1]
        assert (once > 1).mean() < 0.02


def _luma(pixels: NDArray[np.uint8]) -> NDArray[np.float64]:
    return pixels @ np.array([65.481, 128.553, 24.966]) / 255 + 16


@pytest.mark.parametrize(("name", "published"), [("set5", 28.43), ("set14", 26.09)])
def test_published_psnr_of_upsampling(shared: Path, name: str, published: float) -> None:
    psnr = []
    for path in list_images(shared / "data" / name / "hr"):
        lr = read_rgb(shared / "data" / name / "lr" / path.name)
        upscaled = to_uint8(bicubic(to_tensor(lr)[None], scale=4)[0])
        error = (_luma(upscaled) - _luma(read_rgb(path)))[4:-4, 4:-4]
        psnr.append(10 * np.log10(255**2 / np.square(error).mean()))
    assert np.mean(psnr) == pytest.approx(published, abs=0.02)


@given(
    st.integers(1, 24),
    st.integers(1, 24),
    st.floats(0.05, 5),
    st.booleans(),
)
@settings(max_examples=60, deadline=None)
def test_constant_stays_constant_and_size_is_ceil(
    height: int, width: int, scale: float, antialias: bool
) -> None:
    image = torch.full((1, 2, height, width), 0.7)
    out = bicubic(image, scale=scale, antialias=antialias)
    assert out.shape == (
        1,
        2,
        max(1, int(np.ceil(scale * height - 1e-9))),
        max(1, int(np.ceil(scale * width - 1e-9))),
    )
    torch.testing.assert_close(out, torch.full_like(out, 0.7))


@given(st.integers(8, 30), st.integers(1, 60))
@settings(max_examples=40, deadline=None)
def test_reproduces_a_parabola_inside(length: int, target: int) -> None:
    """With a = -0.5 interpolation is exact for polynomials of degree 2 (Keys 1981)."""
    x = torch.arange(length, dtype=torch.float64)
    out = bicubic((x * x)[None, None, None], size=(1, target), antialias=False)[0, 0, 0]
    centre = (torch.arange(target, dtype=torch.float64) + 0.5) * length / target - 0.5
    inside = (centre >= 1) & (centre <= length - 2)
    torch.testing.assert_close(out[inside], (centre**2)[inside])


def test_commutes_with_flips_and_transposition(picture: Picture) -> None:
    image = to_tensor(picture(40, 52))[None].double()
    small = bicubic(image, scale=0.3)
    exact = bicubic(image, size=(12, 13))  # both axes divide: pixel grids are symmetric
    torch.testing.assert_close(bicubic(image.flip(-1), size=(12, 13)), exact.flip(-1))
    torch.testing.assert_close(bicubic(image.transpose(2, 3), scale=0.3), small.transpose(2, 3))


def test_identity_and_precision(picture: Picture) -> None:
    image = to_tensor(picture(9, 11))[None]
    torch.testing.assert_close(bicubic(image, scale=1), image)
    assert bicubic(image.half(), scale=2).dtype == torch.float32
    assert bicubic(image.double(), scale=2).dtype == torch.float64


@pytest.mark.parametrize(
    "arguments",
    [{}, {"scale": 2, "size": (3, 3)}, {"scale": 0}, {"scale": float("nan")}, {"size": (0, 3)}],
)
def test_bad_arguments(arguments: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"scale|size"):
        bicubic(torch.zeros(1, 3, 8, 8), **arguments)  # type: ignore[arg-type]


def test_integer_images_are_refused() -> None:
    with pytest.raises(ValueError, match="float tensor"):
        bicubic(torch.zeros(1, 3, 8, 8, dtype=torch.uint8), scale=2)


def test_lr_levels_equal_rounded_bicubic_and_ignore_the_batch(picture: Picture) -> None:
    pictures = torch.cat([_levels(picture(64, 48, seed)) for seed in range(5)])
    together = bicubic_lr(pictures)
    reference = bicubic(pictures.double(), scale=0.25)
    assert together.dtype == torch.uint8
    assert together.shape == (5, 3, 16, 12)
    assert (together - reference.clamp(0, 255)).abs().max() <= 0.5
    for number in range(5):
        assert torch.equal(bicubic_lr(pictures[number : number + 1])[0], together[number])


def test_lr_levels_are_exact_rational_arithmetic(picture: Picture) -> None:
    """Weights at scale 1/4 are multiples of 2**-12: compare with integer arithmetic."""
    step = np.arange(-8, 8) + 0.5  # HR pixels around an LR centre
    x = np.abs(step / 4)
    kernel = np.where(x <= 1, 1.5 * x**3 - 2.5 * x**2 + 1, -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2)
    weights = np.round(kernel * 1024).astype(np.int64)
    np.testing.assert_array_equal(weights, kernel * 1024)
    assert weights.sum() == 4096
    row = picture(4, 64, 3)[0, :, 0]
    padded = np.concatenate([row[:8][::-1], row, row[-8:][::-1]]).astype(np.int64)
    sums = np.array([padded[8 + 4 * i - 6 : 8 + 4 * i + 10] @ weights for i in range(16)])
    expected = np.clip(np.round(sums / 4096), 0, 255)
    plane = torch.from_numpy(np.repeat(row[None], 16, axis=0).copy())[None, None]
    np.testing.assert_array_equal(bicubic_lr(plane)[0, 0, 1].numpy(), expected)
