"""The visual grids on the page: panels as addresses, those of a few models where there are many."""

from __future__ import annotations

import base64
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from tadsr.report.content import ReportContent
from tadsr.report.grids import Grid, Panel, png_bytes
from tadsr.report.images import ImageSet
from tadsr.report.page_images import share_room

WINDOWS_LIMIT = 15_000_000
"""Bytes of all windows in the page; whole images share what is left of its limit."""


@dataclass(frozen=True)
class PagePanel:
    """A panel with its pixels as a data address."""

    name: str
    scores: tuple[str, ...]
    address: str
    width: int
    height: int


@dataclass(frozen=True)
class PageRow:
    """The panels of one image."""

    image: str
    window: tuple[int, int, int, int]
    panels: tuple[PagePanel, ...]
    note: str
    maps: tuple[PagePanel, ...]
    """Differences to HR, and the spread over seeds."""

    @property
    def cost(self) -> int:
        """Bytes in the page, nearly."""
        return sum(len(panel.address) for panel in (*self.panels, *self.maps))


@dataclass(frozen=True)
class PageGrid:
    """A grid as the page shows it; `left_out` says what it does not show."""

    dataset: str
    caption: str
    rows: tuple[PageRow, ...]
    left_out: str
    maps_caption: str


def page_windows(
    content: ReportContent, grids: Sequence[Grid], sets: Sequence[ImageSet]
) -> list[PageGrid]:
    """The grids without the models that are not shown on the page, within `WINDOWS_LIMIT`."""
    models = {*content.baselines, *content.variants}
    shown = {entry.dataset: models - set(entry.shown) for entry in sets}
    hidden = [shown.get(grid.dataset, set()) for grid in grids]
    all_rows = [_rows(grid, names) for grid, names in zip(grids, hidden, strict=True)]
    kept = share_room([{row.image: row.cost for row in rows} for rows in all_rows], WINDOWS_LIMIT)
    found = []
    for grid, rows, names, images in zip(grids, all_rows, hidden, kept, strict=True):
        left = tuple(row for row in rows if row.image in images)
        words = _left_out(grid, left, names)
        found.append(PageGrid(grid.dataset, grid.caption, left, words, grid.maps_caption))
    return found


def _rows(grid: Grid, hidden: Collection[str]) -> list[PageRow]:
    return [
        PageRow(
            row.image, row.window,
            tuple(_panel(panel) for panel in row.panels if panel.name not in hidden), row.note,
            tuple(_panel(panel) for panel in (*row.maps, *([row.spread] if row.spread else []))
                  if panel.name not in hidden),
        )
        for row in grid.rows
    ]  # fmt: skip


def _panel(panel: Panel) -> PagePanel:
    height, width = panel.pixels.shape[:2]
    address = "data:image/png;base64," + base64.b64encode(png_bytes(panel.pixels)).decode()
    return PagePanel(panel.name, panel.scores, address, width, height)


def _left_out(grid: Grid, rows: Sequence[PageRow], hidden: Collection[str]) -> str:
    names = {panel.name for row in grid.rows for panel in row.panels} & set(hidden)
    parts = [f"{len(names)} more models"] if names else []
    parts += [f"{len(grid.rows) - len(rows)} more images"] if len(rows) < len(grid.rows) else []
    if not parts:
        return ""
    return f" {' and '.join(parts)} are in figures/grid-{grid.dataset}.png beside the page."
