"""How a metric depends on one numeric setting, such as the adversarial weight."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tadsr.compare import UNVERIFIED
from tadsr.config import MetricSpec
from tadsr.report.content import ReportContent
from tadsr.report.drawing import (
    DASHES,
    INK,
    MUTED,
    ONE_COLUMN,
    PALETTE,
    PAPER,
    TWO_COLUMNS,
    new_figure,
    stamp,
)
from tadsr.report.figures.figure import ReportFigure, shown_endpoints
from tadsr.report.wording import caption, count, number

FEWEST = 3
"""Different values that make a curve."""
LOGARITHMIC = 8
"""Ratio of the largest to the smallest value above 0 from which the axis is logarithmic."""
MOST_PANELS = 3
LONGEST = 6
"""Characters of a value at the axis; longer ones, which a search proposed, are rounded."""


@dataclass(frozen=True)
class SensitivityPoint:
    """What one value gave: the mean with its interval over seeds, and the seeds' own means."""

    value: float
    name: str
    """The variant, or the trial."""
    mean: float
    low: float | None = None
    high: float | None = None
    seeds: tuple[float, ...] = ()
    n_images: int = 0


@dataclass(frozen=True)
class Sensitivity:
    """One metric on one test set against one setting."""

    key: str
    """Dotted, below `student` or `targets`."""
    dataset: str
    metric: MetricSpec
    points: tuple[SensitivityPoint, ...]
    """In the order of their values."""
    levels: Mapping[str, float]
    """Horizontal lines: the teacher's mean, that of the variant without the term."""
    unverified: bool = False


def sensitivity_data(content: ReportContent) -> list[Sensitivity]:
    """For each numeric setting in which alone variants differ from the reference, and endpoint.

    A setting needs at least `FEWEST` values. Where a loss has weight 0 its other settings mean
    nothing and are not compared. Endpoints are those of the effects' figure.
    """
    settings = {name: _settings(content, name) for name in content.variants}
    base = settings[content.reference]
    keys = [key for key, value in base.items() if _numeric(value)]
    found = []
    for key in keys:
        alike = {
            settings[name][key]: name
            for name in reversed(content.variants)
            if _numeric(settings[name].get(key)) and _same_but(key, settings[name], base)
        }
        alike[base[key]] = content.reference
        if len(alike) >= FEWEST:
            found += [
                one
                for dataset, metric in shown_endpoints(content)[:MOST_PANELS]
                if (one := _sensitivity(content, key, alike, dataset, metric))
            ]
    return found


