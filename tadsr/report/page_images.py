"""Images and per-image scores inside the page: what is carried, within which size, as JSON."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup

from tadsr.report.content import ReportContent
from tadsr.report.images import ImageSet, Source
from tadsr.report.wording import count

PAGE_LIMIT = 45_000_000
"""Bytes of the page; MLflow shows files of up to 50 MB."""
RESERVE = 20_000
"""Bytes per test set for what is written around its images."""


def comparer_data(content: ReportContent, sets: Sequence[ImageSet], room: int) -> Markup:
    """The comparer's data and as many of the chosen images as fit into `room` bytes, as scripts.

    Per test set one element of data and one of images, both inert JSON that the page reads when
    the test set is opened.
    """
    data = [_data(content, entry) for entry in sets]
    room -= sum(len(safe_json(entry)) + RESERVE for entry in data)
    carried = share_room([image_costs(content.root, entry) for entry in sets], room)
    parts = []
    for i, (entry, images) in enumerate(zip(sets, carried, strict=True)):
        data[i]["inside"] = [entry.images.index(image) for image in images]
        data[i]["words"] = described(content, entry, len(images))
        parts += [_script(f"images-data-{i}", data[i]),
                  _script(f"images-files-{i}", _files(content.root, entry, images))]  # fmt: skip
    return Markup("\n").join(parts)


def image_costs(root: Path, entry: ImageSet) -> dict[str, int]:
    """Bytes in the page of each chosen image, from all shown sources, in the order of choice."""
    return {
        image: sum(4 * -(-_size(root, source, image) // 3) + 24 for source in _shown(entry))
        for image in entry.chosen
    }


def _size(root: Path, source: Source, image: str) -> int:
    return _path(root, source, image).stat().st_size if image in source.images else 0


def _path(root: Path, source: Source, image: str) -> Path:
    return root / source.folder / f"{image}.png"


def _shown(entry: ImageSet) -> list[Source]:
    return [source for source in entry.sources if source.name in entry.shown]


def share_room(costs: Sequence[Mapping[str, int]], room: int) -> list[tuple[str, ...]]:
    """The images of each test set that fit into equal shares of `room` bytes.

    What a small test set leaves over is shared by the larger ones. An image that does not fit
    gives way to the next of its test set.
    """
    carried: list[tuple[str, ...]] = [()] * len(costs)
    by_need = sorted(range(len(costs)), key=lambda i: sum(costs[i].values()))
    for place, i in enumerate(by_need):
        share = room // (len(costs) - place)
        taken: list[str] = []
        for image, cost in costs[i].items():
            if cost <= share:
                share -= cost
                room -= cost
                taken.append(image)
        carried[i] = tuple(taken)
    return carried


def described(content: ReportContent, entry: ImageSet, inside: int) -> str:
    """Which images of a test set the page carries, by which rule, and where the others lie."""
    upscalers = [s.name for s in entry.sources if s.seed is not None]
    shown = [name for name in upscalers if name in entry.shown]
    text = "Of each variant the first finished seed is shown. "
    if inside == len(entry.images) and shown == upscalers:
        return text + "All images of this test set are inside this file."
    models = "all models" if shown == upscalers else (
        f"{len(shown)} of {count(len(upscalers), 'model')} ({', '.join(shown)}: the first three "
        "baselines, the reference, the best and the worst variant here)"
    )  # fmt: skip
    text += f"Inside this file are {inside} of {count(len(entry.images), 'image')} from {models}"
    text += f"; {_rule(content, entry)}. " if inside < len(entry.images) else ". "
    if inside < len(entry.chosen):
        text += (
            f"{len(entry.chosen)} were chosen, and the file's limit of "
            f"{PAGE_LIMIT // 1_000_000} MB has room for {inside}. "
        )
    return text + "All others are loaded from the folder images/ beside this page."


def _rule(content: ReportContent, entry: ImageSet) -> str:
    if not entry.metric or not entry.deltas:
        return "chosen evenly spaced in the order of their names, because nothing was scored"
    return (
        f"chosen by the difference of {content.reference} (mean over seeds) to {entry.baseline} in "
        f"{entry.metric.title}: the best, the worst, the median, and others evenly spaced in that "
        "order"
    )


def _data(content: ReportContent, entry: ImageSet) -> dict[str, Any]:
    metrics = [
        spec for spec in content.defined_metrics(entry.dataset)
        if any((entry.dataset, s.name, spec.id) in content.means for s in entry.sources)
    ]  # fmt: skip
    names = [source.name for source in entry.sources]
    return {
        "dataset": entry.dataset,
        "images": entry.images,
        "metrics": [
            {
                "title": spec.title,
                "arrow": spec.arrow,
                "decimals": spec.decimals,
                "higher": spec.higher_is_better,
            }
            for spec in metrics
        ],
        "metric": metrics.index(entry.metric) if entry.metric in metrics else 0,
        "left": names.index(entry.baseline) if entry.baseline else 0,
        "right": names.index(content.reference) if content.reference in names else 0,
        "sources": [
            {
                "label": source.label,
                "folder": source.folder,
                "shown": source.name in entry.shown,
                "lacks": [i for i, im in enumerate(entry.images) if im not in source.images],
                "scores": [_scores(content, entry, source, spec.id) for spec in metrics],
            }
            for source in entry.sources
        ],
    }


def _scores(
    content: ReportContent, entry: ImageSet, source: Source, metric: str
) -> list[float | None]:
    """One per image, in six significant digits; empty for what was not scored at all."""
    if source.seed is None:
        return []
    key = (source.name, source.seed, entry.dataset)
    found = [content.image_scores.get((*key, image, metric)) for image in entry.images]
    if all(value is None for value in found):
        return []
    return [None if value is None else float(f"{value:.6g}") for value in found]


def _files(root: Path, entry: ImageSet, images: Sequence[str]) -> dict[str, str]:
    """Base64 of PNG files by `<index of the source>/<index of the image>`."""
    return {
        f"{k}/{entry.images.index(image)}":
            base64.b64encode(_path(root, source, image).read_bytes()).decode()
        for k, source in enumerate(entry.sources) if source.name in entry.shown
        for image in images if image in source.images
    }  # fmt: skip


def safe_json(value: Any) -> str:
    """Compact JSON that cannot end the element it stands in."""
    text = json.dumps(value, separators=(",", ":"), allow_nan=False)
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def _script(name: str, value: Any) -> Markup:
    return Markup(  # noqa: S704
        f'<script type="application/json" id="{name}">{safe_json(value)}</script>'
    )
