"""All settings of a search side by side, one line per trial."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import matplotlib
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke

from tadsr.report.content import ReportContent
from tadsr.report.drawing import INK, MUTED, PAPER, TWO_COLUMNS, new_figure
from tadsr.report.figures.figure import ReportFigure
from tadsr.report.figures.sweep_axes import Scale, figure_of, scale_of, stamp_doubted
from tadsr.report.sweeps import Sweep, shown_setting
from tadsr.report.wording import number

FEWEST = 2
"""Settings, and complete trials, that make this figure."""
MANY = 40
"""Lines above which they are drawn thinner."""


@dataclass(frozen=True)
class ParallelLine:
    """One complete trial: its place on each axis, None where a setting does not count."""

    number: int
    places: tuple[float | None, ...]
    rank: float
    """By the first objective: 0 worst, 1 best."""
    picked: str


@dataclass(frozen=True)
class Parallel:
    """The axes, settings first and objectives last, and the lines, the best last."""

    axes: tuple[Scale, ...]
    lines: tuple[ParallelLine, ...]


def parallel_data(sweep: Sweep) -> Parallel | None:
    """None for one setting, or fewer than `FEWEST` complete trials."""
    if len(sweep.spec.space) < FEWEST or len(sweep.complete) < FEWEST:
        return None
    settings = [scale_of(sweep.short[key], p) for key, p in sweep.spec.space.items()]
    goals = []
    for metric in sweep.objectives:
        values = [trial.values[metric.id] for trial in sweep.complete]
        goals.append(Scale(f"{metric.title} {metric.arrow}", min(values), max(values)))
    first = sweep.objectives[0]
    ordered = sorted(sweep.complete, reverse=not first.higher_is_better,
                     key=lambda trial: (trial.values[first.id], trial.number))  # fmt: skip
    lines = []
    for rank, trial in enumerate(ordered):
        given = [trial.settings.get(key) for key in sweep.spec.space]
        places = [None if v is None else s.place(v) for v, s in zip(given, settings, strict=True)]
        ends = [goal.place(trial.values[m.id])
                for m, goal in zip(sweep.objectives, goals, strict=True)]  # fmt: skip
        lines.append(ParallelLine(trial.number, (*places, *ends), rank / (len(ordered) - 1),
                                  sweep.picked.get(trial.number, "")))  # fmt: skip
    return Parallel((*settings, *goals), tuple(lines))


def draw_parallel(sweep: Sweep, data: Parallel) -> Figure:
    """Lines coloured by rank; those that were picked are thick, dashed over a dark line."""
    figure = new_figure(TWO_COLUMNS, 2.9)
    ax = figure.subplots()
    colors = matplotlib.colormaps["viridis"]
    thin = 1.0 if len(data.lines) <= MANY else 0.5
    for line in data.lines:
        xs = range(len(data.axes))
        ys = [float("nan") if place is None else place for place in line.places]
        there = [(x, place) for x, place in enumerate(line.places) if place is not None]
        ax.plot(*zip(*there, strict=True), color=colors(line.rank), lw=0.8, ls=":", zorder=2)
        if line.picked:
            ax.plot(xs, ys, color=INK, lw=3.2, zorder=3)
        ax.plot(xs, ys, color=colors(line.rank), lw=1.8 if line.picked else thin, marker="o",
                markersize=2.5, zorder=4 if line.picked else 2)  # fmt: skip
    _draw_axes(ax, data)
    bar = figure.colorbar(ScalarMappable(Normalize(0, 1), "viridis"), ax=ax, pad=0.08, shrink=0.85)
    bar.set_ticks([0, 1], labels=["worst", "best"])
    bar.set_label(f"rank in {sweep.objectives[0].title}")
    stamp_doubted(ax, sweep, [metric.id for metric in sweep.objectives])
    return figure


def _draw_axes(ax: Axes, data: Parallel) -> None:
    for x, scale in enumerate(data.axes):
        ax.axvline(x, color=MUTED, lw=0.8, zorder=1)
        for place, text in scale.ticks():
            ax.plot([x - 0.015 * len(data.axes), x], [place, place], color=MUTED, lw=0.8)
            ax.text(x - 0.02 * len(data.axes), place, text, ha="right", va="center", fontsize=6.5,
                    color=INK, zorder=5,
                    path_effects=[withStroke(linewidth=1.5, foreground=PAPER)])  # fmt: skip
    ax.set_xticks(range(len(data.axes)), [scale.title for scale in data.axes])
    if len(data.axes) > 5:
        ax.tick_params(axis="x", labelrotation=20)
    ax.set(yticks=[], ylim=(-0.06, 1.06), xlim=(-0.45, len(data.axes) - 0.8))
    ax.grid(visible=False)
    ax.spines[["left", "bottom"]].set_visible(False)
    ax.tick_params(axis="x", length=0)


def parallel_figures(content: ReportContent) -> Iterator[ReportFigure]:
    """One per search over several settings."""
    for sweep in content.sweeps:
        if (data := parallel_data(sweep)) is not None:
            yield figure_of(sweep, "parallel", "parallel coordinates", _described(sweep, data),
                            draw_parallel(sweep, data),
                            metric=sweep.objectives[0].title)  # fmt: skip


def _described(sweep: Sweep, data: Parallel) -> str:
    first = sweep.objectives[0]
    trials = {trial.number: trial for trial in sweep.complete}
    parts = []
    for line in reversed(data.lines[-3:]):
        trial = trials[line.number]
        settings = ", ".join(f"{sweep.short[key]} {shown_setting(value)}"
                             for key, value in trial.settings.items())  # fmt: skip
        value = number(trial.values[first.id], first.decimals)
        parts.append(f"trial {line.number}: {settings}, {first.title} {value}")
    return f"The best trials. {'; '.join(parts)}"
