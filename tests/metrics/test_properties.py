"""PSNR and SSIM: what must hold of any images, and scikit-image as an independent implementation.

Both are measured on Y of 8-bit images, which are what is drawn here.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from tadsr.config.metrics import METRICS, MetricSpec
from tadsr.errors import DataError
from tadsr.metrics import Metric, NotComputableError, load_metric

RGB8 = NDArray[np.uint8]
quick = settings(max_examples=20, deadline=None, derandomize=True)


def loaded(spec: MetricSpec) -> Metric:
    metric = load_metric(spec)
    assert isinstance(metric, Metric), str(metric)
    return metric


PSNR, SSIM = loaded(METRICS["psnr"]), loaded(METRICS["ssim"])
Y_RANGE = 65.481 + 128.553 + 24.966  # of 255: Y lies in [16, 235]


def tensor(levels: RGB8) -> torch.Tensor:
    return torch.from_numpy(levels.transpose(2, 0, 1).copy()).float() / 255


def psnr(sr: RGB8, hr: RGB8) -> float:
    return PSNR.score(tensor(sr), tensor(hr))


def ssim(sr: RGB8, hr: RGB8) -> float:
    return SSIM.score(tensor(sr), tensor(hr))


def luma(levels: RGB8) -> NDArray[np.float64]:
    """Y of BT.601 in studio range: Matlab's rgb2ycbcr."""
    return 16 + levels.astype(np.float64) @ np.array([65.481, 128.553, 24.966]) / 255


