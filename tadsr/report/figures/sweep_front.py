"""Two objectives of a search against each other, and what is best in both."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from statistics import fmean

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tadsr.config import MetricSpec
from tadsr.report.content import ReportContent
from tadsr.report.drawing import (
    BASELINE_MARKERS,
    INK,
    MUTED,
    PALETTE,
    PAPER,
    TWO_COLUMNS,
    new_figure,
)
from tadsr.report.figures.figure import ReportFigure
from tadsr.report.figures.labels import label_points
from tadsr.report.figures.sweep_axes import figure_of, stamp_doubted
from tadsr.report.sweeps import Sweep
from tadsr.report.wording import number

FEWEST = 2
"""Complete trials that make this figure."""
Place = tuple[float, float]
"""The two objectives' values."""


@dataclass(frozen=True)
class ConfirmedPick:
    """A winner's values in the search, and the mean of its students trained anew, if any."""

    which: str
    search: Place
    confirmed: Place | None
    seeds: tuple[Place, ...]


@dataclass(frozen=True)
class Front:
    """All complete trials, the front among them, and what they are held against."""

    x: MetricSpec
    y: MetricSpec
    kept: tuple[Place, ...]
    broken: tuple[Place, ...]
    front: tuple[Place, ...]
    """Best in the first objective first."""
    picks: tuple[ConfirmedPick, ...]
    levels: tuple[tuple[str, Place], ...]


def front_data(sweep: Sweep) -> Front | None:
    """None for one objective, or fewer than `FEWEST` complete trials."""
    if len(sweep.objectives) < 2 or len(sweep.complete) < FEWEST:
        return None
    x, y = sweep.objectives
    places = {t.number: (t.values[x.id], t.values[y.id]) for t in sweep.complete}
    first, second = sweep.levels(x.id), sweep.levels(y.id)
    return Front(
        x, y,
        kept=tuple(places[t.number] for t in sweep.complete if t.feasible),
        broken=tuple(places[t.number] for t in sweep.complete if not t.feasible),
        front=tuple(places[number] for number in sweep.front),
        picks=tuple(_confirmed(sweep, which, places[trial])
                    for trial, which in sweep.picked.items()),
        levels=tuple((name, (first[name], second[name])) for name in first if name in second),
    )  # fmt: skip


def _confirmed(sweep: Sweep, which: str, search: Place) -> ConfirmedPick:
    """Of a trial that was picked twice, one of its winners: both are the same student."""
    pick = next(pick for pick in sweep.picks if pick.which == which.split(", ")[0])
    x, y = sweep.objectives
    seeds = tuple((scores[x.id], scores[y.id]) for scores in pick.confirmed.values() if scores)
    mean = (fmean(s[0] for s in seeds), fmean(s[1] for s in seeds)) if seeds else None
    return ConfirmedPick(which, search, mean, seeds)


def draw_front(sweep: Sweep, data: Front) -> Figure:
    """Trials as points, the front as a line, an arrow from each winner to its confirmed mean."""
    figure = new_figure(TWO_COLUMNS, 3.4)
    ax = figure.subplots()
    ax.plot(*_columns(data.front), color=MUTED, ls="--", lw=1.0, label="Pareto front")
    ax.plot(*_columns(data.kept), "o", color=PALETTE[0], markersize=4, label="trial")
    if data.broken:
        ax.plot(*_columns(data.broken), "o", mec=PALETTE[0], mfc="none", markersize=4,
                label="breaks a constraint")  # fmt: skip
    for marker, (name, place) in zip(BASELINE_MARKERS, data.levels, strict=False):
        ax.plot(*place, marker, color=MUTED, ls="", markersize=6, label=name)
    _draw_picks(ax, data)
    for axis, metric in (("x", data.x), ("y", data.y)):
        ax.set(**{f"{axis}label": f"{metric.title} {metric.arrow}"})
    ax.margins(0.08)
    stamp_doubted(ax, sweep, [data.x.id, data.y.id])
    figure.legend(loc="outside lower center", ncols=4, fontsize=6.5)
    figure.draw_without_rendering()
    shown = [(*pick.search, pick.which) for pick in data.picks]
    label_points(ax, shown, [*data.kept, *data.broken])
    return figure


def _draw_picks(ax: Axes, data: Front) -> None:
    for index, pick in enumerate(data.picks):
        named = index == 0  # one entry of the legend for all
        ax.plot(*pick.search, "*", color=PALETTE[1], ls="", markersize=9, markeredgecolor=INK,
                markeredgewidth=0.5, zorder=5, label="picked" if named else None)  # fmt: skip
        if pick.confirmed is None:
            continue
        ax.plot(*zip(pick.search, pick.confirmed, strict=True), color=PALETTE[1], lw=0.9, ls=":")
        ax.plot(*_columns(pick.seeds), "D", color=PALETTE[1], markersize=2.5, alpha=0.5, mew=0)
        ax.plot(*pick.confirmed, "D", color=PALETTE[1], ls="", markersize=5,
                markeredgecolor=PAPER, markeredgewidth=0.5, zorder=6,
                label="confirmed, mean over seeds" if named else None)  # fmt: skip


def _columns(places: tuple[Place, ...]) -> tuple[list[float], list[float]]:
    return [x for x, _ in places], [y for _, y in places]


def front_figures(content: ReportContent) -> Iterator[ReportFigure]:
    """One per search for two objectives."""
    for sweep in content.sweeps:
        if (data := front_data(sweep)) is not None:
            yield figure_of(sweep, "front", "Pareto front", _described(data),
                            draw_front(sweep, data), x=data.x.title, y=data.y.title)  # fmt: skip


def _described(data: Front) -> str:
    def told(place: Place) -> str:
        return ", ".join(f"{m.title} {number(v, m.decimals)}"
                         for m, v in zip((data.x, data.y), place, strict=True))  # fmt: skip

    picks = [f"{pick.which}: {told(pick.search)}"
             + (f", confirmed {told(pick.confirmed)}" if pick.confirmed else "")
             for pick in data.picks]  # fmt: skip
    levels = [f"{name}: {told(place)}" for name, place in data.levels]
    return f"Front of {len(data.front)} trials. {'; '.join([*picks, *levels])}"
