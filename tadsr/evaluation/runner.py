"""One upscaler on one data set: images and per-image scores, made together and resumable.

The calling thread runs the model; workers write its images, read the references and compute the
metrics meanwhile (`tadsr.evaluation.workers`). Metrics see what the PNG holds: levels rounded to
8 bits, taken from memory where they have just been written.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path
from typing import NamedTuple

import pandas as pd
import torch

from tadsr.config.base import SCALE
from tadsr.config.metrics import MetricSpec
from tadsr.data.dataset import TestImage, load_pairs
from tadsr.data.images import RGB8, read_rgb, write_png
from tadsr.data.manifest import pixel_digest
from tadsr.errors import DataError, listed
from tadsr.evaluation.images import image_path, start_folder, super_resolve
from tadsr.evaluation.journal import DIGITS, JOURNAL, Journal, Known
from tadsr.evaluation.measure import (
    NO_REFERENCE,
    Column,
    MetricLoader,
    Scorer,
    column,
    measure_set,
)
from tadsr.evaluation.scores import write_scores
from tadsr.evaluation.sources import Source, find_source
from tadsr.evaluation.upscalers import Upscaler
from tadsr.evaluation.workers import computing, work_through
from tadsr.metrics.backends import Metric
from tadsr.metrics.card import is_unverified
from tadsr.metrics.sets import SetMetric

Progress = Callable[[int, int], None]
"""Called with (units of work done, units in all)."""


@dataclass(frozen=True)
class EvaluationOutcome:
    """What there is to tell about an evaluation; the scores are in the parquet file."""

    means: dict[str, float]
    """Plain mean over the images, of each metric that has values."""
    missing: dict[str, str]
    """Metric to `reason; command`, of each that has none."""
    unverified: tuple[str, ...] = ()
    """Metrics whose weights are not known to be the official ones."""


def evaluate_dataset(
    upscaler_factory: Callable[[], Upscaler],
    dataset: Path,
    parquet: Path,
    images: Path,
    metrics: Sequence[MetricSpec],
    identity: dict[str, str],
    device: torch.device | str = "cpu",
    progress: Progress | None = None,
    threads: int | None = None,
    scale: int = SCALE,
    workers: int = 1,
    loader: MetricLoader | None = None,
) -> EvaluationOutcome:
    """Bring the images and scores of one upscaler on one data set up to date.

    Every image is rounded to 8 bits and written as `<images>/<image>.png`; its scores are those
    of the file. What is there already is kept where `identity` (names and contents of upscaler
    and data set) agrees: images, and scores of the same pixels by a metric with the same card. So
    weights that come later, or another metric, cost that column only, and the upscaler is not
    even loaded. An evaluation that is killed goes on with the image it was at. Columns that are
    not asked for are dropped.

    `workers` threads share the work; each computes with `threads` threads of torch, on which last
    digits depend, while `workers` changes no bit. `scale` is HR pixels per LR pixel. `loader`
    keeps loaded metrics from one data set to the next.

    Raises:
        DataError: images that failed (a file that cannot be read, NaN from the model, sizes that
            differ), with the reasons. All other images and their scores are written before.
    """
    pairs = load_pairs(dataset)
    start_folder(images, identity)
    journal = Journal(images / JOURNAL, parquet, identity)
    run = _Run(pairs, images, scale, workers, threads or torch.get_num_threads(), journal)
    report = progress or (lambda done, total: None)
    sets = [spec for spec in metrics if spec.per_set]
    units = len(pairs) * (1 + len(sets))
    with computing(threads):
        run.look_at_stored()
        sources = _sources(metrics, run, loader or MetricLoader(device))
        run.work(cache(upscaler_factory), sources, lambda done: report(done, units))
        columns = []
        for spec in metrics:
            if spec.per_set:
                start = len(pairs) * (1 + sets.index(spec))
                step = lambda done, start=start: report(start + done, units)  # noqa: E731
                columns.append(_set_column(sources[spec.id], run, step))
            else:
                columns.append(_column(sources[spec.id], run))
    _write(parquet, columns, identity, run)
    journal.remove()
    report(units, units)
    if run.failed:
        reasons = [f"'{name}': {reason}" for name, reason in run.failed.items()]
        raise DataError(
            f"{dataset}: {len(reasons)} of {len(pairs)} images failed: {listed(reasons)}; the "
            f"scores of the others are in {parquet}"
        )
    return EvaluationOutcome(
        means={column.metric: column.mean for column in columns if column.values},
        missing={column.metric: column.missing for column in columns if column.missing},
        unverified=tuple(c.metric for c in columns if c.values and is_unverified(c.card or {})),
    )


class _Item(NamedTuple):
    """An image to write, if it was just made, and to score."""

    pair: TestImage
    sr: RGB8 | None
    """None: it is stored."""
    wanted: list[str]
    """Keys of the metrics that have no score yet."""
    pixels: int


class _Result(NamedTuple):
    image: str
    digest: str | None
    failed: str | None = None


@dataclass
class _Run:
    """The images of an evaluation, as far as it has come."""

    pairs: list[TestImage]
    images: Path
    scale: int
    workers: int
    threads: int
    journal: Journal
    digests: dict[str, str] = field(default_factory=dict)
    """Of the pixels of each stored image."""
    sizes: dict[str, int] = field(default_factory=dict)
    """Pixels of each image that was there before."""
    failed: dict[str, str] = field(default_factory=dict)
    """Image to reason."""

    def look_at_stored(self) -> None:
        """Digest the images that are there; a damaged one is removed, and so made again."""
        stored = [p for pair in self.pairs if (p := image_path(self.images, pair.name)).is_file()]

        def look(path: Path) -> tuple[str, str, int] | None:
            try:
                pixels = read_rgb(path)
            except DataError:
                path.unlink()
                return None
            return path.stem, _digest(pixels), pixels.shape[0] * pixels.shape[1]

        for found in work_through(stored, look, self.workers, threads=self.threads):
            if found:
                self.digests[found[0]], self.sizes[found[0]] = found[1:]

    def usable(self, spec: MetricSpec) -> list[TestImage]:
        """The images that have what the metric needs."""
        return [pair for pair in self.pairs if pair.hr_path or not spec.needs_hr]

    def known(self, image: str) -> Known | None:
        """The scores that belong to the stored pixels of an image."""
        return self.journal.known(image, self.digests.get(image))

    def complete(self, spec: MetricSpec, key: str) -> bool:
        """Whether every image has its score under this card."""
        found = [self.known(pair.name) for pair in self.usable(spec)]
        return all(known is not None and known.has(key) for known in found)

    def work(
        self,
        upscaler: Callable[[], Upscaler],
        sources: dict[str, Source],
        progress: Callable[[int], None],
    ) -> None:
        """Make the images and scores that are missing."""
        metrics = {s.key: s.metric for s in sources.values() if isinstance(s.metric, Metric)}
        self.journal.declare(metric.card.to_dict() for metric in metrics.values())
        specs = {key: metric.spec for key, metric in metrics.items()}
        scorer = Scorer(metrics)
        items = self._items(upscaler, specs)
        results = work_through(
            items, lambda item: self._finish(item, scorer), self.workers,
            threads=self.threads, pixels=lambda item: item.pixels,
        )  # fmt: skip
        failed: dict[str, str] = {}
        progress(0)
        for done, result in enumerate(results, start=1):
            progress(done)
            if result.failed:
                failed[result.image] = result.failed
            if result.digest:
                self.digests[result.image] = result.digest
        failed |= self.failed
        self.failed = {p.name: failed[p.name] for p in self.pairs if p.name in failed}

    def _items(
        self, upscaler: Callable[[], Upscaler], specs: dict[str, MetricSpec]
    ) -> Iterator[_Item]:
        """In the calling thread: what is missing, an image at a time."""
        for pair in self.pairs:
            known = self.known(pair.name)
            wanted = [key for key, spec in specs.items()
                      if (pair.hr_path or not spec.needs_hr)
                      and not (known and known.has(key))]  # fmt: skip
            if pair.name in self.digests:
                yield _Item(pair, None, wanted, self.sizes[pair.name])
                continue
            try:
                sr = super_resolve(upscaler(), pair, self.scale)
            except DataError as error:
                self.failed[pair.name] = str(error)
            else:
                yield _Item(pair, sr, wanted, sr.shape[0] * sr.shape[1])

    def _finish(self, item: _Item, scorer: Scorer) -> _Result:
        """In any thread: write, read the reference, score, note."""
        name, path = item.pair.name, image_path(self.images, item.pair.name)
        sr = item.sr
        if sr is None and not item.wanted:
            return _Result(name, None)
        if sr is not None:
            write_png(path, sr)
        digest = None
        try:
            sr = read_rgb(path) if sr is None else sr
            digest = _digest(sr)
            pair = item.pair
            values, skipped = scorer.score(sr, pair.hr_path, item.wanted, path, pair.lr_path)
        except DataError as error:
            return _Result(name, digest, str(error))
        self.journal.add(name, Known(digest, values, skipped))
        return _Result(name, digest)


def _digest(pixels: RGB8) -> str:
    return pixel_digest(pixels)[:DIGITS]


def _sources(metrics: Sequence[MetricSpec], run: _Run, loader: MetricLoader) -> dict[str, Source]:
    """Where each column comes from; a metric that no image has the reference for is not loaded."""
    sources = {}
    for spec in metrics:
        if not run.usable(spec):
            reason = NO_REFERENCE if run.pairs else "there is no image to measure"
            sources[spec.id] = Source(spec, missing=reason)
            continue
        complete = partial(_set_known if spec.per_set else _Run.complete, run, spec)
        sources[spec.id] = find_source(spec, loader(spec), run.journal, complete)
    return sources


def _set_known(run: _Run, spec: MetricSpec, key: str) -> bool:
    """Whether the value of a metric of whole sets is known, of these very images."""
    same = run.journal.set_pixels == run.digests and len(run.digests) == len(run.pairs)
    return key in run.journal.sets and same


def _column(source: Source, run: _Run) -> Column:
    """The scores of all images that did not fail, in the order of the data set."""
    if source.missing or source.card is None:
        return Column(source.spec.id, missing=source.missing)
    values: dict[str, float] = {}
    skipped: dict[str, str] = {}
    for pair in run.usable(source.spec):
        known = None if pair.name in run.failed else run.known(pair.name)
        if known and source.key in known.values:
            values[pair.name] = known.values[source.key]
        elif known and source.key in known.skipped:
            skipped[pair.name] = known.skipped[source.key]
    return column(source.spec, values, source.card, skipped)


def _set_column(source: Source, run: _Run, progress: Callable[[int], None]) -> Column:
    """The one value of a whole set."""
    if source.missing:
        return Column(source.spec.id, missing=source.missing)
    if not isinstance(source.metric, SetMetric):
        value = run.journal.sets[source.key]
        return Column(source.spec.id, {"": value}, source.card)
    pairs = [pair for pair in run.usable(source.spec) if pair.name not in run.failed]
    images = [image_path(run.images, pair.name) for pair in pairs]
    references = [pair.hr_path for pair in pairs if pair.hr_path]
    needed = references if source.spec.needs_hr else None
    return measure_set(source.metric, images, needed, progress)


def _write(parquet: Path, columns: list[Column], identity: dict[str, str], run: _Run) -> None:
    rows = [(image, c.metric, value) for c in columns for image, value in c.values.items()]
    pixels = {p.name: run.digests[p.name] for p in run.pairs if p.name not in run.failed}
    meta = {
        **identity,
        "pixels": pixels,
        "cards": {c.metric: c.card for c in columns if c.values},
        "missing": {c.metric: c.missing for c in columns if c.missing},
        "skipped": {c.metric: c.skipped for c in columns if c.skipped},
        "failed": run.failed,
    }
    write_scores(parquet, pd.DataFrame(rows, columns=["image", "metric", "value"]), meta)