@st.composite
def images(draw: st.DrawFn, smallest: int = 1, low: int = 0, high: int = 255) -> RGB8:
    """(H, W, 3) of levels in [low, high]: noise at some scale, so smooth or rough."""
    height, width = (draw(st.integers(smallest, smallest + 30)) for _ in range(2))
    coarse = draw(st.integers(1, 8))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    cells = rng.integers(low, high + 1, (height // coarse + 1, width // coarse + 1, 3))
    return np.kron(cells, np.ones((coarse, coarse, 1)))[:height, :width].astype(np.uint8)


@st.composite
def pairs(draw: st.DrawFn, smallest: int = 1) -> tuple[RGB8, RGB8]:
    """An image, and the same with noise of some strength."""
    image = draw(images(smallest))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    noise = rng.normal(0, draw(st.floats(0.5, 120)), image.shape)
    return np.clip(image + noise, 0, 255).round().astype(np.uint8), image


@quick
@given(pairs())
def test_psnr_is_scikit_images(pair: tuple[RGB8, RGB8]) -> None:
    mse = np.mean((luma(pair[0]) - luma(pair[1])) ** 2)
    assume(mse > 1e-9)
    exact = peak_signal_noise_ratio(luma(pair[1]), luma(pair[0]), data_range=255)
    # pyiqa adds 1e-8 to the error of Y in [0, 1]: 0.0004 dB at 40 dB, 0.04 at 60.
    expected = -10 * math.log10(mse / 255**2 + 1e-8)
    rounding = 1e-4 + 3e-6 * 255 / math.sqrt(mse)  # dB; Y is held in float32
    assert psnr(*pair) == pytest.approx(expected, abs=rounding)
    assert expected == pytest.approx(exact, abs=5e-4) or exact > 40


@quick
@given(pairs(smallest=11))
def test_ssim_is_scikit_images(pair: tuple[RGB8, RGB8]) -> None:
    _, per_pixel = structural_similarity(
        luma(pair[1]).round(), luma(pair[0]).round(), data_range=255, gaussian_weights=True,
        sigma=1.5, use_sample_covariance=False, full=True,
    )  # fmt: skip
    # Averaged where the 11x11 window fits, as Matlab's; pyiqa lets no pixel count less than 0.
    expected = np.maximum(per_pixel[5:-5, 5:-5], 0)
    rows, columns = (side - 10 for side in pair[0].shape[:2])
    assert expected.shape == (rows, columns)
    # Y is rounded to levels in float32: a tie may fall to the other side.
    assert ssim(*pair) == pytest.approx(expected.mean(), abs=2e-4)


@quick
@given(images(low=0, high=200), st.integers(1, 55))
def test_the_same_shift_of_both_changes_psnr_nothing(image: RGB8, shift: int) -> None:
    other = image[::-1].copy()
    assume((luma(other) != luma(image)).any())
    moved = psnr(image + np.uint8(shift), other + np.uint8(shift))
    assert moved == pytest.approx(psnr(image, other), abs=1e-3)


@quick
@given(images(low=0, high=200), st.integers(1, 55))
def test_a_shift_of_one_gives_the_psnr_of_arithmetic(image: RGB8, shift: int) -> None:
    error = shift * Y_RANGE / 255 / 255
    expected = -10 * math.log10(error**2 + 1e-8)
    assert psnr(image + np.uint8(shift), image) == pytest.approx(expected, abs=1e-3)


@quick
@given(images(low=60, high=120), st.integers(2, 8))
def test_an_error_scaled_scales_psnr(image: RGB8, factor: int) -> None:
    rng = np.random.default_rng(image.size)
    error = rng.integers(-7, 8, image.shape)
    one, other = ((image + k * error).astype(np.uint8) for k in (1, factor))
    assume(np.mean((luma(one) - luma(image)) ** 2) > 0.5)
    fall = psnr(one, image) - psnr(other, image)
    assert fall == pytest.approx(20 * math.log10(factor), abs=1e-2)


@quick
@given(images(smallest=11))
def test_identical_images(image: RGB8) -> None:
    """SSIM is 1; PSNR is infinite, which is refused: pyiqa alone would say 80 dB."""
    assert ssim(image, image) == pytest.approx(1, abs=1e-12)
    with pytest.raises(NotComputableError, match=r"infinite.*equals its reference"):
        psnr(image, image)


@quick
@given(st.integers(0, 255), st.integers(0, 255))
def test_constant_images(one: int, other: int) -> None:
    a, b = (np.full((16, 16, 3), level, np.uint8) for level in (one, other))
    x, y = (float(luma(levels)[0, 0].round()) for levels in (a, b))
    c1 = (0.01 * 255) ** 2
    # pyiqa's window is float32 and sums to 1 within 1e-7: a constant then has a little variance.
    assert ssim(a, b) == pytest.approx((2 * x * y + c1) / (x**2 + y**2 + c1), abs=3e-5)
    if one != other:
        error = (one - other) * Y_RANGE / 255 / 255
        assert psnr(a, b) == pytest.approx(-10 * math.log10(error**2 + 1e-8), abs=1e-3)


def test_one_pixel() -> None:
    black, white = np.zeros((1, 1, 3), np.uint8), np.full((1, 1, 3), 255, np.uint8)
    assert psnr(black, white) == pytest.approx(-20 * math.log10(Y_RANGE / 255), abs=1e-4)
    with pytest.raises(NotComputableError, match="needs 11 pixels a side, got 1x1"):
        ssim(black, white)


@pytest.mark.parametrize("wrong", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("metric", [PSNR, SSIM], ids=["psnr", "ssim"])
@pytest.mark.parametrize("place", ["image", "reference"])
def test_input_that_is_not_finite_is_refused(wrong: float, metric: Metric, place: str) -> None:
    fine = torch.full((3, 16, 16), 0.5)
    spoilt = fine.clone()
    spoilt[1, 7, 3] = wrong
    given_images = (spoilt, fine) if place == "image" else (fine, spoilt)
    with pytest.raises(DataError, match=f"{place} holds NaN or infinite values"):
        metric.score(*given_images)


@quick
@given(pairs(smallest=11))
def test_the_two_images_may_change_places(pair: tuple[RGB8, RGB8]) -> None:
    one, other = pair
    assume((luma(one) != luma(other)).any())
    assert psnr(one, other) == pytest.approx(psnr(other, one), abs=1e-5)
    assert ssim(one, other) == pytest.approx(ssim(other, one), abs=1e-12)


@quick
@given(images(smallest=24, low=80, high=170))
def test_more_noise_is_worse(image: RGB8) -> None:
    rng = np.random.default_rng(image.size)
    noise = rng.normal(0, 1, image.shape)
    noisy = [np.clip(image + k * noise, 0, 255).round().astype(np.uint8) for k in (2, 6, 18)]
    for score in (psnr, ssim):
        values = [score(levels, image) for levels in noisy]
        assert values == sorted(values, reverse=True)
        assert len(set(values)) == 3
