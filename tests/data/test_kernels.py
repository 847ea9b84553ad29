"""Blur kernels against formulas and integrals, blurring against scipy and OpenCV."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.integrate import quad
from scipy.ndimage import correlate, gaussian_filter
from scipy.special import j0
from scipy.stats import kstest

from tadsr.data.kernels import (
    BlurSettings,
    blur,
    elliptical_kernel,
    random_final_sinc,
    random_kernel,
    sinc_kernel,
)
from tadsr.data.realesrgan import REALESRGAN

ODD = st.integers(1, 10).map(lambda n: 2 * n + 1)


def _covariance(kernel: NDArray[np.float64]) -> NDArray[np.float64]:
    half = kernel.shape[0] // 2
    y, x = np.mgrid[-half : half + 1, -half : half + 1]
    xy = (kernel * x * y).sum()
    return np.array([[(kernel * x * x).sum(), xy], [xy, (kernel * y * y).sum()]])


@given(st.floats(0.7, 2.5), st.floats(0.7, 2.5), st.floats(-np.pi, np.pi))
@settings(max_examples=30, deadline=None)
def test_gaussian_has_its_covariance(first: float, second: float, angle: float) -> None:
    kernel = elliptical_kernel(31, (first, second), angle)
    c, s = np.cos(angle), np.sin(angle)
    turn = np.array([[c, -s], [s, c]])
    covariance = turn @ np.diag([first**2, second**2]) @ turn.T
    np.testing.assert_allclose(_covariance(kernel), covariance, rtol=0.02, atol=0.02)


@given(ODD, st.floats(0.3, 3), st.floats(0.5, 4))
@settings(max_examples=30, deadline=None)
def test_generalised_and_plateau_shapes(size: int, sigma: float, beta: float) -> None:
    gaussian = elliptical_kernel(size, (sigma, sigma))
    np.testing.assert_allclose(
        elliptical_kernel(size, (sigma, sigma), 1.0, "generalised"), gaussian
    )
    half = size // 2
    for shape in ("generalised", "plateau"):
        kernel = elliptical_kernel(size, (sigma, sigma), 0.3, shape, beta)
        assert kernel.sum() == pytest.approx(1)
        np.testing.assert_allclose(kernel, np.rot90(kernel), atol=1e-12)
        q = 1 / sigma**2  # one pixel from the centre
        ratio = np.exp(-0.5 * q**beta) if shape == "generalised" else 1 / (1 + q**beta)
        assert kernel[half, half + 1] / kernel[half, half] == pytest.approx(ratio, rel=1e-9)


@pytest.mark.parametrize("cutoff", [np.pi / 4, np.pi / 2, 2.5])
def test_sinc_passes_low_and_stops_high_frequencies(cutoff: float) -> None:
    kernel = sinc_kernel(81, cutoff)
    response = np.abs(np.fft.fft2(kernel))
    frequency = 2 * np.pi * np.abs(np.fft.fftfreq(81))
    radius = np.hypot(frequency[:, None], frequency[None, :])
    assert response[radius < cutoff - 0.4] == pytest.approx(1, abs=0.12)
    assert response[(radius > cutoff + 0.4) & (radius < np.pi)].max() < 0.12


@pytest.mark.parametrize("sigma", [0.3, 1.0, 2.6])
def test_isotropic_gaussian_is_opencv_s(sigma: float) -> None:
    line = cv2.getGaussianKernel(21, sigma)
    ours = elliptical_kernel(21, (sigma, sigma), 0.7)
    np.testing.assert_allclose(ours, line @ line.T, atol=1e-12)


@pytest.mark.parametrize("cutoff", [np.pi / 3, 2.0, np.pi])
def test_sinc_is_the_transform_of_a_disc(cutoff: float) -> None:
    """Its values are 1/(2 pi) times the integral of w J0(w r) over w in [0, cutoff]."""
    kernel = sinc_kernel(9, cutoff)
    radius = np.hypot(*np.mgrid[-4:5, -4:5])
    values = [quad(lambda w, r=r: w * j0(w * r), 0, cutoff)[0] for r in radius.flat]
    expected = np.reshape(values, (9, 9)) / (2 * np.pi)
    np.testing.assert_allclose(kernel, expected / expected.sum(), atol=1e-9)


@given(ODD, st.integers(1, 30), st.integers(1, 30), st.integers(1, 3))
@settings(max_examples=40, deadline=None)
def test_blur_agrees_with_scipy_at_any_size(size: int, height: int, width: int, count: int) -> None:
    rng = np.random.default_rng((size, height, width))
    kernels = [kernel / kernel.sum() for kernel in rng.random((count, size, size))]
    images = rng.random((count, 3, height, width)).astype(np.float32)
    ours = blur(torch.from_numpy(images), kernels).numpy()
    for n, kernel in enumerate(kernels):
        for plane, actual in zip(images[n], ours[n], strict=True):
            expected = correlate(plane.astype(np.float64), kernel, mode="mirror")
            np.testing.assert_allclose(actual, expected, atol=3e-6)


def test_gaussian_blur_agrees_with_scipy_s_filter() -> None:
    image = np.random.default_rng(0).random((3, 50, 67)).astype(np.float32)
    ours = blur(torch.from_numpy(image)[None], [elliptical_kernel(21, (2.0, 2.0))])[0].numpy()
    expected = gaussian_filter(image.astype(np.float64), (0, 2.0, 2.0), mode="mirror", truncate=5)
    np.testing.assert_allclose(ours, expected, atol=2e-6)


def test_a_zero_border_changes_no_pixel() -> None:
    image = torch.rand(1, 3, 40, 30, generator=torch.Generator().manual_seed(0))
    kernel = elliptical_kernel(7, (1.0, 2.0), 0.4)
    torch.testing.assert_close(
        blur(image, [kernel]), blur(image, [np.pad(kernel, 7)]), rtol=0, atol=2e-6
    )


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_blur_on_the_gpu_agrees() -> None:
    images = torch.rand(4, 3, 70, 90, generator=torch.Generator().manual_seed(0))
    kernels = [elliptical_kernel(21, (1.0, s)) for s in (0.5, 1.0, 2.0, 3.0)]
    torch.testing.assert_close(
        blur(images.cuda(), kernels).cpu(), blur(images, kernels), rtol=0, atol=2e-6
    )


def _support(kernel: NDArray[np.float64]) -> int:
    """Side of the square that holds all non-zero values."""
    used = np.flatnonzero(np.any(kernel != 0, axis=0))
    return int(used[-1] - used[0] + 1)


def _only(settings: BlurSettings, kind: int, **changes: object) -> BlurSettings:
    weights = tuple(float(k == kind) for k in range(6))
    return replace(settings, sinc_probability=0.0, weights=weights, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize("stage", ["first", "second"])
def test_kernels_are_drawn_as_declared(stage: str) -> None:
    blur_settings = getattr(REALESRGAN, stage).blur
    rng = np.random.default_rng(0)
    kernels = [random_kernel(rng, blur_settings) for _ in range(600)]
    # Wide kernels, so that no value underflows to zero and hides the size.
    broad = _only(blur_settings, 0, sigma=(3, 3))
    sizes = [_support(random_kernel(rng, broad)) for _ in range(600)]
    smallest, largest, padded = (3, 19, 21) if stage == "first" else (3, 13, 15)
    assert {k.shape for k in kernels} == {(padded, padded)}
    assert set(sizes) == set(range(smallest, largest + 1, 2))
    assert all(abs(k.sum() - 1) < 1e-9 for k in kernels)
    isotropic = np.mean([np.allclose(k, np.rot90(k), atol=1e-12) for k in kernels])
    # 0.1 sinc, and of the rest 0.45 + 0.12 + 0.12 isotropic; 4 standard errors
    expected = 0.1 + 0.9 * 0.69
    assert isotropic == pytest.approx(expected, abs=4 * np.sqrt(expected * (1 - expected) / 600))


def test_sigma_is_uniform_in_its_range() -> None:
    rng = np.random.default_rng(1)
    settings_ = _only(REALESRGAN.first.blur, 0, sizes=(19, 19))
    ratio = []
    for _ in range(400):
        kernel = random_kernel(rng, settings_)
        # exp(-1 / (2 sigma^2)) one pixel from the centre
        ratio.append(kernel[10, 11] / kernel[10, 10])
    sigma = np.sqrt(-0.5 / np.log(ratio))
    assert kstest(sigma, "uniform", (0.2, 2.8)).pvalue > 1e-3


def _cutoff(kernel: NDArray[np.float64]) -> float:
    """Find the cut-off of a sinc from the ratio of its two middle values, by bisection."""
    half = kernel.shape[0] // 2
    ratio = kernel[half, half + 1] / kernel[half, half]
    low, high = 0.1, np.pi
    for _ in range(60):
        middle = (low + high) / 2
        values = sinc_kernel(3, middle)
        # the ratio falls as the cut-off grows
        low, high = (middle, high) if values[1, 2] / values[1, 1] > ratio else (low, middle)
    return low


def test_sinc_cut_offs() -> None:
    rng = np.random.default_rng(2)
    always = replace(REALESRGAN.first.blur, sinc_probability=1.0)
    drawn = [random_kernel(rng, always) for _ in range(800)]
    small = [_cutoff(k) for k in drawn if _support(k) < 13]
    large = [_cutoff(k) for k in drawn if _support(k) >= 13]
    final = [_cutoff(random_final_sinc(rng, always)) for _ in range(400)]
    assert kstest(small, "uniform", (np.pi / 3, np.pi * 2 / 3)).pvalue > 1e-3
    assert kstest(large, "uniform", (np.pi / 5, np.pi * 4 / 5)).pvalue > 1e-3
    assert kstest(final, "uniform", (np.pi / 3, np.pi * 2 / 3)).pvalue > 1e-3


def test_generalised_beta_is_below_one_half_of_the_time() -> None:
    rng = np.random.default_rng(3)
    settings_ = _only(REALESRGAN.first.blur, 2, sizes=(19, 19), sigma=(2, 2))
    beta = []
    for _ in range(400):
        kernel = random_kernel(rng, settings_)
        # exp(-(1/4)^beta / 2) one pixel from the centre at sigma 2
        beta.append(np.log(-2 * np.log(kernel[10, 11] / kernel[10, 10])) / np.log(1 / 4))
    below = np.array(beta) < 1
    assert below.mean() == pytest.approx(0.5, abs=0.1)
    assert kstest(np.array(beta)[below], "uniform", (0.5, 0.5)).pvalue > 1e-3
    assert kstest(np.array(beta)[~below], "uniform", (1, 3)).pvalue > 1e-3


def test_plateau_beta_is_one_half_of_the_time() -> None:
    rng = np.random.default_rng(4)
    settings_ = _only(REALESRGAN.first.blur, 4, sizes=(19, 19), sigma=(2, 2))
    beta = []
    for _ in range(400):
        kernel = random_kernel(rng, settings_)
        # 1 / (1 + (1/4)^beta) one pixel from the centre at sigma 2
        beta.append(np.log(kernel[10, 10] / kernel[10, 11] - 1) / np.log(1 / 4))
    one = np.isclose(beta, 1)
    assert one.mean() == pytest.approx(0.5, abs=0.1)
    assert kstest(np.array(beta)[~one], "uniform", (1, 1)).pvalue > 1e-3
