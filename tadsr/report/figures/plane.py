"""The perception-distortion plane (Blau and Michaeli, CVPR 2018), with its Pareto front."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from tadsr.compare import UNVERIFIED
from tadsr.config import MetricSpec
from tadsr.report.content import ReportContent
from tadsr.report.drawing import (
    INK,
    MUTED,
    PAPER,
    TWO_COLUMNS,
    Look,
    looks,
    new_figure,
    stamp,
)
from tadsr.report.figures.figure import PERCEPTUAL, ReportFigure
from tadsr.report.figures.labels import draw_key, key_height, label_points
from tadsr.report.wording import caption, count

COLUMNS = 3
"""Test sets side by side."""
PANEL_HEIGHT = 2.0
"""Inches."""
MOST_NAMES = 40
"""Upscalers that are all named; numbers of more would hide each other and the points."""


@dataclass(frozen=True)
class PlanePoint:
    """One upscaler in the perception-distortion plane."""

    name: str
    x: float
    y: float
    seeds: tuple[tuple[float, float], ...]
    look: Look
    number: int = 0
    """The same in all planes of a report, from 1; 0 for a point without a name."""
    student: bool = False


@dataclass(frozen=True)
class Plane:
    """One test set's perception-distortion plane."""

    dataset: str
    x: MetricSpec
    y: MetricSpec
    points: tuple[PlanePoint, ...]
    unverified: bool = False
    """Whether one of the two used weights that are not known to be the official ones."""
    n_images: int = 0

    @property
    def front(self) -> tuple[PlanePoint, ...]:
        """The Pareto front, from the lowest x: points that no other beats in one and equals in the
        other."""
        up = self.y.higher_is_better

        def beats(one: PlanePoint, other: PlanePoint) -> bool:
            y = one.y - other.y if up else other.y - one.y
            x = one.x - other.x if self.x.higher_is_better else other.x - one.x
            return min(x, y) >= 0 and max(x, y) > 0

        found = [p for p in self.points if not any(beats(other, p) for other in self.points)]
        return tuple(sorted(found, key=lambda p: (p.x, p.y)))


def perception_distortion_data(content: ReportContent) -> list[Plane]:
    """A plane per test set: PSNR and the first perceptual metric that has scores everywhere.

    A metric of unverified weights comes last.
    """
    names = [m.id for m in content.metrics]
    sets = [d for d in content.datasets if d.has_reference and _has(content, d.name, "psnr")]
    perceptual = [m for m in PERCEPTUAL
                  if m in names and all(_has(content, d.name, m) for d in sets)]  # fmt: skip
    perceptual.sort(key=content.unverified)
    if "psnr" not in names or not sets or not perceptual:
        return []
    x, y = content.metric("psnr"), content.metric(perceptual[0])
    doubted = any(content.unverified(metric.id) for metric in (x, y))
    planes = [
        Plane(d.name, x, y, _plane_points(content, d.name, x.id, y.id), doubted, d.n_images)
        for d in sets
    ]
    return _few_named(planes, {*content.baselines, content.reference})


def _few_named(planes: list[Plane], always: set[str]) -> list[Plane]:
    """Of many points a plane names those of its front and of `always`; the others are grey dots."""
    order = {p.name: p.number for plane in planes for p in plane.points}
    if len(order) <= MOST_NAMES:
        return planes
    named = [always | {p.name for p in plane.front} for plane in planes]
    anywhere = sorted((n for n in order if n in set().union(*named)), key=order.__getitem__)
    numbers = {name: number for number, name in enumerate(anywhere, start=1)}
    return [
        replace(plane, points=tuple(
            replace(p, number=numbers[p.name]) if p.name in names
            else replace(p, number=0, look=Look(MUTED, "."), seeds=()) for p in plane.points
        ))
        for plane, names in zip(planes, named, strict=True)
    ]  # fmt: skip


def _has(content: ReportContent, dataset: str, metric: str) -> bool:
    return any((dataset, variant, metric) in content.means for variant in content.variants)


def _plane_points(content: ReportContent, dataset: str, x: str, y: str) -> tuple[PlanePoint, ...]:
    styles = looks(content.variants, content.baselines)
    points = []
    for number, name in enumerate((*content.baselines, *content.variants), start=1):
        means = [content.means.get((dataset, name, metric)) for metric in (x, y)]
        if means[0] is None or means[1] is None:
            continue
        found = [
            (content.seed_means.get((name, cell.seed, dataset, x)),
             content.seed_means.get((name, cell.seed, dataset, y)))
            for cell in content.cells_of(name) if cell.status == "done"
        ]  # fmt: skip
        seeds = tuple((a, b) for a, b in found if a is not None and b is not None)
        points.append(PlanePoint(name, means[0].mean, means[1].mean, seeds, styles[name], number,
                                 student=name in content.variants))  # fmt: skip
    return tuple(points)


