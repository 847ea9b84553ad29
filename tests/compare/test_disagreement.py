"""Metrics that order variants against each other: only where seeds tell the variants apart."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.multicomp import pairwise_tukeyhsd

from tadsr.compare import Disagreement, SeedMean, Summary, disagreements, find_alarms
from tadsr.compare.disagreement import LEVEL, told_apart

NAMES = "abcdefg"


def _summaries(metric: str, table: np.ndarray, dataset: str = "photos") -> list[Summary]:
    """`table` (variants, seeds) as trained variants a, b, ..."""
    return [
        Summary(
            variant=NAMES[at], dataset=dataset, metric=metric, n_seeds=len(row),
            seeds_total=len(row), distinct_seeds=len(row), n_images=5, mean=float(row.mean()),
            per_seed=tuple(SeedMean(seed, float(mean)) for seed, mean in enumerate(row)),
        )
        for at, row in enumerate(table)
    ]  # fmt: skip


def _noise(seed: int, shape: tuple[int, ...] = (4, 3)) -> np.ndarray:
    """Each seed moves all variants, and each run has a scatter of its own."""
    generator = np.random.default_rng(seed)
    return generator.normal(0, 9, (1, shape[1])) + generator.normal(0, 0.1, shape)


def test_told_apart_is_tukey_s_test_on_what_is_left_of_the_seeds() -> None:
    """Against statsmodels, on one-way data: there the residual and its df are those of no seeds."""
    table = np.random.default_rng(0).normal(0, 1, (4, 6)) + np.array([[0], [0], [2], [3]])
    found = told_apart(table, 0.05)
    mean = table.mean(axis=1)
    residual = table - mean[:, None] - table.mean(axis=0) + table.mean()
    error = np.sqrt((residual**2).sum() / 15 / 6)
    quantile = stats.studentized_range.ppf(0.95, 4, 15)
    assert found[3, 0] == pytest.approx((mean[3] - mean[0]) / (quantile * error))
    assert found == pytest.approx(-found.T)
    flat = table - table.mean(axis=0) + table.mean()  # no seed effect at all
    groups = np.repeat(np.arange(4), 6)
    tukey = pairwise_tukeyhsd(flat.ravel(), groups, 0.05)
    one_way = stats.studentized_range.ppf(0.95, 4, 20) / np.sqrt(20)
    two_way = quantile / np.sqrt(15)  # the same sum of squares, fewer degrees of freedom
    pairs = np.triu_indices(4, 1)
    half = (tukey.confint[:, 1] - tukey.confint[:, 0]) / 2
    expected = tukey.meandiffs / (half * two_way / one_way)
    assert -told_apart(flat, 0.05)[pairs] == pytest.approx(expected, rel=1e-4)


def test_opposed_orders_are_found_and_described() -> None:
    level = np.array([[0.0], [1.0], [2.0], [3.0]])
    psnr, lpips = _summaries("psnr", _noise(1) + level), _summaries("lpips", _noise(2) + level)
    (found,) = disagreements([*psnr, *lpips])  # of LPIPS, less is better
    assert found == Disagreement("photos", ("lpips", "psnr"), 4, -1.0, 6, 0, ("a", "d"))
    (alarm,) = find_alarms([], [*psnr, *lpips])
    assert (alarm.kind, alarm.variant, alarm.dataset, alarm.metric) == (
        "metrics_disagree", "", "photos", "")  # fmt: skip
    assert "photos: lpips and psnr 6 of 6 (tau -1.00)" in alarm.text
    assert "on photos, a is better than d by lpips, and worse by psnr" in alarm.text
    assert disagreements([*psnr, *lpips], directions={"lpips": "higher"}) == []
    assert disagreements([*psnr, *lpips], leave_out=["lpips"]) == []


@pytest.mark.parametrize(("apart", "found"), [([0, 0, 0, 3], 1), ([0, 0, 3], 0), ([0, 3], 1)])
def test_less_than_three_pairs_of_many_are_no_order(apart: list[float], found: int) -> None:
    """Three pairs of six; two of three; the only one."""
    level = np.array(apart, dtype=float)[:, None]
    shape = (len(apart), 3)
    tables = {"psnr": _noise(1, shape) + level, "lpips": _noise(2, shape) + level}
    assert len(disagreements([s for m, t in tables.items() for s in _summaries(m, t)])) == found


def test_all_disagreements_are_one_alarm() -> None:
    level = np.array([[0.0], [1.0], [2.0], [3.0]])
    summaries = [
        summary
        for dataset in ("faces", "photos")
        for seed, metric in enumerate(("psnr", "ssim", "lpips", "niqe"))
        for summary in _summaries(metric, _noise(seed) + level, dataset)
    ]
    assert len(disagreements(summaries)) == 8
    (alarm,) = find_alarms([], summaries)
    assert (alarm.kind, alarm.dataset) == ("metrics_disagree", "")
    for dataset in ("faces", "photos"):
        assert f"{dataset}: lpips and psnr 6 of 6 (tau -1.00), lpips and ssim 6 of 6" in alarm.text


def test_what_a_seed_does_to_all_variants_hides_nothing() -> None:
    level = np.array([[0.0], [1.0], [2.0], [3.0]])
    assert np.ptp(_noise(1).mean(axis=0)) > 3  # more than the variants differ by
    found = told_apart(_noise(1) + level, LEVEL)
    assert (np.abs(found[np.triu_indices(4, 1)]) > 1).all()


def test_differences_in_noise_raise_nothing() -> None:
    """Opposite orders of means, but the seeds do not tell the variants apart."""
    generator = np.random.default_rng(4)
    noisy = generator.normal(0, 1, (4, 3))
    psnr, lpips = noisy, noisy + generator.normal(0, 0.01, (4, 3))
    assert disagreements([*_summaries("psnr", psnr), *_summaries("lpips", lpips)]) == []


def test_agreement_on_more_pairs_raises_nothing() -> None:
    by_psnr = np.array([[0.0], [1.0], [2.0], [3.0]])
    by_niqe = -np.array([[1.0], [0.0], [2.0], [3.0]])  # a and b change places
    tables = {"psnr": _noise(1) + by_psnr, "niqe": _noise(2) + by_niqe}
    assert disagreements([s for m, t in tables.items() for s in _summaries(m, t)]) == []


def test_other_images_one_seed_and_unknown_directions_take_no_part() -> None:
    level = np.array([[0.0], [1.0], [2.0], [3.0]])
    psnr, lpips = _summaries("psnr", _noise(1) + level), _summaries("lpips", _noise(2) + level)
    mine = _summaries("mine", _noise(3) + level)
    assert len(disagreements([*psnr, *lpips, *mine])) == 1
    once = [_summaries("lpips", (_noise(2) + level)[:, :1])[at] for at in range(4)]
    assert disagreements([*psnr, *once]) == []
    assert disagreements([]) == disagreements(psnr) == []
    elsewhere = _summaries("lpips", _noise(2) + level, dataset="other")
    assert disagreements([*psnr, *elsewhere]) == []


def test_seeds_without_any_residual() -> None:
    exact = np.array([[0.0, 1.0], [0.5, 1.5], [0.5, 1.5]])
    found = told_apart(exact)
    assert found[0, 1] == -found[1, 0] < -1e6
    assert found[1, 2] == 0


def test_it_is_rarely_a_false_alarm() -> None:
    """Six metrics on four like variants: by one of them, they do differ."""
    generator = np.random.default_rng(0)
    metrics = ("psnr", "ssim", "lpips", "niqe", "musiq", "clipiqa")
    sets = 400
    summaries = []
    for number in range(sets):
        for metric in metrics:
            table = generator.normal(0, 1, (1, 3)) + generator.normal(0, 0.1, (4, 3))
            if metric == "psnr":
                table += np.array([[0.0], [1.0], [2.0], [3.0]])
            summaries += _summaries(metric, table, dataset=f"set{number}")
    false = len({d.dataset for d in disagreements(summaries)})
    assert false <= sets * 5 * LEVEL / 2 + 3 * np.sqrt(sets * 5 * LEVEL / 2)
