"""Means over less than the others of their column: marked where they stand, and not ranked.

A metric may not be defined on some image of one model (NIQE without texture, PSNR of an image that
equals its reference), and a metric's weights may have been there for some seeds alone. Such a mean
is easier or harder than the others by what it leaves out.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tadsr.config import MetricSpec
from tadsr.report.content import ReportContent
from tadsr.report.wording import count

PART = "§"
"""At each mean over less than the others of its column."""


def lack(content: ReportContent, dataset: str, upscaler: str, metric: str) -> str:
    """What a mean is over, where that is less than it should be: `13 of 14 images`; else empty."""
    mean = content.means.get((dataset, upscaler, metric))
    if mean is None:
        return ""
    images = content.most_images[dataset, metric]
    seeds = sum(cell.status == "done" for cell in content.cells_of(upscaler))
    found = [f"{mean.n_images} of {count(images, 'image')}"] if mean.n_images < images else []
    found += [f"{mean.n_seeds} of {count(seeds, 'seed')}"] if mean.n_seeds < seeds else []
    return ", ".join(found)


def part_notes(
    content: ReportContent, dataset: str, upscalers: Iterable[str], metrics: Sequence[MetricSpec]
) -> list[str]:
    """What the marks mean, and which columns are over fewer images than the test set has."""
    lacks = [
        f"{upscaler} in {metric.title} ({words})"
        for upscaler in upscalers
        for metric in metrics
        if (words := lack(content, dataset, upscaler, metric.id))
    ]
    notes = [f"{PART} Mean over fewer images or seeds than the others of its column, therefore not "
             f"ranked: {', '.join(lacks)}."] if lacks else []  # fmt: skip
    whole = content.dataset(dataset).n_images
    for metric in metrics:
        images = content.most_images.get((dataset, metric.id), 0)
        if 0 < images < whole:
            notes.append(
                f"{metric.title}: over {images} of {count(whole, 'image')}; the others have no "
                "score in any row."
            )
    return notes
