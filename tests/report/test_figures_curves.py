"""Many curves stay apart: who is named, where names stand, what stands in small multiples."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tadsr.report.content import ReportContent
from tadsr.report.drawing import style
from tadsr.report.figures.curve_drawing import (
    HIGHLIGHTED,
    MOST_LINES,
    draw_curves,
    draw_multiples,
    highlighted,
    spread,
)
from tadsr.report.figures.curves import (
    MAX_PANELS,
    CurvePanel,
    described_curves,
    training_data,
    training_figures,
)


@pytest.fixture
def crowd(content: ReportContent) -> CurvePanel:
    """Twelve variants whose curves end 0, 1, 2, ... above that of the reference `v0`."""
    line = next(p for p in training_data(content) if p.name == "val/target_mse").lines[0]
    lines = [replace(line, variant=f"v{i}", mean=(*line.mean[:-1], line.mean[-1] + i))
             for i in range(12)]  # fmt: skip
    return CurvePanel("val/target_mse", tuple(lines))


def test_a_crowded_panel_names_those_that_end_farthest(crowd: CurvePanel) -> None:
    assert highlighted(crowd, "v0") == ("v0", "v11", "v10", "v9")
    assert highlighted(crowd, "v11")[1] == "v0"
    with style():
        figure = draw_curves([crowd], "v0")
    ax = figure.axes[0]
    assert sorted(t.get_text() for t in ax.texts) == ["v0", "v10", "v11", "v9"]
    assert len(ax.get_lines()) == 12, "the others are drawn, without a name"
    assert len(crowd.lines) > MOST_LINES > HIGHLIGHTED


def test_multiples_have_the_reference_in_each_panel(crowd: CurvePanel) -> None:
    with style():
        figure = draw_multiples(crowd, "v0")
    assert [ax.get_title(loc="left") for ax in figure.axes] == [f"v{i}" for i in range(12)]
    for ax, line in zip(figure.axes, crowd.lines, strict=True):
        reference, own = (np.asarray(drawn.get_ydata()) for drawn in ax.get_lines())
        assert np.allclose(reference, crowd.lines[0].mean)
        assert np.allclose(own, line.mean)


@pytest.mark.parametrize("heights", [[0.5], [0.1, 0.1, 0.1], [0.9, 0.2, 0.25, 0.9], [0.0, 1.0]])
def test_labels_are_apart_in_the_order_of_the_ends(heights: list[float]) -> None:
    moved = spread(heights, 0.1)
    order = np.argsort(heights, kind="stable")
    assert (np.diff(np.array(moved)[order]) > 0.1 - 1e-3).all()
    if min((abs(a - b) for i, a in enumerate(heights) for b in heights[:i]), default=1) >= 0.1:
        assert moved == heights, "nothing moves without need"
    assert np.mean(moved) == pytest.approx(np.mean(heights))


def test_words_say_where_curves_end(content: ReportContent) -> None:
    panels = training_data(content)
    words = described_curves(panels)
    end = next(line for line in panels[0].lines if line.variant == "full").mean[-1]
    assert f"val/target_mse ends at: full {end:.3g}" in words
    assert "distill_only diverged (1 seed)" in words


def test_of_many_losses_those_of_most_students_are_drawn_and_the_others_named(
    content: ReportContent,
) -> None:
    rare = {f"loss/a{i}": ((1.0, 0.5), (2.0, 0.4)) for i in range(MAX_PANELS)}
    curves = {**content.curves, ("full", 0): {**content.curves["full", 0], **rare}}
    crowded = replace(content, curves=curves)
    names = [panel.name for panel in training_data(crowded)]
    assert len(names) == MAX_PANELS
    assert {"val/target_mse", "loss/regression", "loss/score_distillation"} <= set(names)
    words = next(f.caption for f in training_figures(crowded) if f.name == "training")
    absent = [name for name in rare if name not in names]
    assert words.endswith(f"Not shown: {', '.join(absent)}.")
    assert "Not shown" not in next(training_figures(content)).caption


def test_few_points_have_markers(content: ReportContent) -> None:
    line = next(p for p in training_data(content) if p.name == "val/target_mse").lines[0]
    many = replace(line, images=tuple(range(50)), mean=(0.5,) * 50, low=(0.5,) * 50,
                   high=(0.5,) * 50)  # fmt: skip
    for drawn, marker in ((line, line.look.marker), (many, "")):
        with style():
            figure = draw_curves([CurvePanel("val/target_mse", (drawn,))])
        assert str(figure.axes[0].get_lines()[0].get_marker()) in (marker, marker or "None")
