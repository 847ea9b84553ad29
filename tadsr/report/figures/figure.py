"""What a figure of the report is, and what several figures share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from matplotlib.figure import Figure

from tadsr.report.content import ReportContent

PERCEPTUAL = ("lpips", "clipiqa", "musiq", "niqe")
"""Metrics of perception, in the order in which one is chosen for the plane."""

Section = Literal["results", "differences", "factorial", "sweeps", "training"]
"""Of the page, in its order."""


@dataclass(frozen=True)
class ReportFigure:
    """A figure ready to be saved: its drawing, its words, its section of the page."""

    section: Section
    name: str
    title: str
    caption: str
    alternative: str
    figure: Figure
    group: str = ""
    """Within the section; the search, of those in sweeps."""


def shown_endpoints(content: ReportContent) -> list[tuple[str, str]]:
    """The declared endpoints (data set, metric) that were compared, else the first perceptual one.

    A metric of unverified weights comes last among those that nobody declared.
    """
    declared = list(dict.fromkeys((c.dataset, c.metric) for c in content.comparisons if c.primary))
    if declared:
        return declared
    found = {(c.dataset, c.metric) for c in content.comparisons if c.delta is not None}
    metrics = sorted((*PERCEPTUAL, "psnr", "ssim"), key=content.unverified)
    order = [(d.name, metric) for metric in metrics for d in content.datasets]
    return [endpoint for endpoint in order if endpoint in found][:1]
