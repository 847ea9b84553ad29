"""The figures of the report: each a function that gathers plain data, and one that draws it."""

from __future__ import annotations

from tadsr.report.content import ReportContent
from tadsr.report.drawing import style
from tadsr.report.figures.components import component_figures
from tadsr.report.figures.curves import teacher_figures, training_figures
from tadsr.report.figures.effects import effects_figures
from tadsr.report.figures.figure import ReportFigure, Section
from tadsr.report.figures.plane import plane_figures
from tadsr.report.figures.quality_cost import quality_cost_figures
from tadsr.report.figures.rank_figures import agreement_figures, rank_figures
from tadsr.report.figures.sensitivity import sensitivity_figures
from tadsr.report.figures.spectrum import spectrum_figures
from tadsr.report.figures.sweep_contour import contour_figures
from tadsr.report.figures.sweep_front import front_figures
from tadsr.report.figures.sweep_history import history_figures
from tadsr.report.figures.sweep_importance import importance_figures
from tadsr.report.figures.sweep_intermediate import intermediate_figures
from tadsr.report.figures.sweep_parallel import parallel_figures
from tadsr.report.figures.sweep_sensitivity import sweep_sensitivity_figures
from tadsr.report.figures.sweep_slice import slice_figures

__all__ = ["MAKERS", "ReportFigure", "Section", "all_figures"]

MAKERS = (plane_figures, quality_cost_figures, agreement_figures, component_figures,
          effects_figures, sensitivity_figures, rank_figures, training_figures, teacher_figures,
          spectrum_figures, sweep_sensitivity_figures, front_figures, history_figures,
          intermediate_figures, importance_figures, parallel_figures, slice_figures,
          contour_figures)  # fmt: skip
"""In the order of the page within each section; each yields nothing where data are missing."""


def all_figures(content: ReportContent) -> list[ReportFigure]:
    """Every figure there are data for, drawn."""
    with style():
        return [figure for make in MAKERS for figure in make(content)]
