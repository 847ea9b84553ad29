"""The component table says what each variant was trained with."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from tadsr.config import Experiment
from tadsr.report.content import ReportContent
from tadsr.report.figures.components import component_data, described_components

LOSSES = "student.losses."


def with_deltas(content: ReportContent, deltas: dict[str, dict[str, Any]]) -> ReportContent:
    """The same results as if the variants had these deltas."""
    settings = content.experiment.model_dump(mode="json")
    for name, delta in deltas.items():
        settings["variants"][name]["delta"] = delta
    changed = Experiment.model_validate(settings, strict=False)
    return replace(content, experiment=changed)


def test_cells_follow_the_settings(content: ReportContent) -> None:
    table = component_data(with_deltas(content, {
        "no_score_distillation": {f"{LOSSES}score_distillation.weight": 0.0},
        "no_discriminator": {f"{LOSSES}adversarial.weight": 0.0},
        "vanilla_discriminator": {f"{LOSSES}adversarial.discriminator": "vanilla",
                                  f"{LOSSES}score_distillation.reference": "noise"},
        "distill_only": {f"{LOSSES}inverse.weight": 2.0, "targets.sampler": "stochastic"},
    }))  # fmt: skip
    assert table is not None
    assert table.columns == ("regression", "score_distillation", "adversarial", "inverse", "other")
    rows = {row.variant: row.cells for row in table.rows}
    assert rows["full"] == ("✓", "HSD", "time aware", "–", "")
    assert rows["no_score_distillation"] == ("✓", "–", "time aware", "–", "")
    assert rows["no_discriminator"] == ("✓", "HSD", "–", "–", "")
    assert rows["vanilla_discriminator"] == ("✓", "SDS", "vanilla", "–", "")
    assert rows["distill_only"] == ("✓", "HSD", "time aware", "✓", "sampler: stochastic")


def test_weights_stand_where_they_differ_and_many_changes_are_counted(
    content: ReportContent,
) -> None:
    table = component_data(with_deltas(content, {
        "no_discriminator": {f"{LOSSES}adversarial.weight": 0.5},
        "distill_only": {f"{LOSSES}adversarial.noise": "uniform",
                         f"{LOSSES}score_distillation.noise": "uniform",
                         f"{LOSSES}score_distillation.num_timesteps": "wide"},
    }))  # fmt: skip
    assert table is not None
    rows = {row.variant: row.cells for row in table.rows}
    assert rows["full"][2] == "time aware 0.02"
    assert rows["no_discriminator"][2] == "time aware 0.5"
    assert rows["no_discriminator"][3] == "", "the weight stands in the loss's own cell"
    assert rows["distill_only"][3] == "3 settings"


def test_bars_are_the_first_declared_endpoints_differences(content: ReportContent) -> None:
    table = component_data(content)
    assert table is not None
    first = content.experiment.primary[0]
    assert (table.dataset, table.metric.id) == (first.dataset, first.metric)
    reference, *others = table.rows
    assert (reference.variant, reference.effect) == ("full", None)
    expected = {c.variant: (c.delta, c.low, c.high) for c in content.comparisons
                if (c.dataset, c.metric) == (first.dataset, first.metric)}  # fmt: skip
    found = {row.variant: row.effect for row in others}
    assert {n: e and (e.delta, e.low, e.high) for n, e in found.items()} == expected
    words = described_components(table)
    assert "full: regression yes, score_distillation HSD" in words
    assert f"{expected['distill_only'][0]:+.4f}" in words
    assert component_data(replace(content, comparisons=())) is None


def test_a_variant_without_a_score_keeps_its_row(content: ReportContent) -> None:
    kept = tuple(c for c in content.comparisons if c.variant != "distill_only")
    table = component_data(replace(content, comparisons=kept))
    assert table is not None
    assert table.rows[-1].variant == "distill_only"
    assert table.rows[-1].effect is None
    assert "no difference measured" in described_components(table)
