"""A search over one number, such as the adversarial weight, as a sensitivity curve."""

from __future__ import annotations

from collections.abc import Iterator

from tadsr.config import MetricSpec
from tadsr.report.content import ReportContent
from tadsr.report.figures.figure import ReportFigure
from tadsr.report.figures.sensitivity import (
    FEWEST,
    MOST_PANELS,
    Sensitivity,
    SensitivityPoint,
    described_sensitivity,
    draw_sensitivity,
)
from tadsr.report.figures.sweep_axes import figure_of, numeric
from tadsr.report.sweeps import Sweep
from tadsr.report.wording import count


def sweep_sensitivity_data(sweep: Sweep) -> list[Sensitivity]:
    """Objectives, then other metrics, over the one setting; nothing for several, or too few trials.

    A point is a complete trial. Those picked have the values of their students trained anew as
    seeds. Horizontal lines: the teacher in all its steps, and the references.
    """
    key = next(iter(sweep.spec.space))
    if len(sweep.spec.space) > 1 or not numeric(sweep, key):
        return []
    panels = [_panel(sweep, key, metric) for metric in sweep.metrics[:MOST_PANELS]]
    return [panel for panel in panels if len({point.value for point in panel.points}) >= FEWEST]


def _panel(sweep: Sweep, key: str, metric: MetricSpec) -> Sensitivity:
    again = {pick.trial: tuple(scores[metric.id] for scores in pick.confirmed.values() if scores)
             for pick in sweep.picks}  # fmt: skip
    points = [
        SensitivityPoint(float(trial.settings[key]), f"trial {trial.number}",
                         trial.scores[metric.id], seeds=again.get(trial.number, ()),
                         n_images=sweep.n_images)
        for trial in sorted(sweep.complete, key=lambda t: (t.settings[key], t.number))
    ]  # fmt: skip
    return Sensitivity(key, "validation images", metric, tuple(points), sweep.levels(metric.id),
                       metric.id in sweep.doubted)  # fmt: skip


def sweep_sensitivity_figures(content: ReportContent) -> Iterator[ReportFigure]:
    """One per search over one number."""
    for sweep in content.sweeps:
        if panels := sweep_sensitivity_data(sweep):
            seeds = max(len(point.seeds) for panel in panels for point in panel.points)
            yield figure_of(sweep, "sensitivity", "sensitivity", described_sensitivity(panels),
                            draw_sensitivity(panels), key=panels[0].key,
                            seeds=count(seeds, "student"))  # fmt: skip
