"""What is drawn, as plain data; and that drawing it twice gives the same bytes."""

from __future__ import annotations

import hashlib
import os
import pickle
import re
import subprocess
import sys
from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import pytest
from matplotlib.text import Text

from tadsr.config import Experiment
from tadsr.report.content import ReportContent
from tadsr.report.drawing import (
    ONE_COLUMN,
    PALETTE,
    TWO_COLUMNS,
    Look,
    inline_svg,
    looks,
    new_figure,
    save,
    style,
)
from tadsr.report.figures import MAKERS, all_figures
from tadsr.report.figures.curves import BINS, binned, teacher_data, training_data
from tadsr.report.figures.effects import effects_data
from tadsr.report.figures.labels import draw_key, key_height, label_points
from tadsr.report.figures.plane import (
    PlanePoint,
    draw_perception_distortion,
    perception_distortion_data,
)
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


def test_students_whose_markers_cover_each_other_are_not_all_named(content: ReportContent) -> None:
    names = ["full", *(n for n in content.variants if n != "full")]
    for step, named in ((0.1, names), (0.0001, [names[0], names[-1]])):
        means = {
            key: replace(mean, mean=0.3 + step * names.index(key[1])) if key[1] in names else mean
            for key, mean in content.means.items()
        }
        data = quality_cost_data(replace(content, means=means))
        assert data is not None
        assert [p.name for p in data.points if p.named and p.name in names] == named


def test_words_say_what_bars_and_latencies_are(
    content: ReportContent,
) -> None:
    words = next(f.caption for f in all_figures(content) if f.name == "quality-cost")
    assert "bars are 95 % intervals over seeds" in words, "as drawn: half to each side"
    assert "(beside other work: alone, teacher-15 may be faster)" in words


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


def test_the_front_is_what_nothing_beats(content: ReportContent) -> None:
    plane = perception_distortion_data(content)[0]
    assert plane.y.id == "lpips", "lower is better"

    def beaten(point: PlanePoint) -> bool:
        better = [(p.x >= point.x, p.y <= point.y, (p.x, p.y) != (point.x, point.y))
                  for p in plane.points]  # fmt: skip
        return any(all(sides) for sides in better)

    assert {p.name for p in plane.front} == {p.name for p in plane.points if not beaten(p)}
    assert [p.x for p in plane.front] == sorted(p.x for p in plane.front)
    turned = replace(plane, y=plane.y.model_copy(update={"higher_is_better": True}))
    best = max(plane.points, key=lambda p: p.y)
    assert best.name in [p.name for p in turned.front]


def test_students_stand_enlarged_below_with_every_number_once(content: ReportContent) -> None:
    planes = perception_distortion_data(content)
    with style():
        figure = draw_perception_distortion(planes)
    shown = [ax for ax in figure.axes if ax.get_visible()]
    assert len(shown) == 2 * len(planes)
    whole, near = (next(ax for ax in shown if ax.get_title(loc="left") == title)
                   for title in ("photos-bicubic", "photos-bicubic, students"))  # fmt: skip
    numbers = [text.get_text() for ax in (whole, near) for text in ax.texts]
    assert sorted(numbers, key=int) == [str(p.number) for p in planes[0].points]
    keys = [text.get_text() for text in figure.legends[0].get_texts()]
    assert keys == [f"{p.number} {p.name}" for p in planes[0].points]


def test_labels_do_not_cover_each_other() -> None:
    """Fifty points on a line, ten of them in one place."""
    figure = new_figure(3.0, 3.0)
    ax = figure.subplots()
    points = [(i / 50, i / 50) for i in range(40)] + [(0.3, 0.7)] * 10
    ax.plot(*zip(*points, strict=True), "o")
    with style():
        figure.draw_without_rendering()
        label_points(ax, [(x, y, str(i)) for i, (x, y) in enumerate(points)])
    figure.canvas.draw()
    boxes = [Text.get_window_extent(text) for text in ax.texts]  # without the lines to points
    covered = sum(one.overlaps(other) for i, one in enumerate(boxes) for other in boxes[:i])
    assert len(boxes) == 50
    assert covered <= 5, "of 1225 pairs"
    frame = ax.get_window_extent()
    assert all(frame.x0 - 2 < box.x0 and box.x1 < frame.x1 + 2 for box in boxes)


def test_numbers_do_not_cover_faint_points() -> None:
    figure = new_figure(3.3, 2.6)
    ax = figure.subplots()
    ax.plot([0.5, 0.0, 1.0], [0.5, 0.0, 1.0], "o")
    with style():
        figure.draw_without_rendering()
        right = ax.transData.transform((0.5, 0.5)) + np.array([6.5, 0]) * figure.dpi / 72
        faint = ax.transData.inverted().transform(right)
        for others in ((), [(faint[0], faint[1])]):
            label_points(ax, [(0.5, 0.5, "1")], faint=others)
    before, after = (text.get_window_extent() for text in ax.texts)
    assert before.contains(*right)
    assert not after.contains(*right)


