"""The random degradation: kernels against formulas and scipy, the whole against its contract."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.ndimage import correlate

from tadsr.data import realesrgan
from tadsr.data.images import to_tensor, to_uint8
from tadsr.data.kernels import blur, elliptical_kernel, random_kernel, sinc_kernel
from tadsr.data.realesrgan import IMAGENET_TEST, PRESETS, REALESRGAN, degrade
from tadsr.data.resize import bicubic

Picture = Callable[..., NDArray[np.uint8]]
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


@given(ODD, st.integers(1, 30), st.integers(1, 30))
@settings(max_examples=40, deadline=None)
def test_blur_agrees_with_scipy_at_any_size(size: int, height: int, width: int) -> None:
    rng = np.random.default_rng(size * height + width)
    kernel = rng.random((size, size))
    image = rng.random((3, height, width)).astype(np.float32)
    ours = blur(torch.from_numpy(image), kernel).numpy()
    expected = [correlate(plane.astype(np.float64), kernel, mode="mirror") for plane in image]
    np.testing.assert_allclose(ours, expected, rtol=1e-4, atol=1e-4)


def test_kernels_are_drawn_as_declared() -> None:
    rng = np.random.default_rng(0)
    kernels = [random_kernel(rng, REALESRGAN.second.blur) for _ in range(600)]
    assert {k.shape[0] for k in kernels} == {3, 5, 7, 9, 11, 13}
    assert all(abs(k.sum() - 1) < 1e-9 for k in kernels)
    isotropic = np.mean([np.allclose(k, np.rot90(k), atol=1e-12) for k in kernels])
    # 0.1 sinc, and of the rest 0.45 + 0.12 + 0.12 isotropic; 4 standard errors
    expected = 0.1 + 0.9 * 0.69
    assert isotropic == pytest.approx(expected, abs=4 * np.sqrt(expected * (1 - expected) / 600))


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("shape", [(64, 64), (32, 48), (100, 36)])
def test_output_is_an_8_bit_quarter_and_repeats(
    picture: Picture, preset: str, shape: tuple[int, int]
) -> None:
    hr = to_tensor(picture(*shape))
    before = hr.clone()
    for index in range(6):
        lr = degrade(hr, 3, index, PRESETS[preset])
        assert lr.shape == (3, shape[0] // 4, shape[1] // 4)
        assert lr.dtype == torch.float32
        torch.testing.assert_close(lr, to_tensor(to_uint8(lr)))
        assert torch.equal(lr, degrade(hr, 3, index, PRESETS[preset]))
        assert not torch.equal(lr, degrade(hr, 3, index + 1, PRESETS[preset]))
        assert not torch.equal(lr, degrade(hr, 4, index, PRESETS[preset]))
    assert torch.equal(hr, before)


def test_global_generators_play_no_part(picture: Picture) -> None:
    hr = to_tensor(picture(64, 64))
    first = degrade(hr, 0, 0)
    state, numpy_state = torch.get_rng_state(), np.random.get_state()[1].copy()
    torch.manual_seed(1)
    assert torch.equal(degrade(hr, 0, 0), first)
    torch.set_rng_state(state)
    degrade(hr, 0, 1)
    assert torch.equal(torch.get_rng_state(), state)
    np.testing.assert_array_equal(np.random.get_state()[1], numpy_state)


def test_mild_recipe_is_milder_and_both_keep_the_picture(picture: Picture) -> None:
    hr = to_tensor(picture(96, 96))
    clean = bicubic(hr[None], scale=0.25)[0]

    def error(preset: realesrgan.DegradationSettings) -> float:
        squares = [((degrade(hr, 0, i, preset) - clean) ** 2).mean() for i in range(40)]
        return float(torch.stack(squares).median().sqrt())

    assert 0 < error(IMAGENET_TEST) < error(REALESRGAN) < float(clean.std())


def _noise_only(**changes: object) -> realesrgan.StageSettings:
    quiet = replace(
        REALESRGAN.first,
        blur=replace(REALESRGAN.first.blur, probability=0.0),
        resize_weights=(0, 0, 1),
    )
    return replace(quiet, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize("grey", [0.0, 1.0])
def test_gaussian_noise_has_its_level(grey: float) -> None:
    stage = _noise_only(gaussian_probability=1.0, gaussian_sigma=(12, 12), grey_probability=grey)
    flat = torch.full((3, 128, 128), 0.5)
    noise = realesrgan._stage(flat, np.random.default_rng(0), stage, (128, 128)) - flat
    assert float(noise.std()) * 255 == pytest.approx(12, rel=0.03)
    assert torch.equal(noise[0], noise[2]) == bool(grey)


@pytest.mark.parametrize("grey", [0.0, 1.0])
def test_poisson_noise_grows_with_the_root_of_the_signal(grey: float) -> None:
    stage = _noise_only(gaussian_probability=0.0, poisson_scale=(1, 1), grey_probability=grey)
    two = torch.cat([torch.full((3, 128, 64), 0.2), torch.full((3, 128, 64), 0.8)], dim=2)
    # 64 levels in a corner set the photon count to 2**ceil(log2(66)) = 128
    two[:, 0, :64] = torch.arange(64) / 255
    noise = realesrgan._shot_noise(two, np.random.default_rng(0), bool(grey))[:, 1:]
    assert noise.shape[0] == (1 if grey else 3)
    assert float(noise[..., 64:].std() / noise[..., :64].std()) == pytest.approx(2, rel=0.05)
    assert float(noise[..., 64:].var()) == pytest.approx(0.8 / 128, rel=0.06)
    out = realesrgan._stage(two, np.random.default_rng(0), stage, (128, 128))
    assert out.min() >= 0
    assert out.max() <= 1


def test_jpeg_error_falls_with_quality(picture: Picture) -> None:
    image = to_tensor(picture(64, 64))
    rng = np.random.default_rng(0)
    error = [
        float((realesrgan._jpeg(image, rng, (q, q)) - image).square().mean()) for q in (30, 60, 95)
    ]
    assert error[0] > error[1] > error[2] > 0
    assert torch.equal(realesrgan._jpeg(image, rng, None), image)


@pytest.mark.parametrize("shape", [(3, 30, 32), (1, 32, 32), (3, 32, 33)])
def test_wrong_shapes_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="multiples of 4"):
        degrade(torch.zeros(shape), 0, 0)
