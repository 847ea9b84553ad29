"""Visual comparison: the same window from every upscaler, chosen by rule and not by eye."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from matplotlib import get_data_path
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from tadsr.config.base import SCALE
from tadsr.files import atomic_path
from tadsr.report.content import ReportContent
from tadsr.report.reading import Dataset
from tadsr.report.wording import caption

RGB8 = NDArray[np.uint8]

WINDOW = 96
"""Side of a window in HR pixels."""
PANEL = 192
"""Side of a panel in the PNG file, in pixels."""
LUMA = np.array([0.299, 0.587, 0.114])


@dataclass(frozen=True)
class Panel:
    """One window of one upscaler's answer: its name, its pixels, its scores on the whole image."""

    name: str
    pixels: RGB8
    scores: tuple[str, ...]


@dataclass(frozen=True)
class GridRow:
    """All panels of one image; `window` is (top, left, height, width) in HR pixels."""

    image: str
    window: tuple[int, int, int, int]
    panels: tuple[Panel, ...]


@dataclass(frozen=True)
class Grid:
    """The visual comparison of one test set."""

    dataset: str
    caption: str
    rows: tuple[GridRow, ...]


def choose_window(image: RGB8, size: int, step: int = SCALE) -> tuple[int, int, int, int]:
    """The window of side `size` with the largest variance of luminance, on a grid of `step`.

    image: (H, W, 3). Returns (top, left, height, width), all multiples of `step` where the image
    allows; the first in reading order among equals. Depends on this image alone.
    """
    luma = image.astype(np.float64) @ LUMA
    height, width = (min(size, side) for side in luma.shape)
    area = height * width

    def window_sums(values: NDArray[np.float64]) -> NDArray[np.float64]:
        total = np.pad(values.cumsum(0).cumsum(1), ((1, 0), (1, 0)))
        sums = total[height:, width:] - total[:-height, width:]
        sums = sums - total[height:, :-width] + total[:-height, :-width]
        return np.asarray(sums[::step, ::step])

    centred = luma - luma.mean()
    variance = window_sums(centred**2) / area - (window_sums(centred) / area) ** 2
    top, left = np.unravel_index(int(np.argmax(variance.round(6))), variance.shape)
    return int(top) * step, int(left) * step, height, width


def build_grids(content: ReportContent) -> list[Grid]:
    """One grid per test set that has images on disk."""
    grids: list[Grid] = []
    if content.experiment.evaluation.visual_images == 0:
        return grids
    for dataset in content.datasets:
        upscalers = _upscalers(content)
        names = _shared_images(content.root, dataset.name, [folder for _, folder, _ in upscalers])
        chosen = _spaced(names, content.experiment.evaluation.visual_images)
        rows = tuple(_row(content, dataset, name, upscalers) for name in chosen)
        if rows:
            source = "the HR image" if dataset.has_reference else "the LR image"
            words = caption("figures", "grid", window=WINDOW, source=source)
            grids.append(Grid(dataset.name, words, rows))
    return grids


def _upscalers(content: ReportContent) -> list[tuple[str, str, int]]:
    """(name shown, folder below evaluations/, seed); a variant by its first seed that is done."""
    found = [(name, name, -1) for name in content.baselines]
    for variant in content.variants:
        done = [cell for cell in content.cells_of(variant) if cell.status == "done"]
        found += [(variant, cell.name, cell.seed) for cell in done[:1]]
    return found


def _shared_images(root: Path, dataset: str, folders: Sequence[str]) -> list[str]:
    """Names (without suffix) of the images that every upscaler saved; of LR alone if none did."""
    saved = [
        {path.stem for path in (root / "evaluations" / folder / dataset).glob("*.png")}
        for folder in folders
    ]
    stored = {path.stem for path in (root / "data" / dataset / "lr").glob("*.png")}
    found = [names & stored for names in saved if names & stored]
    return sorted(set.intersection(*found)) if found else []


def _spaced(names: Sequence[str], amount: int) -> list[str]:
    """`amount` of `names`, evenly spaced from the first to the last."""
    if len(names) <= amount:
        return list(names)
    places = np.linspace(0, len(names) - 1, amount).round().astype(int)
    return [names[place] for place in places]


