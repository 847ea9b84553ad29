"""The three claims against hand computation, SciPy and simulation."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from statsmodels.api import stats as models
from statsmodels.formula.api import ols

from tadsr.compare.claims import (
    MAX_SIGN_FLIP_SEEDS,
    crossed_interval,
    expanded_tail,
    mean_squares,
    population_claim,
    probability_of_improvement,
    recipe_claim,
    sign_flip_p,
    t_interval,
    weights_claim,
    win_rate,
)
from tadsr.seeds import numpy_generator


def test_recipe_claim_by_hand() -> None:
    claim = recipe_claim(np.array([1.0, 2.0, 3.0]))
    half = 4.302652729696142 / np.sqrt(3)  # t table: df 2, 97.5 %
    assert (claim.delta, claim.sd, claim.df, claim.n_seeds) == (2.0, 1.0, 2, 3)
    assert (claim.low, claim.high) == pytest.approx((2 - half, 2 + half))
    assert claim.p_value == pytest.approx(0.0741799, abs=1e-6)
    assert claim.sign_flip_p == 0.25


def test_one_seed_has_no_interval() -> None:
    claim = recipe_claim(np.array([0.3]))
    assert claim.delta == 0.3
    assert (claim.low, claim.high, claim.p_value, claim.sd, claim.sign_flip_p) == (None,) * 5


@pytest.mark.parametrize("deltas, p_value", [([0.0, 0.0, 0.0], 1.0), ([0.1, 0.1, 0.1], 0.0)])
def test_equal_deltas_have_no_nan(deltas: list[float], p_value: float) -> None:
    claim = recipe_claim(np.array(deltas))
    assert claim.p_value == p_value
    assert claim.low == claim.high == claim.delta


@pytest.mark.parametrize("count", [2, 5, 11])
def test_t_interval_is_scipy_s(count: int) -> None:
    samples = np.random.default_rng(count).normal(0.4, 1.0, (7, count))
    result = stats.ttest_1samp(samples, 0.0, axis=1)
    interval = result.confidence_interval(0.95)
    mean, sd, half, p_value = t_interval(samples)
    assert p_value == pytest.approx(result.pvalue)
    assert mean - half == pytest.approx(interval.low)
    assert mean + half == pytest.approx(interval.high)
    assert sd == pytest.approx(samples.std(axis=1, ddof=1))


@pytest.mark.parametrize("count", [2, 3, 6, 9])
def test_sign_flip_is_scipy_s_exact_test(count: int) -> None:
    deltas = np.random.default_rng(count).normal(0.5, 1.0, count)
    exact = stats.permutation_test((deltas,), np.mean, permutation_type="samples", n_resamples=1e6)
    assert sign_flip_p(deltas) == pytest.approx(exact.pvalue)


def test_sign_flip_reaches_its_smallest_value_and_counts_ties() -> None:
    for count in (3, 4, 5, 6, MAX_SIGN_FLIP_SEEDS):
        assert sign_flip_p(np.linspace(1, 2, count)) == 2.0 ** (1 - count)
    assert sign_flip_p(np.array([0.1, 0.2, 0.3, -0.3])) == 12 / 16  # 8 of them ties
    assert sign_flip_p(np.ones(MAX_SIGN_FLIP_SEEDS + 1)) is None


def test_population_claim_by_hand() -> None:
    # Row means 1.5 and 4.5, column means 2 and 4: MS 9, 4 and 1.
    claim = population_claim(np.array([[1.0, 2.0], [3.0, 6.0]]))
    assert claim is not None
    df = 12**2 / (9**2 + 4**2 + 1)
    half = stats.t.ppf(0.975, df) * np.sqrt(12 / 4)
    assert (claim.delta, claim.df) == (3.0, pytest.approx(df))
    assert (claim.low, claim.high) == (pytest.approx(3 - half), pytest.approx(3 + half))


def test_population_claim_is_floored_at_the_larger_mean_square() -> None:
    # MS_seed 4, MS_image 0, MS_residual 1: 4 + 0 - 1 would be too little.
    claim = population_claim(np.array([[0.0, 1.0], [3.0, 2.0]]))
    assert claim is not None
    assert claim.df == 1
    assert claim.high - claim.delta == pytest.approx(stats.t.ppf(0.975, 1))


def test_population_claim_needs_two_of_both() -> None:
    assert population_claim(np.ones((1, 5))) is None
    assert population_claim(np.ones((5, 1))) is None
    same = population_claim(np.ones((3, 4)))
    assert same is not None
    assert same.low == same.high == 1.0


@pytest.mark.parametrize("seeds, images", [(2, 2), (3, 7), (5, 4)])
def test_mean_squares_are_those_of_statsmodels_anova(seeds: int, images: int) -> None:
    block = np.random.default_rng(seeds).normal(size=(seeds, images))
    seed, image = np.indices(block.shape)
    frame = pd.DataFrame({"y": block.ravel(), "seed": seed.ravel(), "image": image.ravel()})
    table = models.anova_lm(ols("y ~ C(seed) + C(image)", frame).fit())
    found = mean_squares(block)
    expected = table["mean_sq"]
    assert found.seed == pytest.approx(expected["C(seed)"])
    assert found.image == pytest.approx(expected["C(image)"])
    assert found.rest == pytest.approx(expected["Residual"])


def test_the_crossed_variance_is_that_of_the_estimated_components() -> None:
    """Searle's estimates: the mean varies by seed / S + image / N + rest / (S N)."""
    generator = np.random.default_rng(8)
    seeds, images = 6, 30
    block = (generator.normal(0, 1, (seeds, 1)) + generator.normal(0, 2, (1, images))
             + generator.normal(0, 0.5, (seeds, images)))  # fmt: skip
    ms = mean_squares(block)
    by_seed, by_image = (ms.seed - ms.rest) / images, (ms.image - ms.rest) / seeds
    assert min(by_seed, by_image) > 0, "else the floor would hold"
    variance = by_seed / seeds + by_image / images + ms.rest / (seeds * images)
    _, half, df = crossed_interval(block)
    assert half == pytest.approx(stats.t.ppf(0.975, df) * np.sqrt(variance))


