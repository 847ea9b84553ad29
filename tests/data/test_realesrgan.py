"""The random degradations: their programs against the published numbers, the whole by contract."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.stats import kstest

from tadsr.data.degradations import RECIPES
from tadsr.data.face import FACE
from tadsr.data.images import to_tensor
from tadsr.data.realesrgan import IMAGENET_TEST, REALESRGAN, Recipe, degrade, degrade_batch
from tadsr.data.resize import bicubic
from tadsr.data.steps import Blur, GaussianNoise, Jpeg, PoissonNoise, Program, Resize

Picture = Callable[..., NDArray[np.uint8]]
HR = (400, 800)
COUNT = 2000


@pytest.fixture(scope="module")
def programs() -> list[Program]:
    rng = np.random.default_rng(0)
    return [REALESRGAN.draw(rng, HR) for _ in range(COUNT)]


def _share(hits: list[bool], expected: float) -> None:
    """The share of hits agrees within 4 standard errors."""
    error = 4 * np.sqrt(expected * (1 - expected) / len(hits)) + 1e-9
    assert np.mean(hits) == pytest.approx(expected, abs=error)


def _uniform(values: list[float], low: float, high: float) -> None:
    assert low <= min(values) <= max(values) <= high
    assert kstest(values, "uniform", (low, high - low)).pvalue > 1e-3


def test_programs_have_one_order_and_length(programs: list[Program]) -> None:
    noise = (GaussianNoise, PoissonNoise)
    order = (Blur, Resize, noise, Jpeg, Blur, Resize, noise, Jpeg, Resize, Blur, Jpeg)
    for program in programs:
        assert len(program) == 11
        for step, kind in zip(program, order, strict=True):
            assert step is None or isinstance(step, kind)


def test_probabilities_of_steps(programs: list[Program]) -> None:
    _share([p[0] is not None for p in programs], 1.0)
    second = [p for p in programs if p[5] is not None]
    _share([p[5] is not None for p in programs], 0.5)
    _share([p[4] is not None for p in second], 0.8)
    assert all((p[6] is not None) == (p[5] is not None) for p in programs)
    _share([p[9] is not None for p in programs], 0.8)  # the final sinc
    # one last JPEG, before the resize or after all
    assert all((p[7] is None) != (p[10] is None) for p in programs)
    _share([p[7] is not None for p in programs], 0.5)


@pytest.mark.parametrize(
    ("place", "sigma", "scale"), [(2, (1, 30), (0.05, 3)), (6, (1, 25), (0.05, 2.5))]
)
def test_noise_is_drawn_as_published(
    programs: list[Program], place: int, sigma: tuple[float, float], scale: tuple[float, float]
) -> None:
    steps = [p[place] for p in programs if p[place] is not None]
    gaussian = [s for s in steps if isinstance(s, GaussianNoise)]
    poisson = [s for s in steps if isinstance(s, PoissonNoise)]
    _share([isinstance(s, GaussianNoise) for s in steps], 0.5)
    _share([s.grey for s in (*gaussian, *poisson)], 0.4)
    _uniform([s.sigma * 255 for s in gaussian], *sigma)
    _uniform([s.scale for s in poisson], *scale)
    assert len({s.seed for s in (*gaussian, *poisson)}) == len(steps)


@pytest.mark.parametrize(
    ("place", "base", "weights", "limits"),
    [(1, HR, (0.2, 0.7, 0.1), (0.15, 1.5)), (5, (100, 200), (0.3, 0.4, 0.3), (0.3, 1.2))],
)
def test_sizes_are_drawn_as_published(
    programs: list[Program],
    place: int,
    base: tuple[int, int],
    weights: tuple[float, float, float],
    limits: tuple[float, float],
) -> None:
    steps = [p[place] for p in programs if isinstance(p[place], Resize)]
    sizes = [s.size for s in steps if isinstance(s, Resize)]
    _share([s[1] > base[1] for s in sizes], weights[0])
    _share([s[1] < base[1] for s in sizes], weights[1])
    _share([s == base for s in sizes], weights[2])
    # Sizes are rounded down: half a pixel more is the middle of what they stand for.
    factor = [(s[1] + 0.5) / base[1] for s in sizes]
    _uniform([f for f, s in zip(factor, sizes, strict=True) if s[1] > base[1]], 1, limits[1] + 0.01)
    _uniform([f for f, s in zip(factor, sizes, strict=True) if s[1] < base[1]], limits[0], 1)
    modes = Counter(s.mode for s in steps if isinstance(s, Resize))
    for mode in ("area", "bilinear", "bicubic"):
        assert modes[mode] / len(steps) == pytest.approx(1 / 3, abs=0.06)


@pytest.mark.parametrize("place", [3, 7, 10])
def test_jpeg_quality_is_drawn_as_published(programs: list[Program], place: int) -> None:
    quality = [s.quality for p in programs if isinstance(s := p[place], Jpeg)]
    assert min(quality) == 30
    assert max(quality) == 95
    assert np.mean(quality) == pytest.approx(62.5, abs=4 * 19.05 / np.sqrt(len(quality)))


def test_the_mild_recipe_is_of_first_order() -> None:
    rng = np.random.default_rng(0)
    drawn = [IMAGENET_TEST.draw(rng, (256, 128)) for _ in range(500)]
    for program in drawn:
        kinds = [type(s) for s in program if s is not None]
        assert kinds == [Blur, Resize, GaussianNoise, Jpeg, Resize]
        assert isinstance(program[1], Resize)
        assert program[1].size == (64, 32)
    _uniform([s.sigma * 255 for p in drawn if isinstance(s := p[2], GaussianNoise)], 1, 15)
    quality = {s.quality for p in drawn if isinstance(s := p[3], Jpeg)}
    assert quality == set(range(70, 96))
    assert IMAGENET_TEST.first.blur.sigma == (0.2, 0.8)


def test_the_face_recipe_goes_down_and_back() -> None:
    rng = np.random.default_rng(0)
    drawn = [FACE.draw(rng, (3000, 3000)) for _ in range(500)]
    reduction = []
    for blur, down, noise, jpeg, up in drawn:
        assert isinstance(blur, Blur)
        assert blur.kernel.shape == (41, 41)
        assert isinstance(down, Resize)
        assert isinstance(noise, GaussianNoise)
        assert isinstance(jpeg, Jpeg)
        assert isinstance(up, Resize)
        assert up.size == (3000, 3000)
        assert 30 <= jpeg.quality <= 90
        reduction.append(3000 / down.size[0])
    _uniform(reduction, 1, 30.1)
    _uniform([s.sigma * 255 for p in drawn if isinstance(s := p[2], GaussianNoise)], 0, 20)


@pytest.mark.parametrize("name", RECIPES)
def test_an_image_is_the_same_in_any_batch(picture: Picture, name: str) -> None:
    recipe = RECIPES[name]
    hr = torch.stack([to_tensor(picture(64, 80, seed)) for seed in range(6)])
    before = hr.clone()
    indices = [3, 17, 4, 1000, 0, 99]
    batch = degrade_batch(hr, 5, indices, recipe)
    assert batch.shape == (6, 3, 64 // recipe.scale, 80 // recipe.scale)
    assert batch.dtype == torch.float32
    torch.testing.assert_close(batch * 255, (batch * 255).round(), rtol=0, atol=2e-5)
    for n, index in enumerate(indices):
        assert torch.equal(batch[n], degrade(hr[n], 5, index, recipe))
    turned = degrade_batch(hr[[4, 1]], 5, [0, 17], recipe)
    assert torch.equal(turned, batch[[4, 1]])
    assert torch.equal(hr, before)


@pytest.mark.parametrize("name", RECIPES)
def test_seed_and_index_both_count(picture: Picture, name: str) -> None:
    hr = to_tensor(picture(64, 64))[None].expand(4, -1, -1, -1)
    seen = [degrade_batch(hr, seed, range(4), RECIPES[name]) for seed in (0, 1)]
    images = torch.cat(seen)
    assert len(torch.unique(images, dim=0)) == 8


@pytest.mark.parametrize("shape", [(4, 4), (8, 44), (100, 36)])
@pytest.mark.parametrize("name", RECIPES)
def test_any_size(picture: Picture, name: str, shape: tuple[int, int]) -> None:
    hr = to_tensor(picture(*shape))[None].expand(12, -1, -1, -1)
    scale = RECIPES[name].scale
    lr = degrade_batch(hr, 1, range(12), RECIPES[name])
    assert lr.shape == (12, 3, shape[0] // scale, shape[1] // scale)
    assert torch.isfinite(lr).all()
    assert lr.min() >= 0
    assert lr.max() <= 1


def test_global_generators_and_threads_play_no_part(picture: Picture) -> None:
    hr = torch.stack([to_tensor(picture(64, 64, seed)) for seed in range(4)])
    first = degrade_batch(hr, 0, range(4))
    state, numpy_state = torch.get_rng_state(), np.random.get_state()[1].copy()
    threads = torch.get_num_threads()
    try:
        torch.manual_seed(1)
        torch.set_num_threads(2)
        assert torch.equal(degrade_batch(hr, 0, range(4)), first)
    finally:
        torch.set_num_threads(threads)
        torch.set_rng_state(state)
    degrade_batch(hr, 0, range(4))
    assert torch.equal(torch.get_rng_state(), state)
    np.testing.assert_array_equal(np.random.get_state()[1], numpy_state)


def test_mild_recipe_is_milder_and_both_keep_the_picture(picture: Picture) -> None:
    hr = to_tensor(picture(96, 96))[None].expand(40, -1, -1, -1)
    clean = bicubic(hr[:1], scale=0.25)

    def error(recipe: Recipe) -> float:
        squares = (degrade_batch(hr, 0, range(40), recipe) - clean).square().mean(dim=(1, 2, 3))
        return float(squares.median().sqrt())

    assert 0 < error(IMAGENET_TEST) < error(REALESRGAN) < float(clean.std())


def test_scale_two_and_one(picture: Picture) -> None:
    hr = to_tensor(picture(64, 48))[None]
    for recipe in (REALESRGAN, IMAGENET_TEST):
        for scale in (1, 2):
            lr = degrade_batch(hr, 0, [0], replace(recipe, scale=scale))
            assert lr.shape == (1, 3, 64 // scale, 48 // scale)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("name", RECIPES)
def test_the_gpu_agrees_up_to_rounding(picture: Picture, name: str) -> None:
    hr = torch.stack([to_tensor(picture(128, 128, seed)) for seed in range(8)])
    cpu = degrade_batch(hr, 0, range(8), RECIPES[name])
    gpu = degrade_batch(hr.cuda(), 0, range(8), RECIPES[name])
    assert gpu.is_cuda
    off = ((gpu.cpu() - cpu).abs() * 255).round()
    # A level tipped before a JPEG may move its block by a few levels.
    assert float((off > 0).float().mean()) < 0.01
    assert float(off.mean()) < 0.02


@pytest.mark.parametrize("shape", [(1, 3, 30, 32), (1, 1, 32, 32), (1, 3, 32, 33), (3, 32, 32)])
def test_wrong_shapes_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="multiples of 4"):
        degrade_batch(torch.zeros(shape), 0, [0])


def test_as_many_indices_as_images() -> None:
    with pytest.raises(ValueError, match="2 images and 1 indices"):
        degrade_batch(torch.zeros(2, 3, 8, 8), 0, [0])
