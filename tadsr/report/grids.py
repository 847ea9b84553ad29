"""Visual comparison: the same window from every upscaler, chosen by rule and not by eye."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tadsr.config.base import SCALE
from tadsr.report.content import ReportContent
from tadsr.report.grid_maps import RGB8, Levels, RowSource, Scales, colored, shared_scales
from tadsr.report.images import ImageSet, Source, choose, image_sets
from tadsr.report.wording import caption, count

WINDOW = 96
"""Side of a window in HR pixels."""
SPREAD = "spread over seeds"
"""Name of the map of seeds."""
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
    note: str = ""
    """Why this image was chosen, with its value."""
    maps: tuple[Panel, ...] = ()
    """|SR - HR| of each upscaler, coloured on the grid's scale; none without HR."""
    spread: Panel | None = None
    """Standard deviation over the seeds of the reference variant; None with one seed."""


@dataclass(frozen=True)
class Grid:
    """The visual comparison of one test set."""

    dataset: str
    caption: str
    rows: tuple[GridRow, ...]
    maps_caption: str = ""
    """Of `maps` and `spread`."""
    scales: Scales = field(default_factory=Scales)


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
    """One grid per test set that has images on disk, its rows chosen as the page's images are."""
    grids: list[Grid] = []
    for entry in image_sets(content):
        dataset = content.dataset(entry.dataset)
        upscalers = [source for source in entry.sources if source.seed is not None]
        names = _shared_images(entry)
        deltas = {name: entry.deltas[name] for name in names if name in entry.deltas}
        chosen = choose(names, deltas, content.experiment.evaluation.visual_images)
        sources = [_row_source(content, entry, name, upscalers) for name in chosen]
        scales = shared_scales(sources)
        rows = tuple(
            _row(content, entry, source, scales, _note(content, entry, deltas, source.image))
            for source in sources
        )
        if rows:
            words = caption(
                "figures",
                "grid",
                window=WINDOW,
                choice=_rule(content, entry, deltas),
                source="the HR image" if dataset.has_reference else "the LR image",
            )
            grids.append(
                Grid(dataset.name, words, rows, _maps_words(content, rows, scales), scales)
            )
    return grids


def _shared_images(entry: ImageSet) -> list[str]:
    """Names (without suffix) of the images that LR and every upscaler have."""
    sets = [source.images for source in entry.sources if source.name != "HR"]
    given = any(source.name == "LR" for source in entry.sources)
    return sorted(frozenset.intersection(*sets)) if given and len(sets) > 1 else []


def _rule(content: ReportContent, entry: ImageSet, deltas: Mapping[str, float]) -> str:
    """By what the images were chosen, in words."""
    if entry.metric is None or not deltas:
        return "images evenly spaced in the alphabetical list"
    return (
        f"the images where {content.reference} is best, worst and in the median against "
        f"{entry.baseline} by {entry.metric.title} (mean over seeds), then evenly spaced ranks"
    )


def _note(content: ReportContent, entry: ImageSet, deltas: Mapping[str, float], image: str) -> str:
    """Why an image is shown: its rank among the deltas, and its delta."""
    if entry.metric is None or image not in deltas:
        return ""
    ranked = sorted(deltas, key=lambda name: (-deltas[name], name))
    place, last = ranked.index(image), len(ranked) - 1
    words = {last // 2: "median", last: "worst", 0: "best"}  # of few images, the later ones
    rank = words.get(place, f"rank {place + 1}") + f" of {len(ranked)}"
    side = "better" if deltas[image] >= 0 else "worse"
    return (
        f"{rank}: {content.reference} {side} than {entry.baseline} by "
        f"{abs(deltas[image]):.{entry.metric.decimals}f} in {entry.metric.title}"
    )


def _row_source(
    content: ReportContent, entry: ImageSet, image: str, upscalers: Sequence[Source]
) -> RowSource:
    """The windows of one image before they are coloured."""
    stored = content.root / "data" / entry.dataset
    lr = _read(stored / "lr" / f"{image}.png")
    hr_path = stored / "hr" / f"{image}.png"
    has_hr = content.dataset(entry.dataset).has_reference and hr_path.is_file()
    hr = _read(hr_path) if has_hr else None
    scale = content.experiment.data.scale
    enlarged = lr.repeat(scale, axis=0).repeat(scale, axis=1)
    window = choose_window(enlarged if hr is None else hr, WINDOW)

    def cut(folder: str) -> RGB8:
        return _cut(_read(content.root / folder / f"{image}.png"), window)

    done = [c for c in content.cells_of(content.reference) if c.status == "done"]
    folders = [f"evaluations/{cell.name}/{entry.dataset}" for cell in done]
    seeds = [cut(f) for f in folders if (content.root / f / f"{image}.png").is_file()]
    return RowSource(
        image, window, _cut(enlarged, window), None if hr is None else _cut(hr, window),
        {source: cut(source.folder) for source in upscalers}, tuple(seeds),
    )  # fmt: skip


def _row(
    content: ReportContent, entry: ImageSet, source: RowSource, scales: Scales, note: str
) -> GridRow:
    panels = [Panel("LR", source.lr, ("input",))]
    maps = []
    for upscaler, pixels in source.answers.items():
        seed = -1 if upscaler.seed is None else upscaler.seed
        scores = _scores(content, entry.dataset, upscaler.name, seed, source.image)
        panels.append(Panel(upscaler.name, pixels, scores))
    if source.hr is not None:
        panels.append(Panel("HR", source.hr, ("reference",)))
    for name, levels in source.differences().items():
        maps.append(_map(name, levels, scales.difference))
    deviation = source.spread()
    spread = None if deviation is None else _map(SPREAD, deviation, scales.spread)
    return GridRow(source.image, source.window, tuple(panels), note, tuple(maps), spread)


def _map(name: str, levels: Levels, top: int) -> Panel:
    return Panel(name, colored(levels, top), (f"mean {levels.mean():.1f}",))


def _maps_words(content: ReportContent, rows: Sequence[GridRow], scales: Scales) -> str:
    """What the maps' colours mean."""
    words = []
    if any(row.maps for row in rows):
        words.append(caption("figures", "grid-difference", top=scales.difference))
    if any(row.spread for row in rows):
        done = sum(cell.status == "done" for cell in content.cells_of(content.reference))
        words.append(
            caption(
                "figures",
                "grid-spread",
                top=scales.spread,
                reference=content.reference,
                seeds=count(done, "seed"),
            )
        )
    return " ".join(words)


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
