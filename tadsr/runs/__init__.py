"""Where a recipe was carried out: run folders, run cards, curves and progress."""

from tadsr.runs.curves import Curves, read_curves
from tadsr.runs.folder import Run
from tadsr.runs.progress import Progress

__all__ = ["Curves", "Progress", "Run", "read_curves"]