def _numeric(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _settings(content: ReportContent, variant: str) -> dict[str, Any]:
    """Dotted key to value of a variant's student and targets, losses of weight 0 included."""
    cell = content.cell(variant)
    return dict(_leaves({"student": cell.student.model_dump(mode="json"),
                         "targets": cell.targets.model_dump(mode="json")}))  # fmt: skip


def _leaves(value: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _leaves(inner, f"{prefix}.{name}" if prefix else name)
    else:
        yield prefix, value


def _same_but(key: str, one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two variants train alike but for `key`; what a loss of weight 0 says is ignored."""
    off = {k.removesuffix("weight") for side in (one, other) for k, value in side.items()
           if k.startswith("student.losses.") and k.endswith(".weight") and value == 0}  # fmt: skip
    allowed = {f"{loss}weight" for loss in off}
    return all(
        k == key or one.get(k) == other.get(k)
        or (k not in allowed and any(k.startswith(loss) for loss in off))
        for k in {*one, *other}
    )  # fmt: skip


def _sensitivity(
    content: ReportContent, key: str, alike: Mapping[float, str], dataset: str, metric: str
) -> Sensitivity | None:
    points = []
    for value, name in sorted(alike.items()):
        mean = content.means.get((dataset, name, metric))
        if mean is not None:
            seeds = tuple(content.seed_means[place] for cell in content.cells_of(name)
                          if (place := (name, cell.seed, dataset, metric)) in content.seed_means
                          and cell.status == "done")  # fmt: skip
            points.append(SensitivityPoint(float(value), name, mean.mean, mean.low, mean.high,
                                           seeds, mean.n_images))  # fmt: skip
    if len(points) < FEWEST:
        return None
    levels = {
        name: content.means[dataset, name, metric].mean
        for name in content.baselines
        if name.startswith("teacher-") and (dataset, name, metric) in content.means
    }
    if points[0].value == 0 and key.endswith(".weight"):
        levels[f"without ({points[0].name})"] = points[0].mean
    return Sensitivity(key, dataset, content.metric(metric), tuple(points), levels,
                       content.unverified(metric))  # fmt: skip


def positions(values: Sequence[float]) -> tuple[list[float], float | None]:
    """Where values (ascending) lie on the axis, and where the axis is broken, if it is.

    The axis is the value itself, or its logarithm where the values above 0 span more than
    `LOGARITHMIC`. Then 0 lies a step left of the smallest, behind a break.
    """
    above = [value for value in values if value > 0]
    if len(above) < 2 or values[0] < 0 or above[-1] <= LOGARITHMIC * above[0]:
        return list(values), None
    logs = [math.log10(value) for value in above]
    if len(above) == len(values):
        return logs, None
    reach = logs[-1] - logs[0]
    step = max(reach / (len(logs) - 1), 0.15 * reach)
    return [logs[0] - step] * (len(values) - len(above)) + logs, logs[0] - step / 2


def draw_sensitivity(panels: Sequence[Sensitivity]) -> Figure:
    """Means with intervals joined by a line, seeds as faint points, levels as horizontal lines."""
    width = ONE_COLUMN if len(panels) == 1 else TWO_COLUMNS
    figure = new_figure(width, 2.6)
    axes = figure.subplots(1, len(panels), squeeze=False)[0]
    for panel, ax in zip(panels, axes, strict=True):
        places, broken = positions([p.value for p in panel.points])
        _draw_levels(ax, panel)
        start = 0 if broken is None else 1  # no line across the break
        ax.plot(places[start:], [p.mean for p in panel.points[start:]], color=PALETTE[0], lw=1.0)
        for place, point in zip(places, panel.points, strict=True):
            _draw_point(ax, place, point)
        if broken is not None:
            ax.plot([broken], [0], marker=[(-1, -2), (1, 2)], markersize=7, color=INK,
                    transform=ax.get_xaxis_transform(), clip_on=False, zorder=9)  # fmt: skip
        _label_values(ax, places, [p.value for p in panel.points])
        ax.set(title=panel.dataset, xlabel=panel.key.removeprefix("student."),
               ylabel=f"{panel.metric.title} {panel.metric.arrow}")  # fmt: skip
        ax.margins(0.08)
        if panel.unverified:
            stamp(ax, UNVERIFIED)
    handles, labels = axes[0].get_legend_handles_labels()
    if handles:
        figure.legend(handles, labels, loc="outside lower center", fontsize=6.5,
                      ncols=max(1, int(width / 1.6)))  # fmt: skip
    return figure


def _draw_levels(ax: Axes, panel: Sensitivity) -> None:
    for index, (name, level) in enumerate(panel.levels.items()):
        ax.axhline(level, color=MUTED, lw=0.9, ls=DASHES[(index + 1) % len(DASHES)], label=name)


def _draw_point(ax: Axes, place: float, point: SensitivityPoint) -> None:
    if point.low is not None and point.high is not None:
        ax.plot([place, place], [point.low, point.high], color=PALETTE[0], lw=1.0)
    ax.plot([place] * len(point.seeds), point.seeds, "o", color=PALETTE[0], alpha=0.4,
            markersize=2.5, mew=0)  # fmt: skip
    ax.plot(place, point.mean, "o", color=PALETTE[0], markersize=5, markeredgecolor=PAPER,
            markeredgewidth=0.5)  # fmt: skip


def _label_values(ax: Axes, places: Sequence[float], values: Sequence[float]) -> None:
    """Ticks at the values themselves; of many, those that leave room for their numbers."""
    texts = [text if len(text := f"{value:g}") <= LONGEST else f"{value:.2g}" for value in values]
    room = 0.02 + 0.028 * max(map(len, texts))
    reach = (places[-1] - places[0]) or 1.0
    kept: list[int] = []
    for i, place in enumerate(places):
        if not kept or place - places[kept[-1]] >= room * reach:
            kept.append(i)
    ax.set_xticks([places[i] for i in kept], [texts[i] for i in kept])
    ax.minorticks_off()


def sensitivity_figures(content: ReportContent) -> Iterator[ReportFigure]:
    """One figure per setting that was varied alone."""
    found = sensitivity_data(content)
    for key in dict.fromkeys(one.key for one in found):
        panels = [one for one in found if one.key == key]
        short = key.removeprefix("student.").removeprefix("losses.")
        seeds = max((len(p.seeds) for one in panels for p in one.points), default=0)
        images = {one.dataset: max(p.n_images for p in one.points) for one in panels}
        words = caption(
            "figures", "sensitivity", key=key, reference=content.reference,
            seeds=count(seeds, "seed"),
            images=", ".join(f"{count(n, 'image')} of {name}" for name, n in images.items()),
        )  # fmt: skip
        name = "sensitivity-" + short.replace(".", "-").replace("_", "-")
        title = f"Sensitivity to {short.replace('_', ' ').replace('.', ' ')}"
        yield ReportFigure("differences", name, title, words, described_sensitivity(panels),
                           draw_sensitivity(panels))  # fmt: skip


def described_sensitivity(panels: Sequence[Sensitivity]) -> str:
    """The points and lines in words."""
    parts = []
    for one in panels:
        places = one.metric.decimals
        points = ", ".join(f"{p.value:g}: {number(p.mean, places)}" for p in one.points)
        lines = ", ".join(f"{name} {number(v, places)}" for name, v in one.levels.items())
        parts.append(f"{one.metric.title} on {one.dataset} by {one.key}: {points}; {lines}")
    return ". ".join(parts)
