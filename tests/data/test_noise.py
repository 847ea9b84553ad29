"""Noise by its statistics, and the alias tables against scipy's Poisson."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import chisquare, kstest, poisson

from tadsr.data import noise
from tadsr.data.noise import gaussian_noise, poisson_counts, poisson_noise


@pytest.mark.parametrize("grey", [False, True])
def test_gaussian_noise_is_gaussian_of_its_level(grey: bool) -> None:
    field = gaussian_noise(torch.zeros(3, 200, 200), 5, 12 / 255, grey)
    assert field.shape == (1 if grey else 3, 200, 200)
    assert kstest(field.flatten().numpy() * 255 / 12, "norm").pvalue > 1e-3
    assert torch.equal(field, gaussian_noise(torch.ones(3, 200, 200), 5, 12 / 255, grey))
    assert not torch.equal(field, gaussian_noise(torch.zeros(3, 200, 200), 6, 12 / 255, grey))
    if not grey:
        assert abs(float(torch.corrcoef(field.flatten(1))[0, 1])) < 0.02


@pytest.mark.parametrize("power", range(9))
def test_alias_tables_hold_the_poisson_law(power: int) -> None:
    keep, alias = noise._alias_tables(power, torch.device("cpu"))
    columns = keep.shape[1]
    law = keep.double()
    law = law.scatter_add(1, alias, 1 - law) / columns
    rate = np.arange(256)[:, None] / 255 * 2.0**power
    np.testing.assert_allclose(law.numpy(), poisson.pmf(np.arange(columns), rate), atol=2e-8)
    assert float(poisson.sf(columns - 1, rate).max()) < 1e-9  # what the table cuts off


@pytest.mark.parametrize(("level", "power"), [(255, 3), (10, 5), (128, 8), (1, 8)])
def test_counts_follow_scipy(level: int, power: int) -> None:
    field = torch.rand(200_000, generator=torch.Generator().manual_seed(level))
    counts = poisson_counts(torch.full(field.shape, level), field, power).numpy()
    rate = level / 255 * 2**power
    low, high = int(poisson.ppf(0.01, rate)), int(poisson.ppf(0.99, rate))
    inner = np.arange(low, high + 1)
    seen = [(counts < low).sum(), *((counts == k).sum() for k in inner), (counts > high).sum()]
    law = [poisson.cdf(low - 1, rate), *poisson.pmf(inner, rate), poisson.sf(high, rate)]
    used = np.array(law) > 0
    expected = np.array(law)[used] * len(counts)
    assert chisquare(np.array(seen)[used], expected * len(counts) / expected.sum()).pvalue > 1e-3


def test_black_has_no_shot_noise_and_the_field_may_reach_its_end() -> None:
    field = torch.tensor([0.0, 0.5, 1 - 2**-24])
    for power in range(9):
        assert poisson_counts(torch.zeros(3, dtype=torch.int64), field, power).tolist() == [0, 0, 0]
        white = poisson_counts(torch.full((3,), 255), field, power)
        assert ((white >= 0) & (white < 2**power + 8 * 2 ** (power / 2) + 12)).all()


@pytest.mark.parametrize("grey", [False, True])
def test_photons_are_the_levels_in_use_rounded_up(grey: bool) -> None:
    image = torch.cat([torch.full((3, 128, 64), 0.2), torch.full((3, 128, 64), 0.8)], dim=2)
    # 64 levels in a row, two of them the levels above: photons 2**ceil(log2(64)) = 64
    image[:, 0, :64] = torch.linspace(20, 83, 64) / 255
    used = len(np.unique((image[0] * 255).round().numpy()))
    photons = 2 ** int(np.ceil(np.log2(used)))
    field = poisson_noise(image, 3, grey)[:, 1:]
    assert field.shape == (1 if grey else 3, 127, 128)
    assert float(field[..., 64:].var()) == pytest.approx(0.8 / photons, rel=0.06)
    assert float(field[..., :64].var()) == pytest.approx(0.2 / photons, rel=0.06)
    assert float(field[..., 64:].mean()) == pytest.approx(0, abs=0.005)


def test_a_flat_image_has_one_photon() -> None:
    field = poisson_noise(torch.full((3, 300, 300), 0.6), 0, False)
    assert float(field.var()) == pytest.approx(0.6, rel=0.03)
