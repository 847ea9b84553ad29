"""Whole images of the report: which there are, which are chosen for the page, and where they lie.

The page carries a few of them, chosen by rule. All of them lie in `report/images/`, in the same
folders as below the results folder, so that the page can load them by relative addresses.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tadsr.config import MetricSpec
from tadsr.files import atomic_path
from tadsr.plan.artefacts import IMAGES
from tadsr.report.content import ReportContent
from tadsr.report.reading import Dataset

CHOSEN = 12
"""Images per test set that the page may carry."""
SHOWN = 8
"""Up to so many upscalers are all shown on the page itself; of more, those of `_shown`."""
FALLBACK = ("lpips", "clipiqa", "musiq", "niqe", "psnr", "ssim")
"""The metric images are chosen by where no endpoint is declared, in order of preference."""


@dataclass(frozen=True)
class Source:
    """Where one column of images comes from: LR, HR, or an upscaler's answers."""

    name: str
    label: str
    folder: str
    """Of its images, relative to the results folder and to `report/images`."""
    seed: int | None
    """Of a student; -1 for other upscalers; None for LR and HR, which have no scores."""
    images: frozenset[str]


@dataclass(frozen=True)
class ImageSet:
    """All images of one test set."""

    dataset: str
    images: tuple[str, ...]
    sources: tuple[Source, ...]
    metric: MetricSpec | None
    """What the chosen images were chosen by; None where nothing was scored."""
    baseline: str
    """The first upscaler beside the students; empty where there is none."""
    deltas: Mapping[str, float]
    """By image: mean over seeds of reference minus baseline, positive where the reference is
    better; without images that lack a score."""
    chosen: tuple[str, ...]
    """Images for the page, the most telling first."""
    shown: tuple[str, ...]
    """Names of the sources for the page."""


def image_sets(content: ReportContent) -> list[ImageSet]:
    """One entry per test set that has images on disk; none where none may be shown."""
    if content.experiment.evaluation.visual_images == 0:
        return []
    found = (_image_set(content, dataset) for dataset in content.datasets)
    return [entry for entry in found if entry.images]


def _image_set(content: ReportContent, dataset: Dataset) -> ImageSet:
    sources = _sources(content, dataset)
    upscaled = [source.images for source in sources if source.seed is not None]
    images = tuple(sorted(frozenset().union(*upscaled)))
    baseline = next((s.name for s in sources if s.name in content.baselines), "")
    metric = _metric(content, dataset.name, baseline)
    deltas = _deltas(content, dataset.name, metric, baseline, images) if metric else {}
    shown = _shown(content, dataset.name, metric, [s.name for s in sources if s.seed is not None])
    given = [source.name for source in sources if source.seed is None]
    return ImageSet(
        dataset.name, images, tuple(sources), metric, baseline, deltas,
        chosen=choose(images, deltas, CHOSEN), shown=(*given, *shown),
    )  # fmt: skip


def _sources(content: ReportContent, dataset: Dataset) -> list[Source]:
    """LR, HR, the upscalers beside the students, each variant by its first seed that is done."""
    stored = f"data/{dataset.name}"
    found: list[tuple[str, str, str, int | None]] = [("LR", "LR (input)", f"{stored}/lr", None)]
    if dataset.has_reference:
        found.append(("HR", "HR (reference)", f"{stored}/hr", None))
    found += [(name, name, f"evaluations/{name}/{dataset.name}", -1) for name in content.baselines]
    for variant in content.variants:
        for cell in [c for c in content.cells_of(variant) if c.status == "done"][:1]:
            label = f"{variant} (seed {cell.seed})"
            found.append((variant, label, f"evaluations/{cell.name}/{dataset.name}", cell.seed))
    sources = [
        Source(name, label, folder, seed,
               frozenset(path.stem for path in (content.root / folder).glob("*.png")))
        for name, label, folder, seed in found
    ]  # fmt: skip
    return [source for source in sources if source.images]


