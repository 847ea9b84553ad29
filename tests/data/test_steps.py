"""Resizing against explicit weights and OpenCV; batches of programs against single images."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from tadsr.data.kernels import elliptical_kernel
from tadsr.data.resize import bicubic
from tadsr.data.steps import (
    Blur,
    GaussianNoise,
    Jpeg,
    Mode,
    PoissonNoise,
    Program,
    Resize,
    run_programs,
)

CASES = [((24, 31), (9, 13)), ((24, 31), (40, 35)), ((17, 5), (17, 11)), ((8, 8), (3, 16))]


def _cubic(x: float, a: float) -> float:
    x = abs(x)
    if x <= 1:
        return (a + 2) * x**3 - (a + 3) * x**2 + 1
    return a * (x**3 - 5 * x**2 + 8 * x - 4) if x < 2 else 0.0


def _weights(length: int, target: int, mode: Mode) -> NDArray[np.float64]:
    """(target, length) weights written out pixel by pixel, borders repeated."""
    weights = np.zeros((target, length))
    for i in range(target):
        if mode == "area":
            first, last = i * length // target, -((-(i + 1) * length) // target)
            weights[i, first:last] = 1 / (last - first)
            continue
        centre = (i + 0.5) * length / target - 0.5
        for k in range(int(np.floor(centre)) - 1, int(np.floor(centre)) + 3):
            x = centre - k
            weight = max(0.0, 1 - abs(x)) if mode == "bilinear" else _cubic(x, -0.75)
            weights[i, min(max(k, 0), length - 1)] += weight
    return weights


@pytest.mark.parametrize("mode", ["area", "bilinear", "bicubic"])
@pytest.mark.parametrize(("source", "target"), CASES)
def test_resize_has_the_weights_of_its_mode(
    source: tuple[int, int], target: tuple[int, int], mode: Mode
) -> None:
    images = torch.rand(2, 3, *source, generator=torch.Generator().manual_seed(0))
    ours = Resize.run(images, [Resize(target, mode)] * 2)
    rows, columns = (_weights(n, m, mode) for n, m in zip(source, target, strict=True))
    expected = rows @ images.numpy().astype(np.float64) @ columns.T
    np.testing.assert_allclose(ours.numpy(), expected, atol=2e-5)


@pytest.mark.parametrize(
    ("mode", "flag"), [("bilinear", cv2.INTER_LINEAR), ("bicubic", cv2.INTER_CUBIC)]
)
@pytest.mark.parametrize(("source", "target"), CASES)
def test_resize_agrees_with_opencv(
    source: tuple[int, int], target: tuple[int, int], mode: Mode, flag: int
) -> None:
    image = np.random.default_rng(0).random((*source, 3)).astype(np.float32)
    planes = torch.from_numpy(image.transpose(2, 0, 1).copy())[None]
    ours = Resize.run(planes, [Resize(target, mode)])[0].permute(1, 2, 0).numpy()
    np.testing.assert_allclose(ours, cv2.resize(image, target[::-1], interpolation=flag), atol=1e-4)


def test_area_by_whole_factors_agrees_with_opencv() -> None:
    image = np.random.default_rng(0).random((24, 36, 3)).astype(np.float32)
    planes = torch.from_numpy(image.transpose(2, 0, 1).copy())[None]
    ours = Resize.run(planes, [Resize((8, 9), "area")])[0].permute(1, 2, 0).numpy()
    expected = cv2.resize(image, (9, 8), interpolation=cv2.INTER_AREA)
    np.testing.assert_allclose(ours, expected, atol=1e-5)


@pytest.mark.parametrize("antialias", [False, True])
def test_the_bicubic_of_test_sets_has_its_own_weights(antialias: bool) -> None:
    """`tadsr.data.resize` (a = -1/2, mirrored), with and without the widened kernel."""
    image = np.random.default_rng(0).random((20, 28))
    scale, stretch = 0.25, 4 if antialias else 1
    expected = image
    for axis, length in enumerate(image.shape):
        weights = np.zeros((length // 4, length))
        for i in range(length // 4):
            centre = (i + 0.5) / scale - 0.5
            for k in range(int(centre) - 2 * stretch - 1, int(centre) + 2 * stretch + 2):
                mirrored = min(k % (2 * length), 2 * length - 1 - k % (2 * length))
                weights[i, mirrored] += _cubic((centre - k) / stretch, -0.5)
        weights /= weights.sum(axis=1, keepdims=True)
        expected = np.moveaxis(weights @ np.moveaxis(expected, axis, 0), 0, axis)
    ours = bicubic(torch.from_numpy(image)[None, None], scale=scale, antialias=antialias)
    np.testing.assert_allclose(ours[0, 0].numpy(), expected, atol=1e-12)


def _programs() -> list[Program]:
    """All kinds of steps, some together in a group, some alone, some missing."""
    sharp, soft = elliptical_kernel(9, (0.6, 1.1), 0.5), elliptical_kernel(9, (2.0, 2.0))
    small, other = Resize((20, 26), "bicubic"), Resize((13, 40), "area")
    return [
        (Blur(sharp), small, GaussianNoise(1, 0.05, False), Jpeg(40)),
        (Blur(soft), small, PoissonNoise(2, 1.0, True), Jpeg(90)),
        (None, other, GaussianNoise(3, 0.1, True), None),
        (Blur(soft), small, None, Jpeg(40)),
        (Blur(np.pad(sharp, 3)), None, PoissonNoise(4, 0.5, False), Jpeg(71)),
    ]


def test_programs_run_as_if_alone() -> None:
    images = torch.rand(5, 3, 40, 52, generator=torch.Generator().manual_seed(0))
    before = images.clone()
    programs = _programs()
    together = run_programs(images, programs)
    assert [tuple(i.shape[1:]) for i in together] == [(20, 26)] * 2 + [(13, 40), (20, 26), (40, 52)]
    for n, image in enumerate(together):
        assert torch.equal(image, run_programs(images[n : n + 1], programs[n : n + 1])[0])
    assert torch.equal(images, before)


def test_steps_happen_in_their_order() -> None:
    image = torch.rand(1, 3, 40, 52, generator=torch.Generator().manual_seed(0))
    steps = _programs()[0]
    expected = image
    for step in steps:
        assert step is not None
        expected = type(step).run(expected, [step])
    assert torch.equal(run_programs(image, [steps])[0], expected[0])


def test_noise_is_clamped_and_grey_noise_is_the_same_in_all_channels() -> None:
    image = torch.full((1, 3, 32, 32), 0.5)
    grey = GaussianNoise.run(image, [GaussianNoise(0, 0.05, True)])[0] - 0.5
    assert torch.equal(grey[0], grey[1])
    assert torch.equal(grey[0], grey[2])
    strong = GaussianNoise.run(image, [GaussianNoise(0, 2.0, False)])
    assert strong.min() == 0
    assert strong.max() == 1
    once, thrice = (PoissonNoise.run(image, [PoissonNoise(0, s, True)])[0] for s in (0.1, 0.3))
    expected = (0.5 + 3 * (once - 0.5)).clamp(0, 1)
    torch.testing.assert_close(thrice, expected, rtol=0, atol=1e-6)


def test_the_number_of_threads_is_given_back() -> None:
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        run_programs(torch.zeros(1, 3, 16, 16), [(Jpeg(50),)])
        assert torch.get_num_threads() == 2
        with pytest.raises(ValueError, match="quality"):
            run_programs(torch.zeros(1, 3, 16, 16), [(Jpeg(500),)])
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(threads)
