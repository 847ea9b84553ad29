"""Which variants make a curve over one setting, and where its values stand."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from tadsr.report.content import ReportContent
from tadsr.report.figures import all_figures
from tadsr.report.figures.sensitivity import (
    described_sensitivity,
    positions,
    sensitivity_data,
)
from tests.report.test_figures_components import LOSSES, with_deltas

KEY = f"{LOSSES}adversarial.weight"
WEIGHTS = {"no_score_distillation": 0.0, "no_discriminator": 0.002, "vanilla_discriminator": 0.5}


@pytest.fixture
def varied(content: ReportContent) -> ReportContent:
    return with_deltas(content, {name: {KEY: weight} for name, weight in WEIGHTS.items()})


def test_points_are_the_variants_that_differ_in_the_setting_alone(varied: ReportContent) -> None:
    one, other = sensitivity_data(varied)
    assert (one.key, one.dataset, other.dataset) == (KEY, "photos-bicubic", "photos-realesrgan")
    # distill_only has weight 0 too, and so is the same training; the first variant stands for both.
    assert [(p.value, p.name) for p in one.points] == [
        (0.0, "no_score_distillation"), (0.002, "no_discriminator"), (0.02, "full"),
        (0.5, "vanilla_discriminator"),
    ]  # fmt: skip
    for point in one.points:
        mean = varied.means["photos-bicubic", point.name, "lpips"]
        assert (point.mean, point.low, point.high) == (mean.mean, mean.low, mean.high)
        assert sum(point.seeds) / len(point.seeds) == pytest.approx(point.mean)
    assert list(one.levels) == ["teacher-15", "teacher-1", "without (no_score_distillation)"]
    assert one.levels["without (no_score_distillation)"] == one.points[0].mean
    assert f"0.002: {one.points[1].mean:.4f}" in described_sensitivity([one])


def test_a_variant_that_differs_elsewhere_is_no_point(content: ReportContent) -> None:
    deltas = {name: {KEY: weight} for name, weight in WEIGHTS.items()}
    deltas["vanilla_discriminator"][f"{LOSSES}inverse.weight"] = 0.1
    kept = sensitivity_data(with_deltas(content, deltas))[0]
    assert [p.value for p in kept.points] == [0.0, 0.002, 0.02]


def test_settings_of_a_loss_of_weight_0_are_no_difference(content: ReportContent) -> None:
    deltas = {name: dict[str, object]({KEY: weight}) for name, weight in WEIGHTS.items()}
    deltas["no_score_distillation"][f"{LOSSES}adversarial.discriminator"] = "vanilla"
    assert len(sensitivity_data(with_deltas(content, deltas))[0].points) == 4
    deltas["no_discriminator"][f"{LOSSES}adversarial.discriminator"] = "vanilla"
    assert [p.value for p in sensitivity_data(with_deltas(content, deltas))[0].points] == [
        0.0, 0.02, 0.5,
    ]  # fmt: skip


def test_two_values_make_no_figure(content: ReportContent, varied: ReportContent) -> None:
    assert sensitivity_data(content) == [], "0.02 and 0 alone"
    names = [figure.name for figure in all_figures(varied)]
    assert names.count("sensitivity-adversarial-weight") == 1
    lost = {k: m for k, m in varied.means.items() if k[1] not in WEIGHTS or k[1] == "full"}
    assert sensitivity_data(replace(varied, means=lost)) == []


def test_any_numeric_setting_will_do(content: ReportContent) -> None:
    key = "student.training.learning_rate"
    rates = {"no_score_distillation": 1e-4, "no_discriminator": 4e-4, "distill_only": 8e-4}
    deltas = {name: {key: rate} for name, rate in rates.items()}
    found = sensitivity_data(with_deltas(content, deltas))
    assert {one.key for one in found} == {key}
    assert "without" not in str(list(found[0].levels))


def test_places_on_the_axis() -> None:
    assert positions([0.0, 1.0, 2.0]) == ([0.0, 1.0, 2.0], None), "linear where values are close"
    assert positions([-1.0, 1.0, 100.0])[1] is None, "no logarithm of a negative value"
    places, broken = positions([0.01, 0.1, 1.0])
    assert (places, broken) == (pytest.approx([-2.0, -1.0, 0.0]), None)
    places, broken = positions([0.0, 0.01, 0.1, 1.0])
    assert broken is not None
    assert places[0] < broken < places[1]
    assert places[1:] == pytest.approx([math.log10(v) for v in (0.01, 0.1, 1.0)])
