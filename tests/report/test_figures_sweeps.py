"""Data of the figures of searches, which figures there are, and their bytes."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest

from tadsr.compare import UNVERIFIED
from tadsr.report.content import ReportContent
from tadsr.report.drawing import save, style
from tadsr.report.figures.sweep_axes import Scale, scale_of
from tadsr.report.figures.sweep_contour import contour_data, contour_figures
from tadsr.report.figures.sweep_front import front_data, front_figures
from tadsr.report.figures.sweep_history import history_data, history_figures
from tadsr.report.figures.sweep_importance import importance_data, importance_figures
from tadsr.report.figures.sweep_intermediate import intermediate_data, intermediate_figures
from tadsr.report.figures.sweep_parallel import parallel_data, parallel_figures
from tadsr.report.figures.sweep_sensitivity import (
    sweep_sensitivity_data,
    sweep_sensitivity_figures,
)
from tadsr.report.figures.sweep_slice import slice_data, slice_figures
from tadsr.report.paper import figure_caption
from tadsr.report.sweeps import Sweep
from tests.report.made_up_sweeps import HSD, KIND, WEIGHT, means_of, spec_of, sweep_of

MAKERS = (
    contour_figures,
    front_figures,
    history_figures,
    importance_figures,
    intermediate_figures,
    parallel_figures,
    slice_figures,
    sweep_sensitivity_figures,
)


def without_results(sweep: Sweep) -> Sweep:
    """As if every trial but one had been pruned at its first look."""
    first, *others = sweep.trials
    lost = [replace(t, state="pruned", values={}, looks={}) for t in others]
    return replace(sweep, trials=(first, *lost), importances={}, front=())


def test_each_search_has_the_figures_that_make_sense(searched: ReportContent) -> None:
    with style():
        figures = [figure for make in MAKERS for figure in make(searched)]
    assert {figure.section for figure in figures} == {"sweeps"}
    found = {name: {f.name.removeprefix(f"sweep-{name}-") for f in figures if f.group == name}
             for name in ("weight", "losses", "trade")}  # fmt: skip
    several = {"history", "parallel", "importance", "slice", "contour"}
    assert found == {"weight": {"history", "intermediate", "sensitivity"}, "losses": several,
                     "trade": {*several, "front"}}  # fmt: skip
    for figure in figures:
        assert "{" not in figure.caption
        assert "3 validation images" in figure.caption
        assert "seed 1000" in figure.caption
        assert len(figure.alternative) > 20


def test_a_paper_says_the_seeds_of_variants_where_they_are_shown(searched: ReportContent) -> None:
    with style():
        figure = next(history_figures(searched))
    assert "per variant" not in figure_caption(searched, figure)
    assert "training seed 1000" in figure_caption(searched, figure)
    assert "3 seeds per variant" in figure_caption(searched, replace(figure, section="results"))


def test_figures_of_unverified_metrics_are_stamped(searched: ReportContent) -> None:
    doubted = [replace(sweep, doubted=frozenset({"psnr"})) for sweep in searched.sweeps]
    with style():
        for sweeps in (searched.sweeps, tuple(doubted)):
            for make in MAKERS:
                for made in make(replace(searched, sweeps=sweeps)):
                    shows = "psnr" in {m.id for m in sweep_of(searched, made.group).objectives}
                    found = {t.get_text() for ax in made.figure.axes for t in ax.texts}
                    assert (UNVERIFIED in found) == (sweeps is not searched.sweeps and shows)


def test_a_single_finished_trial_makes_no_figure(searched: ReportContent) -> None:
    bare = replace(searched, sweeps=tuple(map(without_results, searched.sweeps)))
    with style():
        names = [figure.name for make in MAKERS for figure in make(bare)]
    assert names == ["sweep-weight-intermediate"], "whose one trial was looked at three times"


def test_equal_data_give_equal_files(searched: ReportContent, tmp_path: Path) -> None:
    found = []
    for place in ("one", "two"):
        with style():
            figures = [figure for make in MAKERS for figure in make(searched)]
        for figure in figures:
            save(figure.figure, tmp_path / place, figure.name)
        found.append({path.name: path.read_bytes() for path in (tmp_path / place).iterdir()})
    assert len(found[0]) == 2 * 14
    assert found[0] == found[1]


def test_the_best_so_far_never_gets_worse_and_ends_at_the_best(searched: ReportContent) -> None:
    for sweep in searched.sweeps:
        for panel in history_data(sweep):
            sign = 1 if panel.metric.higher_is_better else -1
            values = [sign * value for _, value in panel.best]
            assert values == sorted(set(values))
            every = [sign * t.values[panel.metric.id] for t in sweep.complete]
            assert values[-1] == max(every)
    (panel,) = history_data(sweep_of(searched, "weight"))
    assert (panel.pruned, panel.diverged, panel.last) == ((3, 8), (5,), 12)


def test_a_trial_that_breaks_a_constraint_is_never_the_best(searched: ReportContent) -> None:
    sweep = sweep_of(searched, "losses")
    best = min(sweep.complete, key=lambda t: t.values["lpips"])
    broken = replace(best, violations={"psnr against the teacher": 0.5})
    trials = tuple(broken if t is best else t for t in sweep.trials)
    (panel,) = history_data(replace(sweep, trials=trials))
    assert [number for number, _ in panel.broken] == [best.number]
    assert best.number not in [number for number, _ in panel.best]


def test_scales_put_values_where_they_belong() -> None:
    log = Scale("w", 0.002, 0.2, log=True)
    assert log.place(0.02) == pytest.approx(0.5)
    assert [text for _, text in log.ticks()] == ["0.003", "0.01", "0.03", "0.1"]
    wide = Scale("w", 1e-6, 1, log=True)
    assert len(wide.ticks()) <= 5
    assert [text for _, text in Scale("w", 0.25, 0.4, log=True).ticks()] == ["0.25", "0.4"]
    linear = Scale("x", -1, 3)
    assert linear.place(0) == 0.25
    assert all(place == pytest.approx(linear.place(float(text))) for place, text in linear.ticks())
    choices = scale_of("kind", spec_of("losses").space[KIND])
    assert choices.ticks() == [(0.25, "time_aware"), (0.75, "vanilla")]


def test_parallel_lines_end_in_their_objective(searched: ReportContent) -> None:
    sweep = sweep_of(searched, "losses")
    data = parallel_data(sweep)
    assert data is not None
    names = ["discriminator", "adversarial", "score_distillation", "learning_rate", "LPIPS ↓"]
    assert [axis.title for axis in data.axes] == names
    trials = {t.number: t for t in sweep.complete}
    values = [trials[line.number].values["lpips"] for line in data.lines]
    assert values == sorted(values, reverse=True), "lower is better, and the best is drawn last"
    assert (data.lines[0].places[-1], data.lines[-1].places[-1]) == (1, 0)
    assert data.lines[-1].picked == "best"
    for line in data.lines:
        assert (line.places[1] is None) == (WEIGHT not in trials[line.number].settings)
    assert parallel_data(sweep_of(searched, "weight")) is None


def test_importances_stand_side_by_side(searched: ReportContent) -> None:
    (panel,) = importance_data(sweep_of(searched, "losses"))
    shares = dict(panel.shares)
    assert shares["adversarial"][0] is None, "fANOVA knows no setting that does not always count"
    assert shares["adversarial"][1] == 0.25
    largest = [max(share or 0 for share in both) for both in shares.values()]
    assert largest == sorted(largest, reverse=True)
    assert importance_data(sweep_of(searched, "weight")) == []


def test_contours_join_trials_that_have_both_settings(searched: ReportContent) -> None:
    sweep = sweep_of(searched, "losses")
    panels = contour_data(sweep)
    assert len(panels) == 3, "each two of three numeric settings"
    weights = sum(WEIGHT in t.settings for t in sweep.complete)
    assert [len(panel.points) for panel in panels] == [14, weights, weights]
    line = [replace(t, settings={**t.settings, HSD: 0.2}) for t in sweep.trials]
    kept = contour_data(replace(sweep, trials=tuple(line)))
    assert len(kept) == 1, "trials along a line span no plane"


def test_slices_show_each_setting(searched: ReportContent) -> None:
    sweep = sweep_of(searched, "trade")
    panels = slice_data(sweep)
    assert [(p.metric.id, p.scale.title) for p in panels] == [
        ("psnr", "score_distillation"), ("psnr", "adversarial"),
        ("lpips", "score_distillation"), ("lpips", "adversarial")]  # fmt: skip
    for point, trial in zip(panels[3].points, sweep.complete, strict=True):
        share = math.log(trial.settings[WEIGHT] / 0.002) / math.log(100)
        assert point.place == pytest.approx(share)
        assert point.value == pytest.approx(means_of(dict(trial.settings))["lpips"])
        assert point.picked == (trial.number in sweep.picked)


def test_nothing_beats_the_front(searched: ReportContent) -> None:
    data = front_data(sweep_of(searched, "trade"))
    assert data is not None
    for x, y in data.front:
        assert not any(a >= x and b <= y and (a, b) != (x, y) for a, b in data.kept)
    assert {pick.which for pick in data.picks} == {"knee", "end1", "end2"}
    end = next(pick for pick in data.picks if pick.which == "end2")
    assert len(end.seeds) == 2, "one student did not finish"
    assert dict(data.levels)["teacher-15"] == pytest.approx((27.9, 0.29))
    assert front_data(sweep_of(searched, "weight")) is None


def test_values_on_the_way_end_where_the_pruner_ended_them(searched: ReportContent) -> None:
    data = intermediate_data(sweep_of(searched, "weight"))
    assert data is not None
    last = {curve.number: curve.points[-1][0] for curve in data.curves if curve.state == "pruned"}
    assert last == {3: 320, 8: 320}
    assert 6 not in [curve.number for curve in data.curves], "its worker died before a look"
    assert intermediate_data(sweep_of(searched, "trade")) is None, "looked at in the end alone"


def test_sensitivity_is_of_one_number_with_what_it_is_held_against(
    searched: ReportContent,
) -> None:
    sweep = sweep_of(searched, "weight")
    (panel,) = sweep_sensitivity_data(sweep)
    assert [p.value for p in panel.points] == sorted(t.settings[WEIGHT] for t in sweep.complete)
    assert panel.levels == pytest.approx({"teacher-15": 27.9, "no_adversary": 27.95})
    (winner,) = [point for point in panel.points if point.seeds]
    (pick,) = sweep.picks
    assert winner.name == f"trial {pick.trial}"
    assert winner.seeds == tuple(s["psnr"] for s in pick.confirmed.values() if s)
    assert sweep_sensitivity_data(sweep_of(searched, "losses")) == []
