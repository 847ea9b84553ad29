"""The figure of quality against latency."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from matplotlib.figure import Figure

from tadsr.compare import UNVERIFIED
from tadsr.config import MetricSpec
from tadsr.evaluation.cost_records import STUDENTS
from tadsr.report.content import ReportContent
from tadsr.report.drawing import MUTED, PAPER, TWO_COLUMNS, Look, looks, new_figure, stamp
from tadsr.report.figures.figure import ReportFigure
from tadsr.report.figures.labels import draw_key, key_height, label_points
from tadsr.report.wording import caption, count, quantity

MOST_NAMES = 20
"""Points that are all named; of more, students share a latency and would hide each other's."""
CLOSEST = 0.05
"""Part of the points' range between two students from which on their markers can be told apart."""


@dataclass(frozen=True)
class CostPoint:
    """One upscaler: its median latency, its mean with the interval's half width, its look."""

    name: str
    seconds: float
    quality: float
    half_width: float | None
    look: Look
    named: bool = True
    """Whether it has a number and stands in the key."""


@dataclass(frozen=True)
class QualityCost:
    """What the figure shows."""

    dataset: str
    metric: MetricSpec
    lr_side: int
    where: str
    """What all points were measured on."""
    points: tuple[CostPoint, ...]
    unverified: bool = False
    """Whether the metric used weights that are not known to be the official ones."""
    disturbed: tuple[str, ...] = ()
    """Upscalers whose latency was measured beside other work."""


def quality_cost_data(content: ReportContent) -> QualityCost | None:
    """The first declared endpoint against latency at the first size; None without either.

    Models that were measured on something else than the students are left out: their latencies
    do not stand on one axis.
    """
    primary, sizes = content.experiment.primary, content.experiment.evaluation.cost.sizes
    students = content.costs.get(STUDENTS)
    at = students.at(sizes[0]) if students and sizes else None
    if not primary or at is None:
        return None
    endpoint = primary[0]
    styles = looks(content.variants, content.baselines)
    points, disturbed = [], []
    for name in (*content.baselines, *content.variants):
        cost = students if name in content.variants else content.costs.get(name)
        record = cost.at(sizes[0]) if cost else None
        mean = content.means.get((endpoint.dataset, name, endpoint.metric))
        if mean and record and record.median and record.where == at.where:
            points.append(CostPoint(name, record.median, mean.mean, mean.half_width, styles[name]))
            disturbed += [STUDENTS if cost is students else name] if record.disturbed else []
    if len({point.seconds for point in points}) < 2:
        return None
    metric = content.metric(endpoint.metric)
    doubted = content.unverified(metric.id)
    shown = _few_named(points, content)
    return QualityCost(endpoint.dataset, metric, sizes[0], at.where, tuple(shown), doubted,
                       tuple(dict.fromkeys(disturbed)))  # fmt: skip


def _few_named(points: Sequence[CostPoint], content: ReportContent) -> list[CostPoint]:
    """Named are the models beside the students, the reference, the lowest and the highest student.

    Of few points, each student too that is not too close to a named one.
    """
    students = sorted((p for p in points if p.name in content.variants), key=lambda p: p.quality)
    kept = {content.reference, students[0].name, students[-1].name, *content.baselines}
    reach = max(p.quality for p in points) - min(p.quality for p in points)
    for point in students if len(points) <= MOST_NAMES else ():
        named = [p.quality for p in students if p.name in kept]
        if all(abs(point.quality - other) >= CLOSEST * reach for other in named):
            kept.add(point.name)
    return [p if p.name in kept else replace(p, named=False, look=Look(MUTED, ".")) for p in points]


def draw_quality_cost(data: QualityCost) -> Figure:
    """Latency on a logarithmic axis; bars are half intervals over seeds."""
    named = [p for p in data.points if p.named]
    names = [f"{number} {p.name}" for number, p in enumerate(named, start=1)]
    figure = new_figure(TWO_COLUMNS, 2.6 + key_height(names, TWO_COLUMNS))
    ax = figure.subplots()
    for point in sorted(data.points, key=lambda p: p.named):
        look = point.look
        ax.errorbar(point.seconds, point.quality, yerr=point.half_width, fmt=look.marker,
                    color=look.color, markersize=8 if look.marker == "*" else 6,
                    markeredgecolor=PAPER, markeredgewidth=0.5, elinewidth=0.9)  # fmt: skip
    ax.set(xscale="log", title=data.dataset,
           xlabel=f"median latency of one LR image of {data.lr_side} × {data.lr_side} (s)",
           ylabel=f"{data.metric.title} {data.metric.arrow}")  # fmt: skip
    ax.margins(0.12)
    if data.unverified:
        stamp(ax, UNVERIFIED)
    draw_key(figure, [(name, p.look) for name, p in zip(names, named, strict=True)])
    figure.draw_without_rendering()
    label_points(ax, [(p.seconds, p.quality, str(number))
                      for number, p in enumerate(named, start=1)])  # fmt: skip
    return figure


def described_cost(data: QualityCost) -> str:
    """The points in words."""
    points = ", ".join(
        f"{p.name} {quantity(p.seconds, 's')} / {p.quality:.{data.metric.decimals}f}"
        for p in data.points
    )
    return f"Latency / {data.metric.title} on {data.dataset}: {points}"


def quality_cost_figures(content: ReportContent) -> Iterator[ReportFigure]:
    """Quality against latency, where both were measured."""
    data = quality_cost_data(content)
    if data:
        who = ", ".join(data.disturbed)
        beside = f" (beside other work: alone, {who} may be faster)" if who else ""
        words = caption("figures", "quality-cost", metric=data.metric.title, where=data.where,
                        beside=beside,
                        samples=samples_of(content, data),
                        most=MOST_NAMES)  # fmt: skip
        yield ReportFigure("results", "quality-cost", "Quality and latency", words,
                           described_cost(data), draw_quality_cost(data))  # fmt: skip


def samples_of(content: ReportContent, data: QualityCost) -> str:
    """How many seeds and images the means are over."""
    means = [content.means[data.dataset, p.name, data.metric.id] for p in data.points]
    seeds, images = (max(getattr(mean, n) for mean in means) for n in ("n_seeds", "n_images"))
    return f"{count(images, 'image')}, up to {count(seeds, 'seed')}"
