"""Differences to the reference with their intervals, as a forest plot."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.figure import Figure

from tadsr.compare import UNVERIFIED
from tadsr.config import MetricSpec
from tadsr.report.content import ReportContent
from tadsr.report.drawing import INK, MUTED, PAPER, Look, looks, new_figure, stamp
from tadsr.report.figures.figure import PERCEPTUAL, ReportFigure
from tadsr.report.wording import caption, p_text


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


def effects_figures(content: ReportContent) -> Iterator[ReportFigure]:
    """The forest plot, where anything was compared."""
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
