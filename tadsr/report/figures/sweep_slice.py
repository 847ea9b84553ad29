"""An objective against each setting of a search, whatever the other settings are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tadsr.config import MetricSpec
from tadsr.report.content import ReportContent
from tadsr.report.drawing import INK, PALETTE, TWO_COLUMNS, new_figure
from tadsr.report.figures.figure import ReportFigure
from tadsr.report.figures.sweep_axes import (
    Scale,
    figure_of,
    numeric,
    scale_of,
    set_scale,
    stamp_doubted,
)
from tadsr.report.sweeps import Sweep, shown_setting
from tadsr.report.wording import number

FEWEST = 2
"""Complete trials in which a setting counts."""
MOST_SETTINGS = 6
COLUMNS = 3


@dataclass(frozen=True)
class SlicePoint:
    """One complete trial."""

    setting: Any
    place: float
    value: float
    feasible: bool
    picked: bool


@dataclass(frozen=True)
class SlicePanel:
    """One objective against one setting."""

    metric: MetricSpec
    scale: Scale
    points: tuple[SlicePoint, ...]


def slice_data(sweep: Sweep) -> list[SlicePanel]:
    """The most important settings, for every objective.

    Nothing for a single numeric setting, which the sensitivity curve shows.
    """
    keys = sweep.ranked_settings()[:MOST_SETTINGS]
    if len(keys) == 1 and numeric(sweep, keys[0]):
        return []
    panels = []
    for metric in sweep.objectives:
        for key in keys:
            scale = scale_of(sweep.short[key], sweep.spec.space[key])
            points = tuple(
                SlicePoint(trial.settings[key], scale.place(trial.settings[key]),
                           trial.values[metric.id], trial.feasible, trial.number in sweep.picked)
                for trial in sweep.complete if key in trial.settings
            )  # fmt: skip
            if len(points) >= FEWEST:
                panels.append(SlicePanel(metric, scale, points))
    return panels


def draw_slices(sweep: Sweep, panels: Sequence[SlicePanel]) -> Figure:
    """A panel per setting; a row begins with each objective."""
    groups = [[p for p in panels if p.metric.id == metric.id] for metric in sweep.objectives]
    rows = [group[i : i + COLUMNS] for group in groups for i in range(0, len(group), COLUMNS)]
    columns = max(len(row) for row in rows)
    figure = new_figure(TWO_COLUMNS, 2.0 * len(rows) + 0.2)
    axes = figure.subplots(len(rows), columns, squeeze=False)
    for row, line in zip(rows, axes, strict=True):
        for index, ax in enumerate(line):
            if index < len(row):
                _draw(ax, row[index])
                ax.set_ylabel(f"{row[index].metric.title} {row[index].metric.arrow}" * (not index))
                stamp_doubted(ax, sweep, [row[index].metric.id])
            else:
                ax.set_visible(False)
    return figure


def _draw(ax: Axes, panel: SlicePanel) -> None:
    for feasible in (True, False):
        shown = [point for point in panel.points if point.feasible == feasible and not point.picked]
        ax.plot([p.place for p in shown], [p.value for p in shown], "o", markersize=4,
                mec=PALETTE[0], mfc=PALETTE[0] if feasible else "none", alpha=0.8)  # fmt: skip
    best = [point for point in panel.points if point.picked]
    ax.plot([p.place for p in best], [p.value for p in best], "*", color=PALETTE[1], markersize=9,
            markeredgecolor=INK, markeredgewidth=0.5)  # fmt: skip
    set_scale(ax, "x", panel.scale)
    ax.margins(y=0.12)


def slice_figures(content: ReportContent) -> Iterator[ReportFigure]:
    """One per search whose settings are more than one number."""
    for sweep in content.sweeps:
        if panels := slice_data(sweep):
            yield figure_of(sweep, "slice", "slices", _described(panels),
                            draw_slices(sweep, panels))  # fmt: skip


def _described(panels: Sequence[SlicePanel]) -> str:
    parts = []
    for panel in panels:
        best = (max if panel.metric.higher_is_better else min)(panel.points, key=lambda p: p.value)
        parts.append(
            f"{panel.metric.title} by {panel.scale.title}: {len(panel.points)} trials, the best "
            f"{number(best.value, panel.metric.decimals)} at {shown_setting(best.setting)}"
        )
    return ". ".join(parts)
