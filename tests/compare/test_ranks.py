"""Rank correlation and average ranks against SciPy, published tables and simulation."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from scipy import stats

from tadsr.compare import SeedMean, Summary, average_ranks, rank_correlation
from tadsr.compare.ranks import critical_difference, friedman, kendall_tau


def _summary(
    variant: str, means: list[float], metric: str = "lpips", *, diverged: int = 0, images: int = 8
) -> Summary:
    """A trained variant with one mean per seed."""
    return Summary(
        variant=variant, dataset="photos", metric=metric, n_seeds=len(means),
        seeds_total=len(means) + diverged, distinct_seeds=len(means), n_images=images,
        diverged=diverged, mean=float(np.mean(means)) if means else None,
        per_seed=tuple(SeedMean(seed, mean) for seed, mean in enumerate(means)),
    )  # fmt: skip


def _fixed(variant: str, mean: float | None, metric: str) -> Summary:
    """An upscaler without seeds."""
    return Summary(variant=variant, dataset="photos", metric=metric, n_images=8, mean=mean)


@pytest.mark.parametrize("seed", range(5))
def test_kendall_tau_is_scipy_s_with_and_without_ties(seed: int) -> None:
    generator = np.random.default_rng(seed)
    for one, other in (
        generator.normal(size=(2, 9)),
        generator.integers(0, 4, size=(2, 12)).astype(float),
    ):
        assert kendall_tau(one, other) == pytest.approx(stats.kendalltau(one, other).statistic)
    assert kendall_tau(np.ones(4), np.arange(4.0)) is None


def test_rank_correlation_knows_the_directions() -> None:
    table = {"psnr": [20.0, 22.0, 21.0, 23.0], "lpips": [0.5, 0.4, 0.3, 0.2],
             "mine": [1.0, 2.0, 3.0, 4.0]}  # fmt: skip
    summaries = [_fixed(name, mean, metric) for metric, means in table.items()
                 for name, mean in zip("abcd", means, strict=True)]  # fmt: skip
    (found,) = rank_correlation(summaries)
    assert (found.metrics, found.upscalers) == (("lpips", "psnr"), ("a", "b", "c", "d"))
    expected = stats.kendalltau([-0.5, -0.4, -0.3, -0.2], table["psnr"]).statistic
    assert np.array(found.tau) == pytest.approx(np.array([[1, expected], [expected, 1]]))
    (three,) = rank_correlation(summaries, directions={"mine": "lower"})
    assert three.metrics == ("lpips", "mine", "psnr")
    assert three.tau[0][1] == -1


def test_rank_correlation_leaves_out_what_lacks_a_metric() -> None:
    summaries = [_fixed(name, mean, metric) for metric in ("psnr", "ssim")
                 for name, mean in (("a", 1.0), ("b", 2.0), ("c", 3.0))]  # fmt: skip
    (found,) = rank_correlation([*summaries, _fixed("d", 1.0, "psnr"), _fixed("d", None, "ssim")])
    assert (found.upscalers, found.left_out, found.tau[0][1]) == (("a", "b", "c"), ("d",), 1.0)
    assert rank_correlation(summaries[:3]) == []


def test_rank_correlation_leaves_out_means_over_fewer_images() -> None:
    summaries = [_fixed(name, mean, metric) for metric in ("psnr", "ssim")
                 for name, mean in (("a", 1.0), ("b", 2.0), ("c", 3.0))]  # fmt: skip
    part = [_fixed("d", 0.0, "psnr"), replace(_fixed("d", 9.0, "ssim"), n_images=7)]
    (found,) = rank_correlation([*summaries, *part])
    assert (found.upscalers, found.left_out, found.tau[0][1]) == (("a", "b", "c"), ("d",), 1.0)


def test_average_ranks_are_scipy_s_friedman() -> None:
    generator = np.random.default_rng(1)
    table = generator.normal(size=(5, 6))
    summaries = [_summary(name, column.tolist())
                 for name, column in zip("abcdef", table.T, strict=True)]  # fmt: skip
    (found,) = average_ranks(summaries)
    expected = stats.friedmanchisquare(*table.T)
    assert (found.statistic, found.p_value) == pytest.approx(tuple(expected))
    ranks = dict(zip("abcdef", stats.rankdata(table, axis=1).mean(axis=0), strict=True))
    assert dict(zip(found.variants, found.ranks, strict=True)) == pytest.approx(ranks)
    assert list(found.ranks) == sorted(found.ranks)
    assert found.n_seeds == 5
    (higher,) = average_ranks(summaries, directions={"lpips": "higher"})
    assert higher.variants == tuple(sorted(ranks, key=lambda name: -ranks[name]))


def test_friedman_is_scipy_s_with_ties() -> None:
    table = np.random.default_rng(3).integers(0, 3, size=(7, 5)).astype(float)
    ranks = stats.rankdata(table, axis=1)
    assert friedman(ranks) == pytest.approx(stats.friedmanchisquare(*table.T).statistic)
    assert friedman(np.full((3, 4), 2.5)) == 0.0


# Demsar (2006), table 5 a: q of the two-tailed Nemenyi test at 5 %, by number of classifiers.
@pytest.mark.parametrize("count, q", [(2, 1.960), (3, 2.343), (5, 2.728), (8, 3.031), (10, 3.164)])
def test_critical_difference_is_demsar_s(count: int, q: float) -> None:
    expected = q * np.sqrt(count * (count + 1) / (6 * 14))
    assert critical_difference(count, 14) == pytest.approx(expected, rel=1e-3)


def test_groups_are_the_longest_runs_not_told_apart() -> None:
    # 20 seeds that all rank a < b < ... < e: critical difference 1.36.
    summaries = [_summary(name, [float(at)] * 20) for at, name in enumerate("abcde")]
    (found,) = average_ranks(summaries)
    assert found.ranks == (1, 2, 3, 4, 5)
    assert found.critical_difference == pytest.approx(2.728 * np.sqrt(30 / 120), rel=1e-3)
    assert found.groups == (("a", "b"), ("b", "c"), ("c", "d"), ("d", "e"))
    few = [_summary(name, [float(at)] * 2) for at, name in enumerate("abcde")]
    assert average_ranks(few)[0].groups == (("a", "b", "c", "d", "e"),)


def test_a_diverged_seed_takes_the_last_rank() -> None:
    good = {name: _summary(name, [level] * 3) for name, level in
            (("a", 0.1), ("b", 0.2), ("c", 0.3))}  # fmt: skip
    broken = _summary("a", [0.1, 0.1], diverged=1)
    (found,) = average_ranks([broken, good["b"], good["c"]], diverged={"a": [2]})
    ranks = dict(zip(found.variants, found.ranks, strict=True))
    assert ranks == pytest.approx(
        {"a": (1 + 1 + 3) / 3, "b": (2 + 2 + 1) / 3, "c": (3 + 3 + 2) / 3}
    )
    lost = _summary("a", [], diverged=3)
    (found,) = average_ranks([lost, good["b"], good["c"]], diverged={"a": [0, 1, 2]})
    assert (found.variants, found.ranks[-1]) == (("b", "c", "a"), 3.0)


def test_what_cannot_be_ranked_is_left_out_or_gives_nothing() -> None:
    names = "abcd"
    full = [_summary(name, [0.1 + at, 0.2 + at, 0.3 + at]) for at, name in enumerate(names)]
    other_images = _summary("e", [0.1, 0.1, 0.1], images=7)
    (found,) = average_ranks([*full, other_images, _fixed("bicubic", 0.4, "lpips")])
    assert (found.left_out, len(found.variants)) == (("e",), 4)
    (short,) = average_ranks([*full[:3], _summary("d", [9.0, 9.0])])  # seed 2 was not evaluated
    assert short.n_seeds == 2
    assert average_ranks(full[:2]) == []
    assert average_ranks([_summary(name, [0.1]) for name in names]) == []


def test_nemenyi_rarely_separates_equal_variants() -> None:
    generator = np.random.default_rng(0)
    repetitions, seeds, count = 2000, 5, 6
    ranks = np.argsort(np.argsort(generator.normal(size=(repetitions, seeds, count))), axis=2) + 1
    mean = ranks.mean(axis=1)
    false = np.mean(np.ptp(mean, axis=1) >= critical_difference(count, seeds))
    assert 0.01 < false <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / repetitions)


def test_order_of_the_summaries_changes_nothing() -> None:
    generator = np.random.default_rng(2)
    summaries = [_summary(name, generator.normal(size=4).tolist(), metric)
                 for name, metric in product("abcd", ("lpips", "psnr"))]  # fmt: skip
    assert average_ranks(summaries) == average_ranks(summaries[::-1])
    assert rank_correlation(summaries) == rank_correlation(summaries[::-1])
