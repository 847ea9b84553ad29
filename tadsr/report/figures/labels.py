"""Names of many series without a legend that outgrows its figure: numbers at points, and a key.

A number stands beside its point and in the key under the figure, so that colour is never needed to
tell series apart.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke

from tadsr.report.drawing import INK, MUTED, PAPER, Look

SIZE = 6.5
"""Of labels and the key, in points."""
RADII = (6.5, 11.0, 16.0, 22.0, 30.0, 40.0)
"""Distances from a point at which a label is tried (points), nearest first."""
ANGLES = (0.0, 45.0, -45.0, 90.0, -90.0, 135.0, -135.0, 180.0)
LINE = 0.145
"""Height of a line of the key (inches)."""

Box = tuple[float, float, float, float]
"""left, bottom, right, top."""


def label_points(
    ax: Axes,
    points: Sequence[tuple[float, float, str]],
    others: Sequence[tuple[float, float]] = (),
    faint: Sequence[tuple[float, float]] = (),
) -> None:
    """Write each text beside its point (x, y in data), where it covers neither text nor point.

    `others` are points without a text, `faint` smaller ones.

    Positions depend on the layout: call `Figure.draw_without_rendering` when all else is drawn, and
    then this. A label that had to go far has a line to its point. Nothing here changes the layout.
    """
    if not points:
        return
    to_points = 72 / ax.figure.dpi
    every = [*(point[:2] for point in points), *others, *faint]
    places = ax.transData.transform(every) * to_points
    left, bottom, right, top = np.asarray(ax.get_window_extent().extents) * to_points
    large = len(every) - len(faint)
    taken: list[Box] = [_around(x, y, 3.5, 3.5) for x, y in places[:large]]
    taken += [_around(x, y, 1.5, 1.5) for x, y in places[large:]]
    for (x, y, text), place in zip(points, places, strict=False):
        dx, dy = _free_offset(place, text, taken, (left, bottom, right, top))
        taken.append(_box(place, (dx, dy), text))
        far = math.hypot(dx, dy) > RADII[0] + 1
        note = ax.annotate(
            text, (x, y), (dx, dy), textcoords="offset points", ha="center", va="center",
            fontsize=SIZE, color=INK, zorder=8,
            path_effects=[withStroke(linewidth=1.2, foreground=PAPER)],
            arrowprops={"arrowstyle": "-", "color": MUTED, "lw": 0.5, "shrinkA": 0, "shrinkB": 2}
            if far else None,
        )  # fmt: skip
        note.set_in_layout(False)


def _around(x: float, y: float, half_width: float, half_height: float) -> Box:
    return x - half_width, y - half_height, x + half_width, y + half_height


def _box(place: Sequence[float], offset: tuple[float, float], text: str) -> Box:
    width = 0.64 * SIZE * len(text) + 1.0
    return _around(place[0] + offset[0], place[1] + offset[1], width / 2, SIZE / 2)


def _free_offset(
    place: Sequence[float], text: str, taken: Sequence[Box], frame: Box
) -> tuple[float, float]:
    """The nearest offset whose box is inside `frame` and covers least of `taken`."""
    best, least = (RADII[0], 0.0), math.inf
    for radius in RADII:
        for angle in ANGLES:
            offset = (radius * math.cos(math.radians(angle)),
                      radius * math.sin(math.radians(angle)))  # fmt: skip
            box = _box(place, offset, text)
            outside = (
                box[0] < frame[0] or box[1] < frame[1] or box[2] > frame[2] or box[3] > frame[3]
            )
            covered = sum(_overlap(box, other) for other in taken) + 1e6 * outside
            if covered < least - 1e-9:
                best, least = offset, covered
        if least < 1e-6:
            break
    return best


def _overlap(one: Box, other: Box) -> float:
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    return float(max(width, 0.0) * max(height, 0.0))


def key_columns(names: Iterable[str], width: float) -> int:
    """Columns of a key of these names in a figure of `width` inches."""
    longest = max((len(name) for name in names), default=1)
    return max(1, int(width / (0.45 + 0.6 * SIZE / 72 * longest)))


def key_height(names: Sequence[str], width: float) -> float:
    """Inches that `draw_key` takes under a figure."""
    return LINE * math.ceil(len(names) / key_columns(names, width)) + 0.1


def draw_key(figure: Figure, entries: Sequence[tuple[str, Look]]) -> None:
    """The names under the figure, each with its marker."""
    handles = [
        Line2D([], [], linestyle="", marker=look.marker, color=look.color, markersize=5,
               markeredgewidth=0, label=name)
        for name, look in entries
    ]  # fmt: skip
    columns = key_columns([name for name, _ in entries], figure.get_figwidth())
    figure.legend(handles=handles, loc="outside lower center", ncols=columns, fontsize=SIZE,
                  handletextpad=0.2, columnspacing=1.0, labelspacing=0.35)  # fmt: skip
