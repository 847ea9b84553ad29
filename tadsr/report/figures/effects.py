"""Differences to the reference with their intervals, as a forest plot."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.figure import Figure

from tadsr.compare import UNVERIFIED
from tadsr.config import MetricSpec
from tadsr.report.content import ReportContent
from tadsr.report.drawing import INK, MUTED, PAPER, TWO_COLUMNS, Look, looks, new_figure, stamp
from tadsr.report.figures.figure import ReportFigure, shown_endpoints
from tadsr.report.wording import caption, count, number, p_text


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
    styles = looks(content.variants)
    panels = []
    for dataset, metric in shown_endpoints(content)[:3]:
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


def draw_effects(panels: Sequence[EffectPanel]) -> Figure:
    """A forest plot, endpoints side by side: mean difference with its interval and its seeds."""
    names = list(dict.fromkeys(row.variant for panel in panels for row in panel.rows))
    step = 0.26 if len(names) <= 20 else 0.17
    figure = new_figure(TWO_COLUMNS, 0.9 + step * len(names))
    axes = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    for panel, ax in zip(panels, axes, strict=True):
        low, high = _effect_limits([p for p in panels if p.metric == panel.metric])
        better = (0, high) if panel.metric.higher_is_better else (low, 0)
        ax.axvspan(*better, color=MUTED, alpha=0.12, lw=0)
        ax.axvline(0, color=INK, lw=0.9)
        for row in panel.rows:
            _draw_effect(ax, names.index(row.variant), row)
        ax.set(xlim=(low, high), ylim=(len(names) - 0.5, -0.5),
               title=f"{panel.metric.title} on {panel.dataset}")  # fmt: skip
        ax.set_xlabel(f"difference in {panel.metric.title}\n({panel.metric.direction} is better)")
        ax.locator_params(axis="x", nbins=max(3, 7 - 2 * len(panels)))
        if panel.unverified:
            stamp(ax, UNVERIFIED)
        ax.grid(visible=False, axis="y")
        ax.tick_params(axis="y", length=0)
        ax.spines["left"].set_visible(False)
    axes[0].set_yticks(range(len(names)), names)
    return figure


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
        ax.plot(*ends, color=look.color, lw=1.4)
        ax.plot(*ends, "|", color=look.color, markersize=6, mew=1.4)
    ax.plot(row.seeds, [place + 0.27] * len(row.seeds), look.marker, color=look.color,
            alpha=0.6, markersize=2.5, mew=0)  # fmt: skip
    ax.plot(row.delta, place, look.marker, color=look.color, markersize=5.5,
            markeredgecolor=PAPER, markeredgewidth=0.5)  # fmt: skip
    ax.text(1.02, place, row.verdict.replace("difference shown", "difference\nshown"),
            transform=ax.get_yaxis_transform(), va="center", fontsize=6.5, color=INK,
            linespacing=0.9)  # fmt: skip


def effects_figures(content: ReportContent) -> Iterator[ReportFigure]:
    """The forest plot, where anything was compared."""
    panels = effects_data(content)
    if panels:
        kind = "the declared endpoints" if content.experiment.primary else (
            "one endpoint (none was declared, so this is exploratory)")  # fmt: skip
        words = caption("figures", "effects", reference=content.reference, kind=kind,
                        samples=described_samples(content, panels))  # fmt: skip
        listing = "; ".join(
            f"{panel.metric.title} on {panel.dataset}: " + ", ".join(
                _described(row, panel.metric.decimals) for row in panel.rows)
            for panel in panels)  # fmt: skip
        yield ReportFigure(
            "differences",
            "effects",
            "Differences with intervals",
            words,
            listing,
            draw_effects(panels),
        )


def _described(row: EffectRow, decimals: int) -> str:
    text = f"{row.variant} {number(row.delta, decimals, sign=True)}"
    if row.low is not None:
        text += (f" [{number(row.low, decimals, sign=True)}, "
                 f"{number(row.high, decimals, sign=True)}]")  # fmt: skip
    return f"{text} ({row.verdict})"


def described_samples(content: ReportContent, panels: Sequence[EffectPanel]) -> str:
    """How many seeds and images are in the differences of these panels."""
    shown = {(panel.dataset, panel.metric.id) for panel in panels}
    found = [c for c in content.comparisons
             if (c.dataset, c.metric) in shown and c.delta is not None]  # fmt: skip
    seeds = sorted({c.n_seeds for c in found})
    few = f"{seeds[0]} to " if len(seeds) > 1 else ""
    images = {c.dataset: c.n_images for c in found}
    sizes = ", ".join(f"{count(n, 'image')} of {name}" for name, n in images.items())
    return f"{few}{count(seeds[-1], 'paired seed')}, {sizes}"
