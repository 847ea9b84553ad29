"""One upscaler on one data set: images first, then per-image scores. Resumable at any point."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

import pandas as pd
import torch

from tadsr.config.base import SCALE
from tadsr.config.metrics import MetricSpec
from tadsr.data.dataset import load_pairs
from tadsr.data.images import read_rgb
from tadsr.data.manifest import pixel_digest
from tadsr.errors import DataError, TadsrError
from tadsr.evaluation.images import image_path, super_resolve
from tadsr.evaluation.measure import NO_REFERENCE, Column, NamedPair, applicable, measure
from tadsr.evaluation.scores import read_scores, read_seconds, write_scores
from tadsr.evaluation.upscalers import Upscaler
from tadsr.files import digest_json
from tadsr.metrics import MetricCard, Missing, load_metric, same_identity, still_holds

Progress = Callable[[int, int], None]
"""Called with (units of work done, units in all)."""


@dataclass(frozen=True)
class EvaluationOutcome:
    """What there is to tell about an evaluation; the scores are in the parquet file."""

    means: dict[str, float]
    """Plain mean over the images, of each metric that has values."""
    missing: dict[str, str]
    """Metric to `reason; command`, of each that has none."""
    seconds_per_image: float | None
    """Median seconds of inference; None if they were never measured."""


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
) -> EvaluationOutcome:
    """Bring the images and scores of one upscaler on one data set up to date.

    Every image is rounded to 8 bits and written as `<images>/<image>.png`, and metrics read it
    from there. What is there already is kept where `identity` (names and contents of upscaler
    and data set) agrees: images, and the columns of `parquet` whose metric card would be the
    same. So weights that come later, or another metric, cost that column only, and the upscaler
    is not even loaded. Columns that are not asked for are dropped.

    `threads` fixes torch's thread count meanwhile: sums, and so last digits, depend on it.
    `scale` is HR pixels per LR pixel.

    Raises:
        DataError: images of which the model made NaN, or that cannot be read, by name. All other
            images and their scores are written before.
    """
    pairs = load_pairs(dataset)
    units = len(pairs) * (1 + len(metrics))
    report = progress or (lambda done, total: None)
    with _threads(threads):
        failed = super_resolve(
            upscaler_factory, pairs, images, identity, lambda done: report(done, units), scale
        )
        made: list[NamedPair] = [
            (pair.name, image_path(images, pair.name), pair.hr_path)
            for pair in pairs
            if pair.name not in failed
        ]
        content = {**identity, "images": _content(made)}
        stored = _stored_columns(parquet, content)
        columns = []
        for number, spec in enumerate(metrics, start=1):
            start = number * len(pairs)
            step = lambda done, start=start: report(start + done, units)  # noqa: E731
            columns.append(_column(spec, made, stored.get(spec.id), device, step))
    _write(parquet, columns, content, failed)
    report(units, units)
    if failed:
        name, reason = next(iter(failed.items()))
        raise DataError(
            f"{dataset}: {len(failed)} of {len(pairs)} images failed, the first is '{name}': "
            f"{reason}; the scores of the others are in {parquet}"
        )
    seconds = read_seconds(images)
    return EvaluationOutcome(
        means={column.metric: column.mean for column in columns if column.values},
        missing={column.metric: column.missing for column in columns if column.missing},
        seconds_per_image=median(seconds) if seconds else None,
    )


def _column(
    spec: MetricSpec,
    pairs: list[NamedPair],
    stored: Column | None,
    device: torch.device | str,
    progress: Callable[[int], None],
) -> Column:
    """The stored column if the metric would give the same, else a new one."""
    if not applicable(spec, pairs):
        return Column(spec.id, missing=NO_REFERENCE if pairs else "there is no image to measure")
    metric = load_metric(spec, device)
    card = _card(stored)
    if isinstance(metric, Missing):
        # Weights that were here once: the numbers they gave still hold.
        if stored and card and still_holds(card, spec):
            return stored
        return Column(spec.id, missing=str(metric))
    if stored and stored.card and card and same_identity(card, metric.card) is None:
        # As this version writes it, with what is known of the tensors now.
        now = {**metric.card.to_dict(), "context": stored.card["context"]}
        return replace(stored, card=now)
    return measure(metric, pairs, progress)


def _card(stored: Column | None) -> MetricCard | None:
    """The card of a stored column, if it can be read."""
    if stored is None or stored.card is None:
        return None
    with suppress(TadsrError):  # of another version of tadsr: scored anew
        return MetricCard.from_dict(stored.card)
    return None


def _content(pairs: list[NamedPair]) -> str:
    """Digest of the pixels of all super-resolved images: what the scores belong to."""
    digests = {name: pixel_digest(read_rgb(Path(str(path)))) for name, path, _ in pairs}
    return digest_json(digests)


def _stored_columns(parquet: Path, content: dict[str, str]) -> dict[str, Column]:
    """The columns of an earlier evaluation of these very images."""
    if not parquet.is_file():
        return {}
    frame, meta = read_scores(parquet)
    if any(meta.get(key) != value for key, value in content.items()):
        return {}
    columns = {}
    for metric, card in meta["cards"].items():
        rows = frame[frame["metric"] == metric]
        values = dict(zip(rows["image"], rows["value"], strict=True))
        skipped = meta["skipped"].get(metric, {})
        if values:
            columns[metric] = Column(metric, values, card, skipped=skipped)
    return columns


def _write(
    parquet: Path, columns: list[Column], content: dict[str, str], failed: dict[str, str]
) -> None:
    rows = [(image, c.metric, value) for c in columns for image, value in c.values.items()]
    meta = {
        **content,
        "cards": {c.metric: c.card for c in columns if c.values},
        "missing": {c.metric: c.missing for c in columns if c.missing},
        "skipped": {c.metric: c.skipped for c in columns if c.skipped},
        "failed": failed,
    }
    write_scores(parquet, pd.DataFrame(rows, columns=["image", "metric", "value"]), meta)


@contextmanager
def _threads(count: int | None) -> Iterator[None]:
    before = torch.get_num_threads()
    if count is not None:
        torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
