"""The figures of the report: each a function that gathers plain data, and one that draws it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from matplotlib.figure import Figure

from tadsr.compare import UNVERIFIED
from tadsr.config import MetricSpec
from tadsr.report.content import ReportContent
from tadsr.report.curves import BINS, draw_curves, teacher_data, training_data
from tadsr.report.drawing import INK, MUTED, PAPER, Look, looks, new_figure, stamp, style
from tadsr.report.quality_cost import described_cost, draw_quality_cost, quality_cost_data
from tadsr.report.spectrum import described, draw_spectrum, spectrum_data
from tadsr.report.wording import caption, p_text

PERCEPTUAL = ("lpips", "clipiqa", "musiq", "niqe")
"""Metrics of perception, in the order in which one is chosen for the plane."""


Section = Literal["results", "differences", "factorial", "sweeps", "training"]
"""Of the page, in its order."""


@dataclass(frozen=True)
class ReportFigure:
    """A figure ready to be saved: its drawing, its words, its section of the page."""

    section: Section
    name: str
    title: str
    caption: str
    alternative: str
    figure: Figure


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


@dataclass(frozen=True)
class EffectRow:
    """One variant's difference to the reference, with its per-seed differences."""

    variant: str
    delta: float
    low: float | None
    high: float | None
    verdict: str
    seeds: tuple[float, ...]
    look: Look


@dataclass(frozen=True)
class EffectPanel:
    """All variants at one (data set, metric)."""

    dataset: str
    metric: MetricSpec
    rows: tuple[EffectRow, ...]
    unverified: bool = False


def effects_data(content: ReportContent) -> list[EffectPanel]:
    """A panel per declared endpoint (at most three), else one for the first perceptual metric."""
    endpoints = list(dict.fromkeys((c.dataset, c.metric) for c in content.comparisons if c.primary))
    if not endpoints:
        found = {(c.dataset, c.metric) for c in content.comparisons if c.delta is not None}
        metrics = sorted((*PERCEPTUAL, "psnr", "ssim"), key=content.unverified)
        order = [(d.name, m) for m in metrics for d in content.datasets]
        endpoints = [endpoint for endpoint in order if endpoint in found][:1]
    styles = looks(content.variants)
    panels = []
    for dataset, metric in endpoints[:3]:
        rows = tuple(
            EffectRow(c.variant, c.delta, c.low, c.high, c.verdict or f"p = {p_text(c.p_value)}",
                      tuple(claim.delta for claim in c.per_seed), styles[c.variant])
            for c in content.comparisons
            if (c.dataset, c.metric) == (dataset, metric) and c.delta is not None
        )  # fmt: skip
        if rows:
            doubted = content.unverified(metric)
            panels.append(EffectPanel(dataset, content.metric(metric), rows, doubted))
    return panels


def draw_effects(panels: Sequence[EffectPanel], figure: Figure) -> None:
    """A forest plot: mean difference with its interval, seeds beside, better side shaded."""
    axes = figure.subplots(len(panels), 1, squeeze=False)[:, 0]
    for panel, ax in zip(panels, axes, strict=True):
        low, high = _effect_limits([p for p in panels if p.metric == panel.metric])
        better = (0, high) if panel.metric.higher_is_better else (low, 0)
        ax.axvspan(*better, color=MUTED, alpha=0.12, lw=0)
        ax.axvline(0, color=INK, lw=0.9)
        for place, row in enumerate(panel.rows):
            _draw_effect(ax, place, row)
        ax.set_yticks(range(len(panel.rows)), [row.variant for row in panel.rows])
        ax.set(xlim=(low, high), ylim=(len(panel.rows) - 0.4, -0.6),
               title=f"{panel.metric.title} on {panel.dataset}")  # fmt: skip
        ax.set_xlabel(f"difference in {panel.metric.title} ({panel.metric.direction} is better)")
        if panel.unverified:
            stamp(ax, UNVERIFIED)
        ax.grid(visible=False, axis="y")
        ax.tick_params(axis="y", length=0)
        ax.spines["left"].set_visible(False)


