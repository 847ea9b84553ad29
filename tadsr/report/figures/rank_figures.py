"""Orders: which metrics rank the upscalers alike, and which variants' ranks can be told apart."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tadsr.compare import UNVERIFIED, AverageRanks, average_ranks, rank_correlation
from tadsr.config import MetricSpec
from tadsr.report.content import ReportContent
from tadsr.report.drawing import INK, MUTED, ONE_COLUMN, TWO_COLUMNS, new_figure, stamp
from tadsr.report.figures.figure import ReportFigure, shown_endpoints
from tadsr.report.wording import caption, count, number, p_text

COLUMNS = 3
LINE = 0.145
"""Inches per name in the diagram of ranks."""
MOST_NAMES = 40
"""Variants that are all named in a diagram of ranks; of more, the best and the worst, half each."""
DARK, LIGHT = "#101418", "#fafbfc"
"""Of numbers in coloured cells, which stay as they are when the page turns dark."""


@dataclass(frozen=True)
class AgreementPanel:
    """Kendall's tau between the metrics of one test set."""

    dataset: str
    metrics: tuple[MetricSpec, ...]
    tau: tuple[tuple[float | None, ...], ...]
    n_upscalers: int


@dataclass(frozen=True)
class RankPanel:
    """Average ranks of the variants at one endpoint."""

    metric: MetricSpec
    ranks: AverageRanks
    unverified: bool = False


def agreement_data(content: ReportContent) -> list[AgreementPanel]:
    """A panel per test set with two metrics or more, in the experiment's order.

    Metrics of unverified weights are left out, as from every ranking.
    """
    names = {*content.baselines, *content.variants}
    directions = {spec.id: spec.direction for spec in content.metrics}
    kept = [
        s
        for s in content.summaries
        if s.variant in names and s.metric in directions and not content.unverified(s.metric)
    ]
    found = {one.dataset: one for one in rank_correlation(kept, directions=directions)}
    panels = []
    for dataset in content.datasets:
        one = found.get(dataset.name)
        if one is not None:
            order = [i for spec in content.metrics for i, m in enumerate(one.metrics)
                     if m == spec.id]  # fmt: skip
            tau = tuple(tuple(one.tau[i][j] for j in order) for i in order)
            specs = tuple(content.metric(one.metrics[i]) for i in order)
            panels.append(AgreementPanel(one.dataset, specs, tau, len(one.upscalers)))
    return panels


def rank_data(content: ReportContent) -> list[RankPanel]:
    """The variants' average ranks at the endpoints of the effects' figure, at most three."""
    diverged: dict[str, list[int]] = {}
    for cell in content.cells:
        if cell.status == "diverged":
            diverged.setdefault(cell.variant, []).append(cell.seed)
    students = [s for s in content.summaries if s.variant in content.variants]
    directions = {spec.id: spec.direction for spec in content.metrics}
    found = {
        (one.dataset, one.metric): one
        for one in average_ranks(students, directions=directions, diverged=diverged)
    }
    return [
        RankPanel(content.metric(found[endpoint].metric), found[endpoint],
                  content.unverified(endpoint[1]))
        for endpoint in shown_endpoints(content)[:3] if endpoint in found
    ]  # fmt: skip


def draw_agreement(panels: Sequence[AgreementPanel]) -> Figure:
    """Below the diagonal: colour and number for each pair of metrics."""
    rows, columns = math.ceil(len(panels) / COLUMNS), min(COLUMNS, len(panels))
    most = max(len(panel.metrics) for panel in panels) - 1
    width = ONE_COLUMN if columns == 1 else TWO_COLUMNS
    figure = new_figure(width, rows * (0.75 + 0.3 * most) + 0.1)
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for panel, ax in zip(panels, axes, strict=False):
        _draw_agreement(ax, panel)
    for ax in axes[len(panels) :]:
        ax.set_visible(False)
    return figure


