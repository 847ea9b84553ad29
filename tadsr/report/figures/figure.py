"""What a figure of the report is, and what several figures share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from matplotlib.figure import Figure

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
