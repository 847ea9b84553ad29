"""Compiling LaTeX in tests, where there is a pdflatex."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

needs_latex = pytest.mark.skipif(
    shutil.which("pdflatex") is None, reason="no pdflatex here (Debian: texlive-latex-recommended)"
)


def document(*bodies: str) -> str:
    """A one-column article with the packages that tables and figures need."""
    start = ("\\documentclass{article}\n\\usepackage{array,booktabs,graphicx,longtable}\n"
             "\\begin{document}\n")  # fmt: skip
    return start + "\n".join(bodies) + "\n\\end{document}\n"


def compile_latex(path: Path, times: int = 1) -> str:
    """Compile a file where it lies; the log. An error of LaTeX fails the test."""
    for _ in range(times):
        command = ["pdflatex", "-halt-on-error", "-interaction=nonstopmode", path.name]
        done = subprocess.run(command, cwd=path.parent, capture_output=True, check=False)
        log = path.with_suffix(".log").read_text(errors="replace")
        assert done.returncode == 0, log[-3000:]
    return log


def too_wide(log: str) -> list[float]:
    """By how many points boxes stick out of the line."""
    return [float(found) for found in re.findall(r"Overfull \\hbox \(([\d.]+)pt", log)]