def _draw_agreement(ax: Axes, panel: AgreementPanel) -> None:
    size = len(panel.metrics) - 1
    values = np.full((size, size), np.nan)
    for i in range(size):
        for j in range(i + 1):
            tau = panel.tau[i + 1][j]
            values[i, j] = np.nan if tau is None else tau
            shown = "–" if tau is None else number(tau, 2, sign=True)
            color = INK if tau is None else LIGHT if abs(tau) > 0.6 else DARK
            ax.text(j, i, shown, ha="center", va="center", color=color,
                    fontsize=min(6.5, 39 / size))  # fmt: skip
    edges = np.arange(size + 1) - 0.5
    ax.pcolormesh(edges, edges, np.ma.masked_invalid(values), cmap="RdBu", vmin=-1, vmax=1)
    names = [metric.title.replace(" (", "\n(") for metric in panel.metrics]
    ax.set_xticks(range(size), names[:-1], rotation=35, ha="right", rotation_mode="anchor")
    ax.set_yticks(range(size), names[1:])
    ax.set(title=panel.dataset, xlim=(-0.5, size - 0.5), ylim=(size - 0.5, -0.5))
    ax.grid(visible=False)
    ax.tick_params(length=0)
    ax.spines[["left", "bottom"]].set_visible(False)


def draw_ranks(panels: Sequence[RankPanel], reference: str) -> Figure:
    """Critical-difference diagrams (Demsar, 2006), one under the other."""
    heights = [_height(panel.ranks, reference) for panel in panels]
    figure = new_figure(TWO_COLUMNS, LINE * sum(heights) + 0.35 * len(panels))
    axes = figure.subplots(len(panels), 1, squeeze=False, height_ratios=heights)[:, 0]
    for panel, ax, height in zip(panels, axes, heights, strict=True):
        _draw_ranks(ax, panel, height, reference)
    return figure


