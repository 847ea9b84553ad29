"""How every figure looks and is saved: style, colours, markers, and files of stable bytes."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import matplotlib
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_pdf import FigureCanvasPdf
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from tadsr.files import atomic_path
from tadsr.report.wording import TEMPLATES

INK, MUTED, RULE, PAPER = "#1f2328", "#6e7781", "#d8dee4", "#ffffff"

# Okabe and Ito's colour-blind-safe palette (without its yellow, too pale on white); the page's
# style sheet has lighter counterparts (--s0 ...) for dark mode.
PALETTE = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#7f6000")
MARKERS = ("o", "s", "^", "D", "v", "P", "h", "<", ">")
DASHES = ("-", "--", "-.", ":")
BASELINE_MARKERS = ("X", "*", "p", "8", "d")
ONE_COLUMN, TWO_COLUMNS = 3.3, 6.9
"""Widths of a paper's figures (inches): of one column, and of both."""
PNG_DPI = 300
PAGE_SCALE = 1.5
"""How much larger than in print a figure may get on the page."""


@dataclass(frozen=True)
class Look:
    """Colour, marker and dash of one series: no two series share both colour and marker."""

    color: str
    marker: str
    dash: str = "-"


def looks(variants: Sequence[str], baselines: Sequence[str] = ()) -> dict[str, Look]:
    """One look per name, the same in every figure of a report; baselines are grey."""
    found = {
        name: Look(MUTED, BASELINE_MARKERS[i % len(BASELINE_MARKERS)])
        for i, name in enumerate(baselines)
    }
    for i, name in enumerate(variants):
        found[name] = Look(
            PALETTE[i % len(PALETTE)], MARKERS[i % len(MARKERS)], DASHES[i % len(DASHES)]
        )
    return found


@contextmanager
def style() -> Iterator[None]:
    """Matplotlib with our style file alone, whatever the user's matplotlibrc says."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rc_file(TEMPLATES / "style.mplstyle", use_default_template=False)
        yield


def stamp(ax: Axes, text: str) -> None:
    """Write `text` across the whole of `ax`, over what is drawn, so that no crop is without it."""
    ax.text(
        0.5, 0.5, text, transform=ax.transAxes, ha="center", va="center", rotation=20,
        fontsize=20, color=MUTED, alpha=0.45, zorder=10,
    )  # fmt: skip


def new_figure(width: float, height: float) -> Figure:
    """An empty figure (inches) that no global state knows of."""
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def save(
    figure: Figure, folder: Path, name: str, formats: Sequence[str] = ("svg", "png")
) -> list[Path]:
    """Write `name` in each of `formats` (svg, pdf, png).

    Equal figures give equal bytes: no dates, no versions. PDF is asked for by what goes into a
    LaTeX document alone: to cut its fonts down takes as long as drawing does.
    """
    with style():
        figure.draw_without_rendering()
        figure.set_layout_engine("none")  # laid out once, equally for all files
    paths = []
    for suffix in formats:
        path = folder / f"{name}.{suffix}"
        with style(), atomic_path(path) as temporary:
            _print(figure, temporary, suffix)
        paths.append(path)
    return paths


def _print(figure: Figure, path: Path, suffix: str) -> None:
    """As `savefig` would, but without its drawing everything once more to lay it out."""
    figure.set_facecolor(PAPER if suffix == "png" else "none")
    if suffix == "svg":
        FigureCanvasSVG(figure).print_svg(path, metadata={"Date": None, "Creator": "tadsr"})
    elif suffix == "pdf":
        nameless = {"CreationDate": None, "Creator": "tadsr", "Producer": "tadsr"}
        FigureCanvasPdf(figure).print_pdf(path, metadata=nameless)
    else:
        figure.set_dpi(PNG_DPI)
        FigureCanvasAgg(figure).print_png(path, metadata={"Software": "tadsr"})


def inline_svg(text: str, name: str, label: str) -> str:
    """A saved SVG file's `text` as an `svg` element for a page that may be dark.

    Colours become CSS variables (`--ink`, `--s0`, ...), and ids get `name` as a prefix because a
    page holds several figures. `label` is the text alternative and must be escaped already.
    """
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r'\bid="', f'id="{name}-', text)
    text = re.sub(r'(href="#|url\(#)', rf"\g<1>{name}-", text)
    colors = {INK: "ink", MUTED: "muted", RULE: "rule", PAPER: "paper"}
    colors |= {color: f"s{i}" for i, color in enumerate(PALETTE)}
    for color, variable in colors.items():
        text = text.replace(color, f"var(--{variable})")
    width, height = re.findall(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', text)[0]
    widest = float(width) * 96 / 72 * PAGE_SCALE
    opening = (
        f'<svg role="img" aria-label="{label}" viewBox="0 0 {width} {height}" '
        f'style="max-width: {widest:.0f}px">'
    )
    return opening + text[text.index(">") + 1 :]
