"""How training curves are drawn, few variants in one panel or many beside each other."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from tadsr.report.drawing import MUTED, ONE_COLUMN, TWO_COLUMNS, Look, new_figure
from tadsr.report.reading import Series

if TYPE_CHECKING:
    from tadsr.report.figures.curves import CurveLine, CurvePanel

MOST_LINES = 7
"""Variants whose curves are told apart in one panel: as many as there are colours."""
HIGHLIGHTED = 3
"""Variants that a panel of more names beside the reference."""
FAINT = Look("#9aa1a9", "o")
FEW_POINTS = 12
"""Points of a curve up to which each has a marker: between them nothing was measured."""
LOGARITHMIC = 5
"""Largest ratio of values on a linear axis."""


def draw_curves(panels: Sequence[CurvePanel], reference: str = "") -> Figure:
    """Mean lines with bands from the lowest to the highest seed; crosses end diverged seeds.

    Of more than `MOST_LINES` variants each panel names the reference and the `HIGHLIGHTED` that end
    farthest from it; the others are thin and grey.
    """
    variants = list(dict.fromkeys(line.variant for panel in panels for line in panel.lines))
    crowded = len(variants) > MOST_LINES
    columns = min(2 if crowded else 3, len(panels))
    figure = new_figure(*_size(len(panels), columns, 0 if crowded else len(variants)))
    axes = figure.subplots(math.ceil(len(panels) / columns), columns, squeeze=False).ravel()
    for panel, ax in zip(panels, axes, strict=False):
        named = highlighted(panel, reference) if crowded else tuple(variants)
        for line in sorted(panel.lines, key=lambda line: line.variant in named):
            _draw_line(ax, line if line.variant in named else replace(line, look=FAINT),
                       faint=line.variant not in named)  # fmt: skip
        ax.set(title=panel.name, xlabel="images seen")
        _choose_scale(ax, panel)
        for line in panel.lines:
            for series in line.diverged:
                _cross(ax, series, line.look if line.variant in named else FAINT)
        if crowded:
            _label_ends(ax, [line for line in panel.lines if line.variant in named and line.mean])
    for ax in axes[len(panels) :]:
        ax.set_visible(False)
    if not crowded:
        _curve_legend(figure, panels, axes)
    return figure


def _size(panels: int, columns: int, names: int) -> tuple[float, float]:
    """Inches of a figure with so many panels and, if several, names below."""
    width = TWO_COLUMNS if panels > 1 else ONE_COLUMN
    lines = math.ceil(names / max(1, int(width / 1.7))) if names > 1 else 0
    return width, 1.75 * math.ceil(panels / columns) + 0.2 * lines + 0.1


def highlighted(panel: CurvePanel, reference: str) -> tuple[str, ...]:
    """The reference and the variants whose curves end farthest from its end, farthest first."""
    ends = {line.variant: line.mean[-1] for line in panel.lines if line.mean}
    start = ends.get(reference, float(np.median(list(ends.values()))) if ends else 0.0)
    others = sorted((n for n in ends if n != reference), key=lambda n: -abs(ends[n] - start))
    return (reference, *others[:HIGHLIGHTED])


def _label_ends(ax: Axes, lines: Sequence[CurveLine]) -> None:
    """Names beside the ends of their lines, moved apart where they would cover each other."""
    to_axes = ax.transScale + ax.transLimits
    ends = [(line.images[-1], line.mean[-1]) for line in lines]
    heights = [float(to_axes.transform(end)[1]) for end in ends]
    for line, end, height in zip(lines, ends, spread(heights, 0.1), strict=True):
        ax.annotate(line.variant, end, (1.06, height), textcoords="axes fraction", va="center",
                    fontsize=6.5, annotation_clip=False,
                    arrowprops={"arrowstyle": "-", "color": line.look.color, "lw": 0.7,
                                "shrinkA": 0, "shrinkB": 0})  # fmt: skip


def spread(heights: Sequence[float], gap: float) -> list[float]:
    """`heights` (in axes fractions) moved as little as needed to be `gap` apart, in their order."""
    order = sorted(range(len(heights)), key=lambda i: heights[i])
    moved = np.array([heights[i] for i in order])
    for _ in range(200):
        short = gap - np.diff(moved)
        if (short < 1e-4).all():
            break
        push = np.maximum(short, 0) / 2
        moved[:-1] -= push
        moved[1:] += push
    result = [0.0] * len(heights)
    for place, i in enumerate(order):
        result[i] = float(moved[place])
    return result


def _draw_line(ax: Axes, line: CurveLine, *, faint: bool) -> None:
    look = line.look
    few = 1 < len(line.images) <= FEW_POINTS and not faint
    ax.plot(line.images, line.mean, look.dash, color=look.color,
            marker=look.marker if few else "", markersize=3, mew=0,
            label=None if faint else line.variant, lw=0.6 if faint else 1.4)  # fmt: skip
    if line.low != line.high and not faint:
        ax.fill_between(line.images, line.low, line.high, color=look.color, alpha=0.18, lw=0)
    for series in line.diverged:
        x, y = zip(*series, strict=True)
        ax.plot(x, y, "--", color=look.color, lw=0.8, alpha=0.8)


def draw_multiples(panel: CurvePanel, reference: str) -> Figure:
    """One small panel per variant on common axes, the reference in each as a grey band."""
    columns = 4 if len(panel.lines) <= 20 else 6
    rows = math.ceil(len(panel.lines) / columns)
    figure = new_figure(TWO_COLUMNS, (4.4 / columns + 0.1) * rows + 0.3)
    axes = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).ravel()
    others = [line for line in panel.lines if line.variant == reference]
    for line, ax in zip(panel.lines, axes, strict=False):
        for other in others:
            ax.plot(other.images, other.mean, "-", color=MUTED, lw=2.4, alpha=0.5)
        _draw_line(ax, line, faint=False)
        fitting = 72 * (TWO_COLUMNS - 0.7) / columns / (0.68 * len(line.variant))
        ax.set_title(line.variant, fontsize=min(7.0, fitting))
        _choose_scale(ax, panel)
        for series in line.diverged:
            _cross(ax, series, line.look)
    for ax in axes[len(panel.lines) :]:
        ax.set_visible(False)
    figure.supxlabel("images seen", fontsize=8)
    figure.supylabel(panel.name, fontsize=8)
    return figure


def _choose_scale(ax: Any, panel: CurvePanel) -> None:
    """Logarithmic where all values are positive and span more than a factor of `LOGARITHMIC`."""
    values = [v for line in panel.lines for v in (*line.low, *line.high)]
    if values and min(values) > 0 and max(values) > LOGARITHMIC * min(values):
        ax.set_yscale("log")
        ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        ax.yaxis.set_minor_formatter(NullFormatter())
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
        columns = max(1, min(len(handles), int(figure.get_figwidth() / 1.7)))
        figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=columns)