@pytest.mark.parametrize("amount", [5, 17, 53])
def test_a_key_is_no_taller_than_its_share(amount: int) -> None:
    names = [f"{i} multiple_discriminators" for i in range(amount)]
    height = key_height(names, TWO_COLUMNS)
    figure = new_figure(TWO_COLUMNS, 2.0 + height)
    figure.subplots()
    with style():
        draw_key(figure, [(name, Look("#000000", "o")) for name in names])
        figure.canvas.draw()
    legend = figure.legends[0].get_window_extent()
    assert legend.height / figure.dpi <= height + 0.15
    assert legend.width / figure.dpi <= TWO_COLUMNS
    assert height < 3.0


def test_many_points_of_one_latency_are_not_all_named(content: ReportContent) -> None:
    variants = tuple(f"v{i}" for i in range(40))
    mean = content.means["photos-bicubic", "full", "lpips"]
    means = {("photos-bicubic", name, "lpips"): replace(mean, mean=0.3 + 0.001 * i)
             for i, name in enumerate(variants)}  # fmt: skip
    settings = content.experiment.model_copy(update={"reference": "v7"})
    crowd = replace(content, variants=variants, means={**content.means, **means},
                    experiment=settings)  # fmt: skip
    data = quality_cost_data(crowd)
    assert data is not None
    assert [p.name for p in data.points if p.named] == [*content.baselines, "v0", "v7", "v39"]
    assert len(data.points) == 43


def test_a_crowded_plane_names_its_front_and_what_it_is_held_against(
    content: ReportContent,
) -> None:
    variants = tuple(f"v{i}" for i in range(60))
    place = np.random.default_rng(1).normal(size=(2, 2, 60))
    means = {
        (dataset, name, metric): replace(
            content.means[dataset, "full", metric], mean=27 + place[d, m, i])
        for d, dataset in enumerate(["photos-bicubic", "photos-realesrgan"])
        for m, metric in enumerate(["psnr", "lpips"]) for i, name in enumerate(variants)
    }  # fmt: skip
    settings = content.experiment.model_copy(update={"reference": "v7"})
    crowd = replace(content, variants=variants, means=means, experiment=settings, baselines=())
    planes = perception_distortion_data(crowd)
    numbers: dict[str, set[int]] = {}
    for plane in planes:
        named = {p.name for p in plane.points if p.number}
        assert named == {p.name for p in plane.front} | {"v7"}
        assert len(plane.points) == 60 and len({p.look for p in plane.points if not p.number}) == 1
        for point in plane.points:
            if point.number:
                numbers.setdefault(point.name, set()).add(point.number)
    assert sorted(n for found in numbers.values() for n in found) == [*range(1, len(numbers) + 1)]
    with style():
        figure = draw_perception_distortion(planes)
        figure.canvas.draw()
    assert len(figure.legends[0].get_texts()) == len(numbers)


def test_figures_have_a_papers_width_and_their_numbers_in_words(content: ReportContent) -> None:
    for figure in all_figures(content):
        assert figure.figure.get_figwidth() in (ONE_COLUMN, TWO_COLUMNS), figure.name
        assert re.search(r"\d\.\d", figure.alternative), figure.name
        assert figure.caption.endswith("."), figure.name


def test_no_two_series_look_the_same() -> None:
    found = looks([f"v{i}" for i in range(28)], ["bicubic", "teacher-15", "teacher-1"])
    assert len({(look.color, look.marker, look.dash) for look in found.values()}) == 31


def test_every_figure_there_are_data_for_is_there(content: ReportContent) -> None:
    assert [f.name for f in all_figures(content)] == [
        "perception-distortion", "quality-cost", "metric-agreement", "components", "effects",
        "ranks", "training", "teacher",
    ]  # fmt: skip


FORMATS = ("svg", "pdf", "png")
FRESH = """
import hashlib, pickle, sys
from pathlib import Path
from tadsr.report.drawing import save, style
from tadsr.report.figures import MAKERS
from tadsr.report.content import gather
experiment, root, folder = pickle.loads(Path(sys.argv[1]).read_bytes())
with style():
    figures = [f for make in (MAKERS[0], MAKERS[3]) for f in make(gather(experiment, root))]
for figure in figures:
    for path in save(figure.figure, folder, figure.name, ("svg", "pdf", "png")):
        print(path.name, hashlib.sha256(path.read_bytes()).hexdigest())
"""


def test_saved_figures_are_equal_byte_for_byte_in_another_process(
    made: tuple[Experiment, Path], content: ReportContent, tmp_path: Path
) -> None:
    """Another process has other hashes of strings, and none of this one's state."""
    (tmp_path / "made").write_bytes(pickle.dumps((*made, tmp_path / "theirs")))
    environment = {**os.environ, "PYTHONHASHSEED": "7"}
    told = subprocess.run([sys.executable, "-c", FRESH, str(tmp_path / "made")], check=True,
                          capture_output=True, text=True, env=environment).stdout  # fmt: skip
    with style():
        figures = [figure for make in (MAKERS[0], MAKERS[3]) for figure in make(content)]
    paths = [p for f in figures for p in save(f.figure, tmp_path / "ours", f.name, FORMATS)]
    assert [path.suffix for path in paths[:3]] == [f".{suffix}" for suffix in FORMATS]
    ours = [f"{path.name} {hashlib.sha256(path.read_bytes()).hexdigest()}" for path in paths]
    assert told.splitlines() == ours
    assert all(str(date.today().year).encode() not in path.read_bytes()[:2000] for path in paths)


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
