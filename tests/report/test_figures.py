"""What is drawn, as plain data; and that drawing it twice gives the same bytes."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tadsr.report.content import ReportContent
from tadsr.report.drawing import PALETTE, inline_svg, looks, save
from tadsr.report.figures import all_figures
from tadsr.report.figures.curves import BINS, binned, teacher_data, training_data
from tadsr.report.figures.effects import effects_data
from tadsr.report.figures.plane import perception_distortion_data
from tadsr.report.figures.quality_cost import described_cost, quality_cost_data


def test_plane_holds_means_and_one_point_per_surviving_seed(content: ReportContent) -> None:
    planes = perception_distortion_data(content)
    assert [p.dataset for p in planes] == ["photos-bicubic", "photos-realesrgan"]
    plane = planes[0]
    assert (plane.x.id, plane.y.id) == ("psnr", "lpips")
    assert [p.name for p in plane.points] == [*content.baselines, *content.variants]
    for point in plane.points:
        seeds = {"distill_only": 2, **dict.fromkeys(content.baselines, 0)}.get(point.name, 3)
        assert len(point.seeds) == seeds
        if seeds:
            assert np.mean(point.seeds, axis=0) == pytest.approx((point.x, point.y))


def test_plane_falls_back_to_the_next_perceptual_metric(content: ReportContent) -> None:
    means = {key: value for key, value in content.means.items() if key[2] != "lpips"}
    fallen = perception_distortion_data(replace(content, means=means))[0]
    assert fallen.y.id == "niqe", "CLIPIQA comes before it, but its weights are unverified"
    assert not fallen.unverified
    without = {key: value for key, value in content.means.items() if key[2] != "psnr"}
    assert perception_distortion_data(replace(content, means=without)) == []


def test_quality_stands_against_the_latency_that_was_measured(content: ReportContent) -> None:
    data = quality_cost_data(content)
    assert data is not None
    assert (data.dataset, data.metric.id, data.lr_side) == ("photos-bicubic", "lpips", 64)
    points = {point.name: point for point in data.points}
    assert list(points) == [*content.baselines, *content.variants]
    assert points["teacher-15"].seconds == pytest.approx(1.93)
    assert {points[name].seconds for name in content.variants} == {points["full"].seconds}
    for name, point in points.items():
        mean = content.means["photos-bicubic", name, "lpips"]
        assert (point.quality, point.half_width) == (mean.mean, mean.half_width)
    assert "teacher-15 1.93 s / 0." in described_cost(data)


def test_latencies_of_different_machines_do_not_share_an_axis(content: ReportContent) -> None:
    cost = content.costs["teacher-15"]
    moved = tuple(replace(record, device_name="Processor Y") for record in cost.records)
    changed = {**content.costs, "teacher-15": replace(cost, records=moved)}
    data = quality_cost_data(replace(content, costs=changed))
    assert data is not None
    assert "teacher-15" not in [point.name for point in data.points]
    assert quality_cost_data(replace(content, costs={})) is None
    undeclared = content.experiment.model_copy(update={"primary": ()})
    assert quality_cost_data(replace(content, experiment=undeclared)) is None


def test_effects_are_the_declared_comparisons(content: ReportContent) -> None:
    panels = effects_data(content)
    assert [(p.dataset, p.metric.id) for p in panels] == [
        ("photos-bicubic", "lpips"),
        ("photos-realesrgan", "lpips"),
    ]
    expected = [c for c in content.comparisons if c.primary and c.dataset == "photos-bicubic"]
    for row, c in zip(panels[0].rows, expected, strict=True):
        assert (row.variant, row.delta, row.low, row.verdict) == (
            c.variant, c.delta, c.low, c.verdict,
        )  # fmt: skip
        assert np.mean(row.seeds) == pytest.approx(row.delta)


def test_effects_without_declared_endpoints_show_one_exploratory(content: ReportContent) -> None:
    comparisons = tuple(replace(c, primary=False, verdict=None) for c in content.comparisons)
    panels = effects_data(replace(content, comparisons=comparisons))
    assert [(p.dataset, p.metric.id) for p in panels] == [("photos-bicubic", "lpips")]
    assert all(row.verdict.startswith("p = ") for row in panels[0].rows)


def test_curves_are_means_and_ranges_over_the_seeds_that_lasted(content: ReportContent) -> None:
    panels = {panel.name: panel for panel in training_data(content)}
    assert next(iter(panels)) == "val/target_mse"
    lines = {line.variant: line for line in panels["loss/regression"].lines}
    kept = [dict(binned(content.curves["full", seed]["loss/regression"])) for seed in (0, 1, 2)]
    for x, mean, low, high in zip(
        lines["full"].images, lines["full"].mean, lines["full"].low, lines["full"].high, strict=True
    ):
        values = [curve[x] for curve in kept]
        assert mean == pytest.approx(np.mean(values))
        assert (low, high) == (min(values), max(values))
    assert [len(line.diverged) for line in lines.values()] == [0, 0, 0, 0, 1]
    assert max(lines["distill_only"].high) < 0.1  # the lost seed is not in the band
    variants = [line.variant for line in panels["loss/adversarial"].lines]
    assert variants == ["full", "no_score_distillation", "vanilla_discriminator"]
    assert [panel.name for panel in teacher_data(content)] == ["val/error", "loss/denoising"]


@pytest.mark.parametrize("length", [1, 7, BINS, BINS + 1, 100, 1000])
def test_binning_keeps_the_mean_and_the_end(length: int) -> None:
    series = tuple((float(i), float(i * i)) for i in range(length))
    bins = binned(series)
    assert len(bins) <= BINS
    assert bins[-1][0] == length - 1
    size = -(-length // BINS)
    assert bins[0][1] == pytest.approx(np.mean([y for _, y in series[:size]]))


def test_no_two_series_look_the_same() -> None:
    found = looks([f"v{i}" for i in range(28)], ["bicubic", "teacher-15", "teacher-1"])
    assert len({(look.color, look.marker, look.dash) for look in found.values()}) == 31


def test_saved_figures_are_equal_byte_for_byte(content: ReportContent, tmp_path: Path) -> None:
    first, again = (all_figures(content) for _ in range(2))
    assert [f.name for f in first] == [
        "perception-distortion", "quality-cost", "metric-agreement", "components", "effects",
        "ranks", "training", "teacher",
    ]  # fmt: skip
    chosen = first[1], again[1]
    paths = [save(f.figure, tmp_path / str(i), f.name) for i, f in enumerate(chosen)]
    assert [p.suffix for p in paths[0]] == [".svg", ".pdf", ".png"]
    for one, other in zip(*paths, strict=True):
        assert one.read_bytes() == other.read_bytes()
        assert b"2026" not in one.read_bytes()[:2000]


def test_inline_svg_follows_the_page_and_keeps_its_ids_apart(tmp_path: Path) -> None:
    text = ('<?xml version="1.0"?>\n<svg width="10pt" viewBox="0 0 72 36"><metadata>x</metadata>'
            f'<path id="a" style="fill: {PALETTE[1]}; stroke: #1f2328"/><use xlink:href="#a"/>'
            '<g clip-path="url(#b)"/></svg>')  # fmt: skip
    svg = inline_svg(text, "fig", "what it shows")
    assert svg.startswith('<svg role="img" aria-label="what it shows" viewBox="0 0 72 36"')
    assert "var(--s1)" in svg
    assert "var(--ink)" in svg
    assert "metadata" not in svg
    assert re.findall(r'id="([^"]*)"', svg) == ["fig-a"]
    assert 'xlink:href="#fig-a"' in svg
    assert "url(#fig-b)" in svg
