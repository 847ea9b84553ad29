"""What each trial of a search reached, in their order, and the best so far."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from tadsr.config import MetricSpec
from tadsr.report.content import ReportContent
from tadsr.report.drawing import MUTED, PALETTE, TWO_COLUMNS, new_figure
from tadsr.report.figures.figure import ReportFigure
from tadsr.report.figures.sweep_axes import figure_of, stamp_doubted
from tadsr.report.sweeps import Sweep
from tadsr.report.wording import number

FEWEST = 2
"""Complete trials that make a history."""
Points = tuple[tuple[int, float], ...]
"""(trial, value) pairs."""


@dataclass(frozen=True)
class HistoryPanel:
    """One objective over the trials."""

    metric: MetricSpec
    kept: Points
    """Complete trials that keep the constraints."""
    broken: Points
    """Complete trials that do not."""
    best: Points
    """Where the best value so far, of those that keep the constraints, changed."""
    pruned: tuple[int, ...]
    diverged: tuple[int, ...]
    last: int
    """The last trial's number."""


def history_data(sweep: Sweep) -> list[HistoryPanel]:
    """A panel per objective; nothing for fewer than `FEWEST` complete trials."""
    if len(sweep.complete) < FEWEST:
        return []
    panels = []
    for metric in sweep.objectives:
        kept = _points(sweep, metric, feasible=True)
        panels.append(HistoryPanel(
            metric, kept, _points(sweep, metric, feasible=False), _best(kept, metric),
            _ended(sweep, "pruned"), _ended(sweep, "diverged"), sweep.trials[-1].number,
        ))  # fmt: skip
    return panels


def _points(sweep: Sweep, metric: MetricSpec, *, feasible: bool) -> Points:
    return tuple((t.number, t.values[metric.id]) for t in sweep.complete if t.feasible == feasible)


def _ended(sweep: Sweep, state: str) -> tuple[int, ...]:
    return tuple(trial.number for trial in sweep.trials if trial.state == state)


def _best(points: Points, metric: MetricSpec) -> Points:
    found: list[tuple[int, float]] = []
    for trial, value in points:
        if not found or (value > found[-1][1] if metric.higher_is_better else value < found[-1][1]):
            found.append((trial, value))
    return tuple(found)


def draw_history(sweep: Sweep, panels: Sequence[HistoryPanel]) -> Figure:
    """Trials as points, the best so far as a stair, trials without a value along the bottom."""
    figure = new_figure(TWO_COLUMNS, 2.2 * len(panels) + 0.2)
    axes = figure.subplots(len(panels), 1, squeeze=False, sharex=True)[:, 0]
    for panel, ax in zip(panels, axes, strict=True):
        _draw(ax, panel)
        stamp_doubted(ax, sweep, [panel.metric.id])
    axes[-1].set_xlabel("trial")
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=5, fontsize=6.5)
    return figure


def _draw(ax: Axes, panel: HistoryPanel) -> None:
    best = [*panel.best, (panel.last, panel.best[-1][1])] if panel.best else []
    ax.plot([t for t, _ in best], [v for _, v in best], color=PALETTE[1], drawstyle="steps-post",
            label="best so far")  # fmt: skip
    ax.plot(*_columns(panel.kept), "o", color=PALETTE[0], markersize=4, label="complete")
    if panel.broken:
        ax.plot(*_columns(panel.broken), "o", mec=PALETTE[0], mfc="none", markersize=4,
                label="breaks a constraint")  # fmt: skip
    for numbers, marker, label in (
        (panel.pruned, "x", "pruned"),
        (panel.diverged, "v", "diverged"),
    ):
        if numbers:
            ax.plot(numbers, [0.02] * len(numbers), marker, color=MUTED, markersize=4, label=label,
                    transform=ax.get_xaxis_transform(), clip_on=False)  # fmt: skip
    ax.set(ylabel=f"{panel.metric.title} {panel.metric.arrow}", xlim=(-0.6, panel.last + 0.6))
    ax.margins(y=0.12)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))


def _columns(points: Points) -> tuple[list[int], list[float]]:
    return [trial for trial, _ in points], [value for _, value in points]


def history_figures(content: ReportContent) -> Iterator[ReportFigure]:
    """One per search."""
    for sweep in content.sweeps:
        if panels := history_data(sweep):
            yield figure_of(sweep, "history", "history", _described(panels),
                            draw_history(sweep, panels))  # fmt: skip


def _described(panels: Sequence[HistoryPanel]) -> str:
    parts = []
    for panel in panels:
        steps = ", ".join(f"{number(value, panel.metric.decimals)} at trial {trial}"
                          for trial, value in panel.best)  # fmt: skip
        parts.append(f"Best {panel.metric.title} so far: {steps or 'none'}")
    return ". ".join(parts)