@pytest.mark.parametrize("count", [4, 10, 32, 1000])
def test_expanded_percentiles_give_student_s_t_on_a_normal_bootstrap(count: int) -> None:
    """The bootstrap of the mean has the sd of the sample divided by N, not by N - 1."""
    spread = np.sqrt((count - 1) / count)
    expected = stats.t.ppf(0.975, count - 1)
    assert -stats.norm.ppf(expanded_tail(count)) * spread == pytest.approx(expected)


def test_weights_claim_is_the_percentile_bootstrap_and_repeats() -> None:
    deltas = np.random.default_rng(0).normal(1.0, 2.0, 80)
    claim = weights_claim(deltas, 3, numpy_generator(0, "a"), 4000)
    other = stats.bootstrap(
        (deltas,), np.mean, method="percentile", n_resamples=4000, random_state=1,
        confidence_level=1 - 2 * expanded_tail(80),
    ).confidence_interval  # fmt: skip
    assert (claim.low, claim.high) == pytest.approx((other.low, other.high), abs=0.05)
    assert claim == weights_claim(deltas, 3, numpy_generator(0, "a"), 4000)
    assert claim != weights_claim(deltas, 3, numpy_generator(0, "b"), 4000)
    assert weights_claim(deltas[:1], 3, numpy_generator(0), 10).low is None


def test_win_rate_and_probability_of_improvement() -> None:
    assert win_rate(np.array([[1.0, -1.0], [0.0, 3.0]]), True) == 0.625
    assert win_rate(np.array([[1.0, -1.0], [0.0, 3.0]]), False) == 0.375
    ours, theirs = np.array([3.0, 1.0, 2.0]), np.array([2.0, 0.0, 5.0])
    u_share = stats.mannwhitneyu(ours, theirs).statistic / 9
    assert probability_of_improvement(ours, theirs, True) == pytest.approx(u_share)
    assert probability_of_improvement(ours, theirs, False) == pytest.approx(1 - u_share)
