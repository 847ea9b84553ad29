"""Training curves: what is drawn as plain data, and the drawing."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from tadsr.report.content import ReportContent
from tadsr.report.drawing import MUTED, Look, looks, new_figure
from tadsr.report.figures.figure import ReportFigure
from tadsr.report.reading import Series
from tadsr.report.wording import caption

BINS = 60
"""Points a curve is drawn with, at most."""
MAX_PANELS = 6


@dataclass(frozen=True)
class CurveLine:
    """A variant's curve: mean and range over seeds at common x, and the diverged seeds alone."""

    variant: str
    images: tuple[float, ...]
    mean: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    diverged: tuple[Series, ...]
    look: Look


@dataclass(frozen=True)
class CurvePanel:
    """One curve name, all variants."""

    name: str
    lines: tuple[CurveLine, ...]


def training_data(content: ReportContent) -> list[CurvePanel]:
    """A panel per validation error and loss of the students, validation first."""
    names = _curve_names(content.curves.values())
    styles = looks(content.variants)
    panels = []
    for name in names:
        lines = [
            _curve_line(content, variant, name, styles[variant]) for variant in content.variants
        ]
        panels.append(CurvePanel(name, tuple(line for line in lines if line is not None)))
    return [panel for panel in panels if panel.lines]


def teacher_data(content: ReportContent) -> list[CurvePanel]:
    """A panel per validation error and loss of the teacher."""
    panels = []
    for name in _curve_names([content.teacher_curve]):
        x, y = zip(*binned(content.teacher_curve[name]), strict=True)
        line = CurveLine("teacher", x, y, y, y, (), Look(MUTED, "o"))
        panels.append(CurvePanel(name, (line,)))
    return panels


def _curve_names(curves: Iterable[Mapping[str, Series]]) -> list[str]:
    names = sorted({name for curve in curves for name in curve})
    chosen = [n for n in names if n.startswith("val/")] + [
        n for n in names if n.startswith("loss/")
    ]
    return chosen[:MAX_PANELS]


def _curve_line(content: ReportContent, variant: str, name: str, look: Look) -> CurveLine | None:
    """Mean and range over the seeds that did not diverge, at the x all of them have."""
    series = [
        (cell.status, binned(content.curves[variant, cell.seed][name]))
        for cell in content.cells_of(variant)
        if name in content.curves[variant, cell.seed]
    ]
    kept = [dict(points) for status, points in series if status == "done"]
    diverged = tuple(points for status, points in series if status == "diverged")
    if not kept:
        return CurveLine(variant, (), (), (), (), diverged, look) if diverged else None
    common = sorted(set.intersection(*(set(curve) for curve in kept)))
    table = np.array([[curve[x] for x in common] for curve in kept])
    mean, low, high = (
        tuple(side.tolist()) for side in (table.mean(axis=0), table.min(axis=0), table.max(axis=0))
    )
    return CurveLine(variant, tuple(common), mean, low, high, diverged, look)


def binned(series: Series, bins: int = BINS) -> Series:
    """Means over neighbouring points, so that at most `bins` remain; x is the last of a bin.

    The same points are merged in every curve that was written at the same x.
    """
    size = math.ceil(len(series) / bins)
    groups = [series[start : start + size] for start in range(0, len(series), size)]
    return tuple((group[-1][0], sum(y for _, y in group) / len(group)) for group in groups)


def draw_curves(panels: Sequence[CurvePanel], figure: Figure) -> None:
    """Mean lines with bands from the lowest to the highest seed; crosses end diverged seeds."""
    columns = min(3, len(panels))
    axes = figure.subplots(math.ceil(len(panels) / columns), columns, squeeze=False).ravel()
    for panel, ax in zip(panels, axes, strict=False):
        for line in panel.lines:
            look = line.look
            ax.plot(line.images, line.mean, look.dash, color=look.color, label=line.variant)
            if line.low != line.high:
                ax.fill_between(
                    line.images, line.low, line.high, color=look.color, alpha=0.18, lw=0
                )
            for series in line.diverged:
                x, y = zip(*series, strict=True)
                ax.plot(x, y, "--", color=look.color, lw=1, alpha=0.8)
        ax.set(title=panel.name, xlabel="images seen")
        _choose_scale(ax, panel)
        for line in panel.lines:
            for series in line.diverged:
                _cross(ax, series, line.look)
    for ax in axes[len(panels) :]:
        ax.set_visible(False)
    _curve_legend(figure, panels, axes)


def _choose_scale(ax: Any, panel: CurvePanel) -> None:
    """Logarithmic where all values are positive and span more than a factor of 20."""
    values = [v for line in panel.lines for v in (*line.low, *line.high)]
    if values and min(values) > 0 and max(values) > 20 * min(values):
        ax.set_yscale("log")
    if values:  # a diverged curve must not flatten the others
        ax.set_ylim(*_limits(min(values), max(values), log=ax.get_yscale() == "log"))


def _cross(ax: Any, series: Series, look: Look) -> None:
    """A cross where a diverged curve leaves the axes, or at its end."""
    top = ax.get_ylim()[1]
    x, y = next(((x, top) for x, y in series if y > top and x > series[0][0]), series[-1])
    ax.plot(x, y, "x", color=look.color, markersize=7, mew=1.8, clip_on=False, zorder=5)


def _limits(low: float, high: float, *, log: bool) -> tuple[float, float]:
    if log:
        return low / 1.2, high * 1.2
    margin = 0.06 * (high - low) or 0.1 * abs(high) or 1.0
    return low - margin, high + margin


def _curve_legend(figure: Figure, panels: Sequence[CurvePanel], axes: Any) -> None:
    handles: dict[str, Any] = {}
    for ax in axes[: len(panels)]:
        for handle, label in zip(*ax.get_legend_handles_labels(), strict=True):
            handles.setdefault(label, handle)
    if len(handles) > 1:
        columns = max(1, min(len(handles), int(figure.get_figwidth() / 1.6)))
        figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=columns)


def training_figures(content: ReportContent) -> Iterator[ReportFigure]:
    """The students' curves."""
    panels = training_data(content)
    if panels:
        rows = math.ceil(len(panels) / 3)
        figure = new_figure(2.6 * min(3, len(panels)) + 0.8, 2.4 * rows + 0.5)
        draw_curves(panels, figure)
        names = ", ".join(panel.name for panel in panels)
        yield ReportFigure("training", "training", "Training curves of the students",
                           caption("figures", "training", bins=BINS),
                           f"{names} over images seen, one line per variant", figure)  # fmt: skip


def teacher_figures(content: ReportContent) -> Iterator[ReportFigure]:
    """The teacher's curves."""
    panels = teacher_data(content)
    if panels:
        figure = new_figure(2.6 * min(3, len(panels)) + 0.8, 2.4 * math.ceil(len(panels) / 3))
        draw_curves(panels, figure)
        names = ", ".join(panel.name for panel in panels)
        yield ReportFigure("training", "teacher", "Training curves of the teacher",
                           caption("figures", "teacher", bins=BINS),
                           f"{names} over images seen", figure)  # fmt: skip
