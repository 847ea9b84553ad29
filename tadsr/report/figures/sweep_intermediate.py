"""How trials of a search came along, and where the pruner ended them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from matplotlib.figure import Figure

from tadsr.config import MetricSpec
from tadsr.report.content import ReportContent
from tadsr.report.drawing import MUTED, PALETTE, TWO_COLUMNS, new_figure
from tadsr.report.figures.figure import ReportFigure
from tadsr.report.figures.sweep_axes import figure_of, stamp_doubted
from tadsr.report.reading import Series
from tadsr.report.sweeps import Sweep
from tadsr.report.wording import count

ENDS = {"complete": ("-", "", 0.8), "pruned": ("--", "x", 0.8), "diverged": (":", "v", 0.8)}
"""State to dash, marker at the end, width."""


@dataclass(frozen=True)
class TrialCurve:
    """The first objective of one trial at its looks."""

    number: int
    state: str
    points: Series
    picked: bool


@dataclass(frozen=True)
class Intermediate:
    """All trials that were looked at."""

    metric: MetricSpec
    curves: tuple[TrialCurve, ...]


def intermediate_data(sweep: Sweep) -> Intermediate | None:
    """None where no trial was looked at before its end."""
    metric = sweep.objectives[0]
    curves = tuple(
        TrialCurve(trial.number, trial.state, points, trial.number in sweep.picked)
        for trial in sweep.trials
        if trial.state in ENDS and (points := trial.looks.get(metric.id, ()))
    )
    if max((len(curve.points) for curve in curves), default=0) < 2:
        return None
    return Intermediate(metric, curves)


def draw_intermediate(sweep: Sweep, data: Intermediate) -> Figure:
    """A line per trial; looks are points, a pruned one ends in a cross."""
    figure = new_figure(TWO_COLUMNS, 2.7)
    ax = figure.subplots()
    for curve in sorted(data.curves, key=lambda c: (c.picked, c.number)):
        dash, end, width = ENDS[curve.state]
        color = PALETTE[1] if curve.picked else PALETTE[0] if curve.state == "complete" else MUTED
        xs, ys = zip(*curve.points, strict=True)
        ax.plot(xs, ys, color=color, ls=dash, lw=2.0 if curve.picked else width, marker="o",
                markersize=2, alpha=1 if curve.picked else 0.75)  # fmt: skip
        if end:
            ax.plot(xs[-1], ys[-1], end, color=color, markersize=5, zorder=5)
    for state, (dash, end, width) in ENDS.items():
        if any(curve.state == state and not curve.picked for curve in data.curves):
            color = PALETTE[0] if state == "complete" else MUTED
            ax.plot([], [], color=color, ls=dash, lw=width, marker=end or None, label=state)
    if any(curve.picked for curve in data.curves):
        ax.plot([], [], color=PALETTE[1], lw=2.0, label="picked")
    ax.set(xlabel="images seen", ylabel=f"{data.metric.title} {data.metric.arrow}")
    ax.margins(x=0.02, y=0.08)
    stamp_doubted(ax, sweep, [data.metric.id])
    figure.legend(loc="outside lower center", ncols=4, fontsize=6.5)
    return figure


def intermediate_figures(content: ReportContent) -> Iterator[ReportFigure]:
    """One per search whose trials were looked at on the way."""
    for sweep in content.sweeps:
        if (data := intermediate_data(sweep)) is not None:
            yield figure_of(sweep, "intermediate", "values on the way", _described(data),
                            draw_intermediate(sweep, data), metric=data.metric.title,
                            pruned=count(sweep.states["pruned"], "pruned trial"))  # fmt: skip


def _described(data: Intermediate) -> str:
    ended = [f"trial {c.number} at {c.points[-1][0]:g} images" for c in data.curves
             if c.state == "pruned"]  # fmt: skip
    return (f"{data.metric.title} of {count(len(data.curves), 'trial')}. Pruned: "
            f"{', '.join(ended) or 'none'}")  # fmt: skip
