"""Training curves: what is drawn, as plain data; `curve_drawing` draws it."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tadsr.report.content import ReportContent
from tadsr.report.drawing import MUTED, Look, looks
from tadsr.report.figures.curve_drawing import HIGHLIGHTED, MOST_LINES, draw_curves, draw_multiples
from tadsr.report.figures.figure import ReportFigure
from tadsr.report.reading import Series
from tadsr.report.wording import caption, count

BINS = 60
"""Points a curve is drawn with, at most."""
MAX_PANELS = 8
"""The validation errors, and the losses that most students have."""


@dataclass(frozen=True)
class CurveLine:
    """A variant's curve: mean and range over seeds at common x, and the diverged seeds alone."""

    variant: str
    images: tuple[float, ...]
    mean: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    diverged: tuple[Series, ...]
    look: Look


@dataclass(frozen=True)
class CurvePanel:
    """One curve name, all variants."""

    name: str
    lines: tuple[CurveLine, ...]


def training_data(content: ReportContent) -> list[CurvePanel]:
    """A panel per validation error and loss of the students, validation first."""
    names, _ = _curve_names(content.curves.values())
    styles = looks(content.variants)
    panels = []
    for name in names:
        lines = [
            _curve_line(content, variant, name, styles[variant]) for variant in content.variants
        ]
        panels.append(CurvePanel(name, tuple(line for line in lines if line is not None)))
    return [panel for panel in panels if panel.lines]


def teacher_data(content: ReportContent) -> list[CurvePanel]:
    """A panel per validation error and loss of the teacher."""
    panels = []
    for name in _curve_names([content.teacher_curve])[0]:
        x, y = zip(*binned(content.teacher_curve[name]), strict=True)
        line = CurveLine("teacher", x, y, y, y, (), Look(MUTED, "o"))
        panels.append(CurvePanel(name, (line,)))
    return panels


def _curve_names(curves: Iterable[Mapping[str, Series]]) -> tuple[list[str], list[str]]:
    """Curves to draw and curves to leave out: validation, then the losses that most curves have."""
    found = Counter(name for curve in curves for name in curve)
    names = sorted(n for n in found if n.startswith("val/"))
    losses = sorted(n for n in found if n.startswith("loss/"))
    names += sorted(losses, key=lambda name: -found[name])
    chosen, left_out = names[:MAX_PANELS], names[MAX_PANELS:]
    return sorted(chosen, key=lambda name: (name in losses, name)), left_out


def _curve_line(content: ReportContent, variant: str, name: str, look: Look) -> CurveLine | None:
    """Mean and range over the seeds that did not diverge, at the x all of them have."""
    series = [
        (cell.status, binned(content.curves[variant, cell.seed][name]))
        for cell in content.cells_of(variant)
        if name in content.curves[variant, cell.seed]
    ]
    kept = [dict(points) for status, points in series if status == "done"]
    diverged = tuple(points for status, points in series if status == "diverged")
    if not kept:
        return CurveLine(variant, (), (), (), (), diverged, look) if diverged else None
    common = sorted(set.intersection(*(set(curve) for curve in kept)))
    table = np.array([[curve[x] for x in common] for curve in kept])
    mean, low, high = (
        tuple(side.tolist()) for side in (table.mean(axis=0), table.min(axis=0), table.max(axis=0))
    )
    return CurveLine(variant, tuple(common), mean, low, high, diverged, look)


def binned(series: Series, bins: int = BINS) -> Series:
    """Means over neighbouring points, so that at most `bins` remain; x is the last of a bin.

    The same points are merged in every curve that was written at the same x.
    """
    size = math.ceil(len(series) / bins)
    groups = [series[start : start + size] for start in range(0, len(series), size)]
    return tuple((group[-1][0], sum(y for _, y in group) / len(group)) for group in groups)


def training_figures(content: ReportContent) -> Iterator[ReportFigure]:
    """The students' curves; where variants are many, the first of them variant by variant too."""
    panels = training_data(content)
    if not panels:
        return
    crowded = len(content.variants) > MOST_LINES
    seeds = count(len(content.experiment.seeds), "seed")
    if crowded:
        words = caption("figures", "training-multiples", curve=panels[0].name, seeds=seeds,
                        reference=content.reference, bins=BINS)  # fmt: skip
        yield ReportFigure("training", "training-multiples", "Training, variant by variant", words,
                           described_curves(panels[:1]),
                           draw_multiples(panels[0], content.reference))  # fmt: skip
    choice = (f"Each panel names {content.reference} and the {HIGHLIGHTED} variants that end "
              "farthest from it; grey lines are the others." if crowded else "")  # fmt: skip
    _, left_out = _curve_names(content.curves.values())
    choice += f" Not shown: {', '.join(left_out)}." if left_out else ""
    yield ReportFigure("training", "training", "Training curves of the students",
                       caption("figures", "training", bins=BINS, seeds=seeds, choice=choice),
                       described_curves(panels),
                       draw_curves(panels, content.reference))  # fmt: skip


def teacher_figures(content: ReportContent) -> Iterator[ReportFigure]:
    """The teacher's curves."""
    panels = teacher_data(content)
    if panels:
        yield ReportFigure("training", "teacher", "Training curves of the teacher",
                           caption("figures", "teacher", bins=BINS),
                           described_curves(panels), draw_curves(panels))  # fmt: skip


def described_curves(panels: Sequence[CurvePanel]) -> str:
    """Where each curve ends, in words."""
    parts = []
    for panel in panels:
        ends = [f"{line.variant} {line.mean[-1]:.3g}" for line in panel.lines if line.mean]
        ends += [f"{line.variant} diverged ({count(len(line.diverged), 'seed')})"
                 for line in panel.lines if line.diverged]  # fmt: skip
        parts.append(f"{panel.name} ends at: {', '.join(ends)}")
    return ". ".join(parts)
