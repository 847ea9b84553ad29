"""Visual grids as PNG files, for papers and slides: the windows, and the maps of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np
from matplotlib import get_data_path
from PIL import Image, ImageDraw, ImageFont

from tadsr.files import atomic_path
from tadsr.report.grid_maps import RGB8, colored
from tadsr.report.grids import SPREAD, Grid, Panel

PANEL = 192
"""Side of a panel, in pixels."""
COLUMNS = 8
"""Panels side by side; of more, the rest goes on below."""
GAP, TITLE, HEAD, FOOT, BAR = 8, 26, 22, 20, 14
TEXT, FAINT = "#1f2328", "#6e7781"

Line = tuple[str, Sequence[Panel]]
"""A heading and the panels under it."""


def save_sheets(grid: Grid, folder: Path) -> list[Path]:
    """Write grid-<data set>.png, and maps-<data set>.png if there are maps."""
    panels = [(_heading(row.image, row.note), row.panels) for row in grid.rows]
    paths = [_save(_sheet(panels, 0), folder / f"grid-{grid.dataset}.png")]
    bars = _bars(grid)
    if bars:
        sheet = _sheet(_map_lines(grid), len(bars) * (BAR + HEAD + GAP))
        _draw_bars(sheet, bars)
        paths.append(_save(sheet, folder / f"maps-{grid.dataset}.png"))
    return paths


def _map_lines(grid: Grid) -> list[Line]:
    """The maps image by image; without HR, where an image has one map alone, all in one line."""
    if not any(row.maps for row in grid.rows):
        spreads = [replace(row.spread, name=row.image) for row in grid.rows if row.spread]
        return [(SPREAD, spreads)]
    return [
        (_heading(row.image, row.note), (*row.maps, *([row.spread] if row.spread else [])))
        for row in grid.rows
    ]


def _heading(image: str, note: str) -> str:
    return f"{image}: {note}" if note else image


def _save(sheet: Image.Image, path: Path) -> Path:
    with atomic_path(path) as temporary:
        sheet.save(temporary, format="PNG", compress_level=6)
    return path


def _sheet(lines: Sequence[Line], below: int) -> Image.Image:
    """All lines under each other, with `below` free pixels at the end."""
    most = max(len(panels) for _, panels in lines)
    columns = -(-most // -(-most // COLUMNS))  # rows of panels of about one length
    block = HEAD + PANEL + FOOT + GAP
    heights = [TITLE + -(-len(panels) // columns) * block for _, panels in lines]
    width = columns * (PANEL + GAP) + GAP
    sheet = Image.new("RGB", (width, sum(heights) + GAP + below), "white")
    pen = ImageDraw.Draw(sheet)
    top = GAP
    for (heading, panels), height in zip(lines, heights, strict=True):
        pen.text((GAP, top + 4), heading, fill=TEXT, font=_fitted(heading, 15, width - 2 * GAP))
        for i, panel in enumerate(panels):
            left = GAP + i % columns * (PANEL + GAP)
            _draw_panel(sheet, pen, panel, left, top + TITLE + i // columns * block)
        top += height
    return sheet


def _draw_panel(
    sheet: Image.Image, pen: ImageDraw.ImageDraw, panel: Panel, left: int, top: int
) -> None:
    pen.text((left, top + 3), panel.name, fill=TEXT, font=_fitted(panel.name, 13, PANEL))
    sheet.paste(_enlarged(panel.pixels), (left, top + HEAD))
    line = " · ".join(panel.scores)
    pen.text((left, top + HEAD + PANEL + 3), line, fill=FAINT, font=_fitted(line, 11, PANEL))


def _bars(grid: Grid) -> list[tuple[str, int]]:
    """The colour bars that the maps need: their words and their last levels."""
    bars = []
    if any(row.maps for row in grid.rows):
        bars.append(("|SR − HR|", grid.scales.difference))
    if any(row.spread for row in grid.rows):
        bars.append((SPREAD, grid.scales.spread))
    return bars


def _draw_bars(sheet: Image.Image, bars: Sequence[tuple[str, int]]) -> None:
    """At the bottom left, each under its words."""
    pen = ImageDraw.Draw(sheet)
    width = min(sheet.width - 2 * GAP, 2 * PANEL + GAP)
    ramp = np.broadcast_to(np.linspace(0.0, 1.0, width), (BAR, width))
    top = sheet.height - len(bars) * (BAR + HEAD + GAP)
    for words, last in bars:
        line = f"{words}: 0 to {last} levels of 255, or more"
        pen.text((GAP, top + 2), line, fill=TEXT, font=_fitted(line, 12, width))
        sheet.paste(Image.fromarray(colored(ramp, 1)), (GAP, top + HEAD))
        top += BAR + HEAD + GAP


def _enlarged(pixels: RGB8) -> Image.Image:
    picture = Image.fromarray(pixels)
    scale = PANEL / max(picture.size)
    size = (round(picture.width * scale), round(picture.height * scale))
    return picture.resize(size, Image.Resampling.NEAREST)


@lru_cache(maxsize=16)
def _font(size: int) -> ImageFont.FreeTypeFont:
    path = Path(get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"
    return ImageFont.truetype(str(path), size)


def _fitted(text: str, size: int, width: int) -> ImageFont.FreeTypeFont:
    """The font at `size`, or smaller until `text` is no wider than `width`."""
    while size > 7 and _font(size).getlength(text) > width:
        size -= 1
    return _font(size)
