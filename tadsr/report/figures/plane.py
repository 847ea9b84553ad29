"""The perception-distortion plane."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.figure import Figure

from tadsr.compare import UNVERIFIED
from tadsr.config import MetricSpec
from tadsr.report.content import ReportContent
from tadsr.report.drawing import MUTED, PAPER, Look, looks, new_figure, stamp
from tadsr.report.figures.figure import PERCEPTUAL, ReportFigure
from tadsr.report.wording import caption


@dataclass(frozen=True)
class PlanePoint:
    """One upscaler in the perception-distortion plane."""

    name: str
    x: float
    y: float
    seeds: tuple[tuple[float, float], ...]
    look: Look


@dataclass(frozen=True)
class Plane:
    """One test set's perception-distortion plane."""

    dataset: str
    x: MetricSpec
    y: MetricSpec
    points: tuple[PlanePoint, ...]
    unverified: bool = False
    """Whether one of the two used weights that are not known to be the official ones."""


def perception_distortion_data(content: ReportContent) -> list[Plane]:
    """A plane per test set: PSNR and the first perceptual metric that has scores everywhere.

    A metric of unverified weights comes last.
    """
    names = [m.id for m in content.metrics]
    sets = [d.name for d in content.datasets if d.has_reference and _has(content, d.name, "psnr")]
    perceptual = [m for m in PERCEPTUAL if m in names and all(_has(content, d, m) for d in sets)]
    perceptual.sort(key=content.unverified)
    if "psnr" not in names or not sets or not perceptual:
        return []
    x, y = content.metric("psnr"), content.metric(perceptual[0])
    doubted = any(content.unverified(metric.id) for metric in (x, y))
    return [Plane(name, x, y, _plane_points(content, name, x.id, y.id), doubted) for name in sets]


def _has(content: ReportContent, dataset: str, metric: str) -> bool:
    return any((dataset, variant, metric) in content.means for variant in content.variants)


def _plane_points(content: ReportContent, dataset: str, x: str, y: str) -> tuple[PlanePoint, ...]:
    styles = looks(content.variants, content.baselines)
    points = []
    for name in (*content.baselines, *content.variants):
        means = [content.means.get((dataset, name, metric)) for metric in (x, y)]
        if means[0] is None or means[1] is None:
            continue
        found = [
            (content.seed_means.get((name, cell.seed, dataset, x)),
             content.seed_means.get((name, cell.seed, dataset, y)))
            for cell in content.cells_of(name) if cell.status == "done"
        ]  # fmt: skip
        seeds = tuple((a, b) for a, b in found if a is not None and b is not None)
        points.append(PlanePoint(name, means[0].mean, means[1].mean, seeds, styles[name]))
    return tuple(points)


def draw_perception_distortion(planes: Sequence[Plane], figure: Figure) -> None:
    """Seeds as faint points, means as large markers, an arrow towards better."""
    axes = figure.subplots(1, len(planes), squeeze=False)[0]
    for plane, ax in zip(planes, axes, strict=True):
        for point in plane.points:
            look = point.look
            for x, y in point.seeds:
                ax.plot(x, y, look.marker, color=look.color, alpha=0.35, markersize=4, mew=0)
            ax.plot(point.x, point.y, look.marker, color=look.color, label=point.name,
                    markersize=11 if look.marker == "*" else 8, markeredgecolor=PAPER,
                    markeredgewidth=0.8)  # fmt: skip
        ax.set(title=plane.dataset, xlabel=f"{plane.x.title} {plane.x.arrow}",
               ylabel=f"{plane.y.title} {plane.y.arrow}")  # fmt: skip
        ax.margins(0.12)
        if plane.unverified:
            stamp(ax, UNVERIFIED)
        _better_arrow(ax, up=plane.y.higher_is_better)
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside right upper")


def _better_arrow(ax: Any, *, up: bool) -> None:
    """An arrow into the corner of high x and best y, which a trade-off leaves empty."""
    start, end = ((0.87, 0.86), (0.97, 0.97)) if up else ((0.87, 0.14), (0.97, 0.03))
    ax.annotate("", xy=end, xytext=start, xycoords="axes fraction",
                arrowprops={"arrowstyle": "-|>", "color": MUTED, "lw": 1.2})  # fmt: skip
    ax.text(0.86, start[1], "better", transform=ax.transAxes, color=MUTED, fontsize=8,
            ha="right", va="center")  # fmt: skip


def plane_figures(content: ReportContent) -> Iterator[ReportFigure]:
    """The planes of all test sets side by side."""
    planes = perception_distortion_data(content)
    if planes:
        x, y = planes[0].x, planes[0].y
        earlier = PERCEPTUAL[: PERCEPTUAL.index(y.id)]
        choice = (f"{y.title} is the first of {', '.join(PERCEPTUAL)} that was measured, "
                  "with verified weights if any was.")  # fmt: skip
        figure = new_figure(2.2 + 2.7 * len(planes), 3.2)
        draw_perception_distortion(planes, figure)
        words = caption("figures", "perception-distortion", x=x.title, y=y.title,
                        choice=choice if earlier else "")  # fmt: skip
        listing = "; ".join(
            f"{plane.dataset}: " + ", ".join(
                f"{p.name} {p.x:.{x.decimals}f} / {p.y:.{y.decimals}f}" for p in plane.points)
            for plane in planes)  # fmt: skip
        yield ReportFigure("results", "perception-distortion", "Perception and distortion", words,
                           f"{x.title} / {y.title}. {listing}", figure)  # fmt: skip