def _metric(content: ReportContent, dataset: str, baseline: str) -> MetricSpec | None:
    """The first declared metric of a test set, else of `FALLBACK`, that both were scored with."""
    declared = [c.metric for c in content.comparisons if c.primary and c.dataset == dataset]
    known = [spec.id for spec in content.metrics]
    others = sorted((m for m in FALLBACK if m in known), key=content.unverified)
    for metric in (*declared, *others):
        names = (baseline, content.reference)
        if all((dataset, name, metric) in content.means for name in names):
            return content.metric(metric)
    return None


def _deltas(
    content: ReportContent, dataset: str, metric: MetricSpec, baseline: str, images: Sequence[str]
) -> dict[str, float]:
    seeds = [c.seed for c in content.cells_of(content.reference) if c.status == "done"]
    sign = 1.0 if metric.higher_is_better else -1.0
    deltas = {}
    for image in images:
        of = (dataset, image, metric.id)
        found = [content.image_scores.get((content.reference, seed, *of)) for seed in seeds]
        values = [value for value in found if value is not None]
        score = content.image_scores.get((baseline, -1, *of))
        if values and score is not None:
            deltas[image] = sign * (float(np.mean(values)) - score)
    return deltas


def choose(images: Sequence[str], deltas: Mapping[str, float], amount: int) -> tuple[str, ...]:
    """Up to `amount` (3 or more) images: best, worst and median delta, then evenly spaced ranks.

    Without deltas the ranks are those of the names. Equal deltas are ordered by name.
    """
    ranked = sorted(deltas, key=lambda name: (-deltas[name], name)) or list(images)
    last = len(ranked) - 1
    if last < 0:
        return ()
    first = [0, last, last // 2]
    spaced = np.linspace(0, last, amount).round().astype(int).tolist()
    places = list(dict.fromkeys([*first, *spaced]))[:amount]
    return tuple(ranked[place] for place in places)


def _shown(
    content: ReportContent, dataset: str, metric: MetricSpec | None, names: Sequence[str]
) -> tuple[str, ...]:
    """All upscalers if they are few; else three baselines, the reference, best and worst variant.

    Best and worst by the mean of the metric that images are chosen by.
    """
    if len(names) <= SHOWN:
        return tuple(names)
    chosen = {*[name for name in names if name in content.baselines][:3], content.reference}
    if metric:
        means = {
            name: content.means[dataset, name, metric.id].mean
            for name in names
            if name in content.variants and name != content.reference
            and (dataset, name, metric.id) in content.means
        }  # fmt: skip
        ranked = sorted(means, key=lambda name: (means[name], name))
        chosen |= {*ranked[:1], *ranked[-1:]}
    return tuple(name for name in names if name in chosen)


def link_images(root: Path, sets: Sequence[ImageSet]) -> None:
    """Make `root`/report/images hold exactly the images of `sets`.

    Hard links where the file system allows, else copies; never symbolic links, which would break
    when the report's folder is passed on.
    """
    folder = root / "report" / IMAGES
    wanted = {
        f"{source.folder}/{image}.png"
        for entry in sets for source in entry.sources for image in source.images
    }  # fmt: skip
    _remove_others(folder, wanted)
    for name in sorted(wanted):
        _place((root / name).resolve(), folder / name)


def _remove_others(folder: Path, wanted: set[str]) -> None:
    for path in sorted(folder.rglob("*"), reverse=True):  # what is in a folder before the folder
        if path.is_dir() and not path.is_symlink():
            if not any(path.iterdir()):
                path.rmdir()
        elif path.relative_to(folder).as_posix() not in wanted:
            path.unlink()


def _place(source: Path, target: Path) -> None:
    if target.is_file() and not target.is_symlink() and _same(source, target):
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    target.unlink(missing_ok=True)
    try:
        os.link(source, target)
    except OSError:  # another file system, or one without hard links
        with atomic_path(target) as temporary:
            shutil.copy2(source, temporary)


def _same(source: Path, target: Path) -> bool:
    """Whether `target` is `source`, or a copy that was made of it as it is."""
    one, other = source.stat(), target.stat()
    linked = (one.st_dev, one.st_ino) == (other.st_dev, other.st_ino)
    return linked or (one.st_size, one.st_mtime_ns) == (other.st_size, other.st_mtime_ns)