def _effect_limits(panels: Sequence[EffectPanel]) -> tuple[float, float]:
    """Common limits of the panels of one metric; a sixth at least lies on each side of 0."""
    rows = [row for panel in panels for row in panel.rows]
    values = [0.0, *(v for row in rows for v in (row.low, row.high, *row.seeds, row.delta) if v)]
    low, high = min(values), max(values)
    reach = (high - low) or 1.0
    return min(low - 0.06 * reach, -reach / 5), max(high + 0.06 * reach, reach / 5)


def _draw_effect(ax: Any, place: int, row: EffectRow) -> None:
    look = row.look
    if row.low is not None:
        ends = [row.low, row.high], [place, place]
        ax.plot(*ends, color=look.color, lw=1.8)
        ax.plot(*ends, "|", color=look.color, markersize=10, mew=1.8)
    ax.plot(row.seeds, [place + 0.28] * len(row.seeds), look.marker, color=look.color,
            alpha=0.5, markersize=4, mew=0)  # fmt: skip
    ax.plot(row.delta, place, look.marker, color=look.color, markersize=7,
            markeredgecolor=PAPER, markeredgewidth=0.8)  # fmt: skip
    ax.text(1.02, place, row.verdict, transform=ax.get_yaxis_transform(), va="center",
            fontsize=8.5, color=INK)  # fmt: skip


def all_figures(content: ReportContent) -> list[ReportFigure]:
    """Every figure there are data for, drawn."""
    makers = (_plane_figure, _quality_cost_figure, _effects_figure, _training_figure,
              _teacher_figure, _spectrum_figure)  # fmt: skip
    with style():
        return [figure for make in makers for figure in make(content)]


def _plane_figure(content: ReportContent) -> Iterator[ReportFigure]:
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


def _quality_cost_figure(content: ReportContent) -> Iterator[ReportFigure]:
    data = quality_cost_data(content)
    if data:
        words = caption("figures", "quality-cost", metric=data.metric.title, where=data.where)
        yield ReportFigure("results", "quality-cost", "Quality and latency", words,
                           described_cost(data), draw_quality_cost(data))  # fmt: skip


def _effects_figure(content: ReportContent) -> Iterator[ReportFigure]:
    panels = effects_data(content)
    if panels:
        figure = new_figure(7.0, 0.4 + sum(0.95 + 0.38 * len(panel.rows) for panel in panels))
        draw_effects(panels, figure)
        kind = "the declared endpoints" if content.experiment.primary else (
            "one endpoint (none was declared, so this is exploratory)")  # fmt: skip
        words = caption("figures", "effects", reference=content.reference, kind=kind)
        listing = "; ".join(
            f"{panel.metric.title} on {panel.dataset}: " + ", ".join(
                f"{row.variant} {row.delta:+.{panel.metric.decimals}f} ({row.verdict})"
                for row in panel.rows)
            for panel in panels)  # fmt: skip
        yield ReportFigure(
            "differences", "effects", "Differences with intervals", words, listing, figure
        )


def _training_figure(content: ReportContent) -> Iterator[ReportFigure]:
    panels = training_data(content)
    if panels:
        rows = math.ceil(len(panels) / 3)
        figure = new_figure(2.6 * min(3, len(panels)) + 0.8, 2.4 * rows + 0.5)
        draw_curves(panels, figure)
        names = ", ".join(panel.name for panel in panels)
        yield ReportFigure("training", "training", "Training curves of the students",
                           caption("figures", "training", bins=BINS),
                           f"{names} over images seen, one line per variant", figure)  # fmt: skip


def _teacher_figure(content: ReportContent) -> Iterator[ReportFigure]:
    panels = teacher_data(content)
    if panels:
        figure = new_figure(2.6 * min(3, len(panels)) + 0.8, 2.4 * math.ceil(len(panels) / 3))
        draw_curves(panels, figure)
        names = ", ".join(panel.name for panel in panels)
        yield ReportFigure("training", "teacher", "Training curves of the teacher",
                           caption("figures", "teacher", bins=BINS),
                           f"{names} over images seen", figure)  # fmt: skip


def _spectrum_figure(content: ReportContent) -> Iterator[ReportFigure]:
    data = spectrum_data(content.spectrum)
    if data:
        figure = new_figure(9.0, 3.0)
        draw_spectrum(data, figure)
        words = caption("figures", "spectrum", pairs=content.spectrum["pairs"])
        yield ReportFigure("training", "spectrum", "What score distillation pushes", words,
                           described(data), figure)  # fmt: skip