def _row(
    content: ReportContent, dataset: Dataset, image: str, upscalers: Sequence[tuple[str, str, int]]
) -> GridRow:
    stored = content.root / "data" / dataset.name
    lr = _read(stored / "lr" / f"{image}.png")
    hr_path = stored / "hr" / f"{image}.png"
    hr = _read(hr_path) if dataset.has_reference and hr_path.is_file() else None
    scale = content.experiment.data.scale
    enlarged = lr.repeat(scale, axis=0).repeat(scale, axis=1)
    window = choose_window(enlarged if hr is None else hr, WINDOW)
    panels = [Panel("LR", _cut(enlarged, window), ("input",))]
    for name, folder, seed in upscalers:
        path = content.root / "evaluations" / folder / dataset.name / f"{image}.png"
        if path.is_file():
            scores = _scores(content, dataset.name, name, seed, image)
            panels.append(Panel(name, _cut(_read(path), window), scores))
    if hr is not None:
        panels.append(Panel("HR", _cut(hr, window), ("reference",)))
    return GridRow(image, window, tuple(panels))


def _read(path: Path) -> RGB8:
    """An 8-bit PNG of our own writing: Pillow alone will do, and spares the import of torch."""
    with Image.open(path) as picture:
        return np.asarray(picture.convert("RGB"))


def _cut(image: RGB8, window: tuple[int, int, int, int]) -> RGB8:
    top, left, height, width = window
    return image[top : top + height, left : left + width]


def _scores(
    content: ReportContent, dataset: str, name: str, seed: int, image: str
) -> tuple[str, ...]:
    """The first two metrics that an image was scored with, distortion before perception.

    Those of unverified weights come last, and their titles say so.
    """
    found: list[str] = []
    for metric in sorted(("psnr", "lpips", "clipiqa", "musiq", "niqe"), key=content.unverified):
        value = content.image_scores.get((name, seed, dataset, image, metric))
        if value is not None and len(found) < 2:
            spec = content.metric(metric)
            found.append(f"{spec.title} {value:.{min(spec.decimals, 3)}f}")
    return tuple(found)


def png_bytes(pixels: RGB8) -> bytes:
    """`pixels` (H, W, 3) as a PNG."""
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, format="PNG", compress_level=6)
    return stream.getvalue()


def save_grid(grid: Grid, folder: Path) -> Path:
    """The grid as one PNG, rows of panels under their names; for papers and slides."""
    gap, head, foot = 8, 24, 22
    columns = max(len(row.panels) for row in grid.rows)
    width = columns * (PANEL + gap) + gap
    height = len(grid.rows) * (head + PANEL + foot + gap) + gap
    sheet = Image.new("RGB", (width, height), "white")
    pen = ImageDraw.Draw(sheet)
    for i, row in enumerate(grid.rows):
        top = gap + i * (head + PANEL + foot + gap)
        for j, panel in enumerate(row.panels):
            left = gap + j * (PANEL + gap)
            title = _fitted(panel.name, 13)
            pen.text((left, top + 4), panel.name, fill="#1f2328", font=title)
            sheet.paste(_enlarged(panel.pixels), (left, top + head))
            below = (left, top + head + PANEL + 4)
            line = " · ".join(panel.scores)
            pen.text(below, line, fill="#6e7781", font=_fitted(line, 11))
    path = folder / f"grid-{grid.dataset}.png"
    with atomic_path(path) as temporary:
        sheet.save(temporary, format="PNG", compress_level=6)
    return path


def _enlarged(pixels: RGB8) -> Image.Image:
    picture = Image.fromarray(pixels)
    scale = PANEL / max(picture.size)
    size = (round(picture.width * scale), round(picture.height * scale))
    return picture.resize(size, Image.Resampling.NEAREST)


@lru_cache(maxsize=16)
def _font(size: int) -> ImageFont.FreeTypeFont:
    path = Path(get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"
    return ImageFont.truetype(str(path), size)


def _fitted(text: str, size: int) -> ImageFont.FreeTypeFont:
    """The font at `size`, or smaller until `text` is no wider than a panel."""
    while size > 7 and _font(size).getlength(text) > PANEL:
        size -= 1
    return _font(size)