def draw_perception_distortion(planes: Sequence[Plane]) -> Figure:
    """All upscalers of a test set above, its students enlarged below (beside if alone)."""
    points = [p for plane in planes for p in plane.points if p.number]
    names = {p.name: p for p in sorted(points, key=lambda p: p.number)}
    labels = [f"{p.number} {p.name}" for p in names.values()]
    alone = len(planes) == 1
    blocks = math.ceil(len(planes) / COLUMNS)
    shape = (1, 2) if alone else (2 * blocks, min(COLUMNS, len(planes)))
    height = (2.4 if alone else PANEL_HEIGHT * shape[0]) + key_height(labels, TWO_COLUMNS)
    figure = new_figure(TWO_COLUMNS, height)
    axes = figure.subplots(*shape, squeeze=False)
    for ax in axes.ravel():
        ax.set_visible(False)
    pairs = []
    for i, plane in enumerate(planes):
        row, column = 2 * (i // COLUMNS), i % COLUMNS
        pair = axes[0] if alone else axes[row : row + 2, column]
        _draw_plane(pair, plane)
        pairs.append(pair)
    draw_key(figure, [(text, p.look) for text, p in zip(labels, names.values(), strict=True)])
    figure.draw_without_rendering()
    for plane, (whole, near) in zip(planes, pairs, strict=True):
        inside = [p for p in plane.points if p.number and _inside(near, p)]
        outside = [p for p in plane.points if p.number and p not in inside]
        nameless = [(p.x, p.y) for p in plane.points if not p.number]
        label_points(whole, [(p.x, p.y, str(p.number)) for p in outside],
                     [*((p.x, p.y) for p in inside), *nameless])  # fmt: skip
        label_points(near, [(p.x, p.y, str(p.number)) for p in inside],
                     [place for place in nameless if _within(near, *place)],
                     [seed for p in plane.points for seed in p.seeds])  # fmt: skip
    return figure


def _draw_plane(pair: Any, plane: Plane) -> None:
    whole, near = pair
    for ax in pair:
        ax.set_visible(True)
        _draw_points(ax, plane)
        ax.set(xlabel=f"{plane.x.title} {plane.x.arrow}",
               ylabel=f"{plane.y.title} {plane.y.arrow}")  # fmt: skip
        if plane.unverified:
            stamp(ax, UNVERIFIED)
    whole.set_title(plane.dataset)
    whole.margins(0.12)
    near.set_title(f"{plane.dataset}, students")
    students = [p for p in plane.points if p.student] or list(plane.points)
    near.set_xlim(*_reach([x for p in students for x in (p.x, *(s[0] for s in p.seeds))]))
    near.set_ylim(*_reach([y for p in students for y in (p.y, *(s[1] for s in p.seeds))]))
    (left, right), (bottom, top) = near.get_xlim(), near.get_ylim()
    whole.add_patch(Rectangle((left, bottom), right - left, top - bottom, fill=False,
                              edgecolor=MUTED, linewidth=0.6, linestyle=":"))  # fmt: skip


def _reach(values: Sequence[float]) -> tuple[float, float]:
    margin = 0.1 * (max(values) - min(values)) or 0.02 * abs(values[0]) or 1.0
    return min(values) - margin, max(values) + margin


def _inside(ax: Axes, point: PlanePoint) -> bool:
    return _within(ax, point.x, point.y)


def _within(ax: Axes, x: float, y: float) -> bool:
    (left, right), (bottom, top) = ax.get_xlim(), ax.get_ylim()
    return left <= x <= right and bottom <= y <= top


def _draw_points(ax: Axes, plane: Plane) -> None:
    """The front as steps behind, seeds as faint points, means as large markers."""
    front = plane.front
    # Nothing lies beyond the steps: right of a point, only what is worse in y was reached.
    ax.plot([p.x for p in front], [p.y for p in front], color=INK, lw=0.6, ls="--",
            drawstyle="steps-pre" if plane.x.higher_is_better else "steps-post")  # fmt: skip
    for point in sorted(plane.points, key=lambda p: p.number > 0):
        look = point.look
        ax.plot([x for x, _ in point.seeds], [y for _, y in point.seeds], look.marker,
                color=look.color, alpha=0.4, markersize=3, mew=0)  # fmt: skip
        ax.plot(point.x, point.y, look.marker, color=look.color, markeredgecolor=PAPER,
                markersize=8 if look.marker == "*" else 6, markeredgewidth=0.5)  # fmt: skip


def plane_figures(content: ReportContent) -> Iterator[ReportFigure]:
    """The planes of all test sets in one figure."""
    planes = perception_distortion_data(content)
    if not planes:
        return
    x, y = planes[0].x, planes[0].y
    earlier = PERCEPTUAL[: PERCEPTUAL.index(y.id)]
    choice = (f"{y.title} is the first of {', '.join(PERCEPTUAL)} that was measured, "
              "with verified weights if any was.")  # fmt: skip
    seeds = max((len(p.seeds) for plane in planes for p in plane.points), default=0)
    words = caption(
        "figures", "perception-distortion", x=x.title, y=y.title, choice=choice if earlier else "",
        seeds=count(seeds, "seed"),
        images=", ".join(f"{plane.dataset}: {plane.n_images}" for plane in planes),
        most=MOST_NAMES,
    )  # fmt: skip
    yield ReportFigure("results", "perception-distortion", "Perception and distortion", words,
                       described_planes(planes), draw_perception_distortion(planes))  # fmt: skip


def described_planes(planes: Sequence[Plane]) -> str:
    """The points and the front in words."""
    x, y = planes[0].x, planes[0].y
    parts = []
    for plane in planes:
        points = ", ".join(
            f"{p.name} {p.x:.{x.decimals}f} / {p.y:.{y.decimals}f}" for p in plane.points
        )
        front = ", ".join(p.name for p in plane.front)
        parts.append(f"{plane.dataset}: {points}; Pareto front: {front}")
    return f"{x.title} / {y.title}. {'. '.join(parts)}"
