"""Holm, power and the family-wise error of the words."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import integrate, stats
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.power import TTestPower

from tadsr.compare.verdicts import (
    ALPHA,
    LARGE_EFFECT,
    holm,
    power_of,
    seeds_needed,
    smallest_effect,
)


def test_holm_by_hand() -> None:
    adjusted = holm(np.array([0.01, 0.04, 0.03, 0.005]))
    assert adjusted == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm(np.array([0.9, 0.8])) == pytest.approx([1.0, 1.0])
    assert len(holm(np.zeros(0))) == 0


@pytest.mark.parametrize("count", [1, 2, 7, 40])
def test_holm_is_statsmodels_s(count: int) -> None:
    p_values = np.random.default_rng(count).uniform(0, 0.2, count)
    assert holm(p_values) == pytest.approx(multipletests(p_values, method="holm")[1])


# No few seeds at a small level: statsmodels has NaN there (SciPy's tail of the wrong sign).
@pytest.mark.parametrize("seeds, level", [(6, 0.05), (15, 0.05), (15, 0.05 / 13), (40, 0.05 / 13)])
def test_power_is_statsmodels_s(seeds: int, level: float) -> None:
    power = TTestPower()
    for effect in (0.8, 1.2):
        expected = power.power(effect, seeds, level)
        # Theirs counts the wrong sign as power, too; ours is the smaller one.
        assert power_of(seeds, effect, level) == pytest.approx(expected, abs=1e-3)
    effect = power.solve_power(nobs=seeds, alpha=level, power=0.8)
    assert smallest_effect(seeds, level) == pytest.approx(effect, rel=1e-3)


@pytest.mark.parametrize("effect, seeds", [(0.2, 199), (0.5, 34), (0.8, 15), (1.0, 10)])
def test_seeds_needed_are_the_textbook_s(effect: float, seeds: int) -> None:
    # G*Power 3.1, paired t, two-sided 5 %, power 80 %.
    assert seeds_needed(effect, 0.05) == seeds
    assert seeds_needed(-effect, 0.05) == seeds


def test_seeds_needed_has_ends() -> None:
    assert seeds_needed(100.0, 0.05) == 3
    assert seeds_needed(1e-4, 0.05) is None


def test_power_by_simulation() -> None:
    samples = np.random.default_rng(0).normal(1.5, 1.0, (20000, 5))
    share = np.mean(stats.ttest_1samp(samples, 0.0, axis=1).pvalue <= 0.01)
    assert power_of(5, 1.5, 0.01) == pytest.approx(share, abs=0.015)
    assert power_of(5, 0.0, 0.01) == pytest.approx(0.01 / 2)  # one tail


@pytest.mark.parametrize("seeds", [2, 3, 4, 5, 40, 2000])
@pytest.mark.parametrize("level", [0.05, 0.05 / 25, 0.05 / 10000])
def test_smallest_effect_has_the_promised_power(seeds: int, level: float) -> None:
    effect = smallest_effect(seeds, level)
    df, shift = seeds - 1, effect * np.sqrt(seeds)
    critical = stats.t.ppf(1 - level / 2, df)
    # P(t > critical) by quadrature over the normal numerator, no non-central t involved.
    power, _ = integrate.quad(
        lambda z: stats.chi2.cdf(df * ((z + shift) / critical) ** 2, df) * stats.norm.pdf(z),
        max(-shift, -10), 10, points=[0],
    )  # fmt: skip
    assert power == pytest.approx(0.8, abs=1e-4)


def test_default_margin_lets_the_documented_families_through() -> None:
    for seeds, family in ((5, 1), (6, 3), (8, 18)):
        assert smallest_effect(seeds, ALPHA / family) <= LARGE_EFFECT
        assert smallest_effect(seeds, ALPHA / (family + 1)) > LARGE_EFFECT
    assert smallest_effect(4, ALPHA) > LARGE_EFFECT
