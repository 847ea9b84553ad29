"""`evaluate`: scores of a caller's own images, without an experiment."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import torch

from tadsr.config.metrics import METRICS, MetricSpec
from tadsr.errors import ConfigError, DataError, listed, nearest
from tadsr.evaluation.measure import (
    NO_LR,
    NO_REFERENCE,
    Column,
    MetricLoader,
    Picture,
    Scorer,
    column,
    levels,
    measure_set,
)
from tadsr.evaluation.workers import computing, work_through
from tadsr.metrics import Missing
from tadsr.metrics.backends import Metric
from tadsr.metrics.sets import SetMetric

if TYPE_CHECKING:
    import pandas as pd


class _Pair(NamedTuple):
    name: str
    image: Picture
    reference: Picture | None
    lr: Picture | None = None


class _Scores(NamedTuple):
    name: str
    values: dict[str, float]
    skipped: dict[str, str]
    failed: str | None = None


def evaluate(
    pairs: Sequence[tuple[Picture, Picture | None]],
    metrics: Sequence[str | MetricSpec],
    device: torch.device | str = "cpu",
    *,
    lr: Sequence[Picture] | None = None,
    workers: int | None = None,
    strict: bool = True,
) -> pd.DataFrame:
    """Score a caller's own images: long form, columns `image, metric, value`.

    `pairs` holds (image, reference or None), each a path or a (3, H, W) tensor in [0, 1]. Images
    are called by the stem of their file, or `image-<n>`. `frame.attrs` holds `cards` (metric to
    card), `missing` (metric to `reason; command`), `skipped` (metric to image to reason) and
    `failed` (image to reason).

    `lr` holds the LR image that each was made from, for metrics that compare with it (`lr_psnr`);
    without it they are missing.

    `workers` images are worked on at the same time, each by one thread (default: as many as torch
    has threads); the numbers do not depend on it.

    Raises:
        ConfigError: a metric name that is not known.
        DataError: pairs that cannot be read or compared; names all of them. With `strict=False`
            they are left out instead, and stand in `frame.attrs["failed"]`.
    """
    import pandas as pd

    named = _named(pairs, lr)
    specs = [_spec(metric) for metric in metrics]
    if len({spec.id for spec in specs}) < len(specs):
        raise ConfigError(f"metrics: {[spec.id for spec in specs]} names one twice; remove it")
    loader = MetricLoader(device)
    loaded = {spec.id: loader(spec) for spec in specs if _usable(spec, named)}
    scores = _score_all(named, loaded, workers or torch.get_num_threads())
    failed = {found.name: found.failed for found in scores if found.failed}
    if failed and strict:
        reasons = listed([f"image '{name}': {reason}" for name, reason in failed.items()])
        raise DataError(f"{len(failed)} of {len(named)} pairs cannot be scored: {reasons}")
    kept = [pair for pair in named if pair.name not in failed]
    columns = [_column(spec, loaded.get(spec.id), kept, scores) for spec in specs]
    rows = [(image, c.metric, value) for c in columns for image, value in c.values.items()]
    frame = pd.DataFrame(rows, columns=["image", "metric", "value"])
    frame.attrs = {
        "cards": {c.metric: c.card for c in columns if c.values},
        "missing": {c.metric: c.missing for c in columns if c.missing},
        "skipped": {c.metric: c.skipped for c in columns if c.skipped},
        "failed": failed,
    }
    return frame.astype({"value": "float64"})


def _score_all(
    pairs: list[_Pair], loaded: dict[str, Metric | SetMetric | Missing], workers: int
) -> list[_Scores]:
    """The scores of all pairs, in their order."""
    metrics = {key: metric for key, metric in loaded.items() if isinstance(metric, Metric)}
    specs = {key: metric.spec for key, metric in metrics.items()}
    scorer = Scorer(metrics)

    def work(pair: _Pair) -> _Scores:
        wanted = [key for key, spec in specs.items() if _fits(spec, pair)]
        try:
            place = "the image" if isinstance(pair.image, torch.Tensor) else str(pair.image)
            sr = levels(pair.image)
            return _Scores(pair.name, *scorer.score(sr, pair.reference, wanted, place, pair.lr))
        except DataError as error:
            return _Scores(pair.name, {}, {}, str(error))

    with computing(1):
        found = {scores.name: scores for scores in work_through(pairs, work, workers)}
    return [found[pair.name] for pair in pairs]


def _column(
    spec: MetricSpec,
    metric: Metric | SetMetric | Missing | None,
    pairs: list[_Pair],
    scores: list[_Scores],
) -> Column:
    if metric is None:
        return Column(spec.id, missing=NO_LR if spec.needs_lr else NO_REFERENCE)
    if isinstance(metric, Missing):
        return Column(spec.id, missing=str(metric))
    if isinstance(metric, SetMetric):
        used = [pair for pair in pairs if _fits(spec, pair)]
        if any(isinstance(picture, torch.Tensor) for pair in used for picture in pair[1:]):
            raise DataError(f"{spec.id}: is computed from files; pass paths instead of tensors")
        references = [Path(str(pair.reference)) for pair in used]
        images = [Path(str(pair.image)) for pair in used]
        return measure_set(metric, images, references if spec.needs_reference else None)
    values = {s.name: s.values[spec.id] for s in scores if spec.id in s.values}
    skipped = {s.name: s.skipped[spec.id] for s in scores if spec.id in s.skipped}
    return column(spec, values, metric.card.to_dict(), skipped)


def _fits(spec: MetricSpec, pair: _Pair) -> bool:
    there = {"hr": pair.reference, "lr": pair.lr}[spec.compared]
    return there is not None or not spec.needs_reference


def _usable(spec: MetricSpec, pairs: list[_Pair]) -> bool:
    return any(_fits(spec, pair) for pair in pairs)


def _spec(metric: str | MetricSpec) -> MetricSpec:
    if isinstance(metric, MetricSpec):
        return metric
    if metric not in METRICS:
        raise ConfigError(f"unknown metric '{metric}': {nearest(metric, list(METRICS))}")
    return METRICS[metric]


def _named(
    pairs: Sequence[tuple[Picture, Picture | None]], lr: Sequence[Picture] | None
) -> list[_Pair]:
    """Pairs with unique names: the file's stem, its path where stems repeat, or a number."""
    if lr is not None and len(lr) != len(pairs):
        raise DataError(f"{len(pairs)} images and {len(lr)} LR images; give one each")
    stems = Counter(Path(p).stem for p, _ in pairs if not isinstance(p, torch.Tensor))
    named: list[_Pair] = []
    for index, (image, reference) in enumerate(pairs):
        if isinstance(image, torch.Tensor):
            name = f"image-{index}"
        else:
            stem = Path(image).stem
            name = stem if stems[stem] == 1 else str(image)
        named.append(_Pair(name, image, reference, lr[index] if lr is not None else None))
    if len({pair.name for pair in named}) < len(named):
        raise DataError("the same image is given twice; remove one of the pairs")
    return named
