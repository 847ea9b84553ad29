"""An objective over two settings of a search."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.tri import Triangulation

from tadsr.config import MetricSpec
from tadsr.report.content import ReportContent
from tadsr.report.drawing import INK, ONE_COLUMN, PAPER, TWO_COLUMNS, new_figure
from tadsr.report.figures.figure import ReportFigure
from tadsr.report.figures.sweep_axes import (
    Scale,
    figure_of,
    numeric,
    scale_of,
    set_scale,
    stamp_doubted,
)
from tadsr.report.sweeps import Sweep
from tadsr.report.wording import number

FEWEST = 4
"""Different points that make a surface."""
MOST_SETTINGS = 3
"""The most important ones, of which each two make a panel."""
COLUMNS = 2


@dataclass(frozen=True)
class ContourPanel:
    """One objective over two settings."""

    metric: MetricSpec
    x: Scale
    y: Scale
    points: tuple[tuple[float, float, float], ...]
    """(place on x, place on y, value) of complete trials; equal places with their mean value."""
    picked: tuple[tuple[float, float], ...]


def contour_data(sweep: Sweep) -> list[ContourPanel]:
    """Each two of the most important numeric settings, for every objective.

    A pair is left out where fewer than `FEWEST` trials have both, or all lie on a line.
    """
    keys = [key for key in sweep.ranked_settings() if numeric(sweep, key)][:MOST_SETTINGS]
    panels = []
    for metric in sweep.objectives:
        for one, other in combinations(keys, 2):
            panel = _panel(sweep, metric, one, other)
            if len(panel.points) >= FEWEST and _spans_a_plane(panel.points):
                panels.append(panel)
    return panels


def _panel(sweep: Sweep, metric: MetricSpec, one: str, other: str) -> ContourPanel:
    x, y = (scale_of(sweep.short[key], sweep.spec.space[key]) for key in (one, other))
    found: dict[tuple[float, float], list[float]] = {}
    picked = []
    for trial in sweep.complete:
        if one in trial.settings and other in trial.settings:
            place = x.place(trial.settings[one]), y.place(trial.settings[other])
            found.setdefault(place, []).append(trial.values[metric.id])
            if trial.number in sweep.picked:
                picked.append(place)
    points = tuple((*place, sum(v) / len(v)) for place, v in sorted(found.items()))
    return ContourPanel(metric, x, y, points, tuple(picked))


def _spans_a_plane(points: Sequence[tuple[float, float, float]]) -> bool:
    places = np.asarray([point[:2] for point in points])
    spread = np.linalg.svd(places - places.mean(axis=0), compute_uv=False)
    return bool(spread[1] > 1e-3)


def draw_contour(sweep: Sweep, panels: Sequence[ContourPanel]) -> Figure:
    """Filled contours between the trials, which are points; those that were picked are stars."""
    columns = min(COLUMNS, len(panels))
    rows = -(-len(panels) // columns)
    figure = new_figure(ONE_COLUMN if columns == 1 else TWO_COLUMNS, 2.6 * rows)
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for panel, ax in zip(panels, axes, strict=False):
        _draw(figure, ax, panel)
        stamp_doubted(ax, sweep, [panel.metric.id])
    for ax in axes[len(panels) :]:
        ax.set_visible(False)
    return figure


def _draw(figure: Figure, ax: Axes, panel: ContourPanel) -> None:
    xs, ys, values = (np.asarray(column) for column in zip(*panel.points, strict=True))
    if np.ptp(values) > 0:
        levels = np.linspace(values.min(), values.max(), 9)
        filled = ax.tricontourf(Triangulation(xs, ys), values, levels=levels, cmap="viridis")
        bar = figure.colorbar(filled, ax=ax, pad=0.02)
        shown = levels[::2]
        places = _decimals(panel.metric, values)
        bar.set_ticks(list(shown), labels=[number(float(v), places) for v in shown])
        bar.set_label(f"{panel.metric.title} {panel.metric.arrow}")
    ax.plot(xs, ys, "o", color=PAPER, markersize=3, markeredgecolor=INK, markeredgewidth=0.6)
    for place in panel.picked:
        ax.plot(*place, "*", color=PAPER, markersize=9, markeredgecolor=INK, markeredgewidth=0.8)
    set_scale(ax, "x", panel.x)
    set_scale(ax, "y", panel.y)


def _decimals(metric: MetricSpec, values: np.ndarray) -> int:
    """Enough to tell the levels from each other."""
    step = float(np.ptp(values)) / 4
    return max(metric.decimals, min(8, 1 - int(np.floor(np.log10(step)))))


def contour_figures(content: ReportContent) -> Iterator[ReportFigure]:
    """One per search over at least two numeric settings."""
    for sweep in content.sweeps:
        if panels := contour_data(sweep):
            yield figure_of(sweep, "contour", "contours", _described(panels),
                            draw_contour(sweep, panels))  # fmt: skip


def _described(panels: Sequence[ContourPanel]) -> str:
    parts = []
    for panel in panels:
        values = [value for *_, value in panel.points]
        low, high = (number(v, panel.metric.decimals + 1) for v in (min(values), max(values)))
        parts.append(f"{panel.metric.title} over {panel.x.title} and {panel.y.title}: "
                     f"{len(values)} points from {low} to {high}")  # fmt: skip
    return ". ".join(parts)