def named_ranks(ranks: AverageRanks, reference: str) -> tuple[list[int], list[int]]:
    """Places in `ranks.variants` (best first) that are named on the left and on the right.

    All of them, or the best and the worst, and the reference wherever it is.
    """
    every = list(range(len(ranks.variants)))
    half = math.ceil(len(every) / 2)
    if len(every) <= MOST_NAMES:
        return every[:half], every[half:]
    best, worst = every[: MOST_NAMES // 2], every[-MOST_NAMES // 2 :]
    own = [i for i in every if ranks.variants[i] == reference and i not in (*best, *worst)]
    return [*best, *(i for i in own if i < half)], [*(i for i in own if i >= half), *worst]


def _height(ranks: AverageRanks, reference: str) -> float:
    """Lines that a diagram takes: ruler, bars of groups, names."""
    lines = max(len(side) for side in named_ranks(ranks, reference))
    return 4.5 + 0.5 * len(ranks.groups) + lines


def _draw_ranks(ax: Axes, panel: RankPanel, height: float, reference: str) -> None:
    ranks = panel.ranks
    most = len(ranks.variants)
    ax.set(xlim=(1 - 0.35 * (most - 1), most + 0.35 * (most - 1)), ylim=(-height + 3.2, 3.2))
    ax.set_axis_off()
    ax.set_title(f"{panel.metric.title} on {ranks.dataset}")
    _draw_ruler(ax, ranks)
    for level, group in enumerate(ranks.groups):
        places = [ranks.ranks[ranks.variants.index(name)] for name in group]
        y = -0.5 * (level + 1)
        ax.plot([min(places) - 0.005 * most, max(places) + 0.005 * most], [y, y], color=INK, lw=2.5,
                solid_capstyle="butt")  # fmt: skip
    first = -0.5 * len(ranks.groups) - 1
    best, worst = named_ranks(ranks, reference)
    for line, i in enumerate(best):
        edge, rank = 1 - 0.04 * (most - 1), ranks.ranks[i]
        ax.plot([rank, rank, edge], [0, first - line, first - line], color=MUTED, lw=0.6)
        ax.text(edge, first - line, f"{ranks.variants[i]}  {rank:.1f} ", va="center",
                fontsize=6.5, ha="right")  # fmt: skip
    for line, i in enumerate(reversed(worst)):
        edge, rank = most + 0.04 * (most - 1), ranks.ranks[i]
        ax.plot([rank, rank, edge], [0, first - line, first - line], color=MUTED, lw=0.6)
        ax.text(edge, first - line, f" {rank:.1f}  {ranks.variants[i]}", va="center",
                fontsize=6.5, ha="left")  # fmt: skip
    if nameless := most - len(best) - len(worst):
        ax.text((1 + most) / 2, 3.2 - height, f"{nameless} variants between are not named",
                ha="center", va="bottom", fontsize=6.5, color=MUTED)  # fmt: skip
    if panel.unverified:
        stamp(ax, UNVERIFIED)


def _draw_ruler(ax: Axes, ranks: AverageRanks) -> None:
    """The axis of ranks, and above it the length of the critical difference."""
    most = len(ranks.variants)
    ax.plot([1, most], [0, 0], color=INK, lw=0.8)
    step = max(1, round(most / 12))
    for rank in range(1, most + 1):
        ax.plot([rank, rank], [0, 0.25], color=INK, lw=0.6)
        if (rank - 1) % step == 0:
            ax.text(rank, 0.35, str(rank), ha="center", va="bottom", fontsize=6.5)
    end = 1 + ranks.critical_difference
    fits = end <= most + 0.3 * (most - 1)
    ax.plot([1, end if fits else most], [2.0, 2.0], "|-" if fits else "-", color=INK, lw=1.0,
            markersize=4)  # fmt: skip
    wide = "" if fits else " (longer than the axis)"
    ax.text(1, 2.2, f"critical difference {ranks.critical_difference:.1f}{wide}", va="bottom",
            fontsize=6.5)  # fmt: skip


def agreement_figures(content: ReportContent) -> Iterator[ReportFigure]:
    """Kendall's tau between metrics, where a test set has several."""
    panels = agreement_data(content)
    if panels:
        upscalers = ", ".join(f"{p.dataset}: {p.n_upscalers}" for p in panels)
        words = caption("figures", "metric-agreement", upscalers=upscalers)
        yield ReportFigure("results", "metric-agreement", "Do the metrics agree?", words,
                           described_agreement(panels), draw_agreement(panels))  # fmt: skip


def described_agreement(panels: Sequence[AgreementPanel]) -> str:
    """Every pair in words."""
    parts = []
    for panel in panels:
        pairs = [
            f"{one.title} and {panel.metrics[j].title} {number(panel.tau[i][j], 2, sign=True)}"
            for i, one in enumerate(panel.metrics) for j in range(i)
        ]  # fmt: skip
        parts.append(f"{panel.dataset}: {', '.join(pairs)}")
    return f"Kendall's tau. {'. '.join(parts)}"


def rank_figures(content: ReportContent) -> Iterator[ReportFigure]:
    """Average ranks with the critical difference, where seeds and variants are enough."""
    panels = rank_data(content)
    if panels:
        tests = "; ".join(
            f"{p.metric.title} on {p.ranks.dataset}: {count(len(p.ranks.variants), 'variant')}, "
            f"Friedman's p {p_text(p.ranks.p_value)}"
            + (f", left out {', '.join(p.ranks.left_out)}" if p.ranks.left_out else "")
            for p in panels
        )
        seeds = count(max(p.ranks.n_seeds for p in panels), "training seed")
        words = caption("figures", "ranks", seeds=seeds, tests=tests, most=MOST_NAMES,
                        half=MOST_NAMES // 2, reference=content.reference)  # fmt: skip
        drawing = draw_ranks(panels, content.reference)
        yield ReportFigure("differences", "ranks", "Average ranks over seeds", words,
                           described_ranks(panels), drawing)  # fmt: skip


def described_ranks(panels: Sequence[RankPanel]) -> str:
    """Ranks and critical differences in words."""
    parts = []
    for panel in panels:
        ranks = panel.ranks
        listing = ", ".join(
            f"{name} {rank:.1f}" for name, rank in zip(ranks.variants, ranks.ranks, strict=True)
        )
        parts.append(f"{panel.metric.title} on {ranks.dataset}: {listing}; "
                     f"critical difference {ranks.critical_difference:.1f}")  # fmt: skip
    return f"Average ranks, 1 is best. {'. '.join(parts)}"
