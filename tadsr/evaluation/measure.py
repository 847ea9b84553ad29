"""One metric over a list of images, and `evaluate`, the same for a caller's own images."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

import torch

from tadsr.config.metrics import METRICS, MetricSpec
from tadsr.data.images import is_grey_file, read_rgb, to_tensor, to_uint8
from tadsr.errors import ConfigError, DataError, nearest
from tadsr.metrics.backends import Metric, NotComputableError
from tadsr.metrics.sets import SetMetric

if TYPE_CHECKING:
    import pandas as pd

Picture = Path | str | torch.Tensor
"""A path, or a (3, H, W) tensor in [0, 1], which is rounded to 8 bits as a stored image is."""

NamedPair = tuple[str, Picture, Picture | None]
"""(name, image, reference)."""

NO_REFERENCE = "not applicable: these images have no reference"


@dataclass(frozen=True)
class Column:
    """What one metric gave on the images of a data set."""

    metric: str
    values: dict[str, float] = field(default_factory=dict)
    """By image; an image without a value is not in it. Of a whole set: one value, no name."""
    card: dict[str, Any] | None = None
    missing: str | None = None
    """Why there is no value at all."""
    skipped: dict[str, str] = field(default_factory=dict)
    """Image to the reason why the metric is not defined on it."""

    @property
    def mean(self) -> float:
        """Plain mean over the images (not defined for a missing metric)."""
        return fmean(self.values.values())


def applicable(spec: MetricSpec, pairs: Sequence[NamedPair]) -> list[NamedPair]:
    """The pairs that have what the metric needs."""
    return [pair for pair in pairs if pair[2] is not None or not spec.needs_reference]


def measure(
    metric: Metric | SetMetric,
    pairs: Sequence[NamedPair],
    progress: Callable[[int], None] = lambda done: None,
) -> Column:
    """Score every pair; an image on which the metric is not defined is skipped, with the reason.

    A metric of whole sets gives one value, under an empty name.

    Raises:
        DataError: a pair that cannot be compared; names the image.
    """
    if isinstance(metric, SetMetric):
        return _measure_set(metric, pairs, progress)
    values: dict[str, float] = {}
    skipped: dict[str, str] = {}
    usable = applicable(metric.spec, pairs)
    for done, (name, image, reference) in enumerate(usable):
        progress(done)
        try:
            hr = read(reference) if metric.spec.needs_reference and reference is not None else None
            values[name] = metric.score(read(image), hr, grey=_is_grey(metric.spec, reference))
        except NotComputableError as error:
            skipped[name] = str(error)
        except DataError as error:
            raise DataError(f"image '{name}': {error}") from error
    missing = None
    if not values:
        reason = next(iter(skipped.values()), None)
        missing = f"defined on none of the images: {reason}" if reason else NO_REFERENCE
    return Column(metric.spec.id, values, metric.card.to_dict(), missing, skipped)


def _measure_set(
    metric: SetMetric, pairs: Sequence[NamedPair], progress: Callable[[int], None]
) -> Column:
    """The one value of a set of stored images; too few of them give none."""
    usable = applicable(metric.spec, pairs)
    given = [picture for _, image, reference in usable for picture in (image, reference)]
    if any(isinstance(picture, torch.Tensor) for picture in given):
        raise DataError(f"{metric.spec.id}: is computed from files; pass paths instead of tensors")
    images = [Path(str(image)) for _, image, _ in usable]
    references = [Path(str(reference)) for _, _, reference in usable if reference is not None]
    needed = references if metric.spec.needs_reference else None
    card = metric.card.to_dict()
    try:
        value = metric.score(images, needed, progress)
    except DataError as error:
        return Column(metric.spec.id, card=card, missing=str(error))
    return Column(metric.spec.id, {"": value}, card)


def read(picture: Picture) -> torch.Tensor:
    """A picture as a (3, H, W) float32 tensor in [0, 1] of 8-bit values."""
    if isinstance(picture, torch.Tensor):
        return to_tensor(to_uint8(picture))
    return to_tensor(read_rgb(picture))


def _is_grey(spec: MetricSpec, reference: Picture | None) -> bool | None:
    """Whether the reference's file holds one channel, if the metric asks; a tensor has three."""
    if spec.grey == "rgb" or reference is None:
        return None
    return not isinstance(reference, torch.Tensor) and is_grey_file(reference)


def evaluate(
    pairs: Sequence[tuple[Picture, Picture | None]],
    metrics: Sequence[str | MetricSpec],
    device: torch.device | str = "cpu",
) -> pd.DataFrame:
    """Score a caller's own images: long form, columns `image, metric, value`.

    `pairs` holds (image, reference or None), each a path or a (3, H, W) tensor in [0, 1]. Images
    are called by the stem of their file, or `image-<n>`. `frame.attrs` holds `cards` (metric to
    card), `missing` (metric to `reason; command`) and `skipped` (metric to image to reason).

    Raises:
        ConfigError: a metric name that is not known.
        DataError: a pair that cannot be compared; names the image.
    """
    import pandas as pd

    from tadsr.metrics import Missing, load_metric

    named = _named(pairs)
    columns = []
    for spec in map(_spec, metrics):
        if not applicable(spec, named):
            columns.append(Column(spec.id, missing=NO_REFERENCE))
            continue
        metric = load_metric(spec, device)
        if isinstance(metric, Missing):
            columns.append(Column(spec.id, missing=str(metric)))
        else:
            columns.append(measure(metric, named))
    rows = [(image, c.metric, value) for c in columns for image, value in c.values.items()]
    frame = pd.DataFrame(rows, columns=["image", "metric", "value"])
    frame.attrs = {
        "cards": {c.metric: c.card for c in columns if c.values},
        "missing": {c.metric: c.missing for c in columns if c.missing},
        "skipped": {c.metric: c.skipped for c in columns if c.skipped},
    }
    return frame.astype({"value": "float64"})


def _spec(metric: str | MetricSpec) -> MetricSpec:
    if isinstance(metric, MetricSpec):
        return metric
    if metric not in METRICS:
        raise ConfigError(f"unknown metric '{metric}': {nearest(metric, list(METRICS))}")
    return METRICS[metric]


def _named(pairs: Sequence[tuple[Picture, Picture | None]]) -> list[NamedPair]:
    """Pairs with unique names: the file's stem, its path where stems repeat, or a number."""
    stems = [Path(p).stem for p, _ in pairs if not isinstance(p, torch.Tensor)]
    named: list[NamedPair] = []
    for index, (image, reference) in enumerate(pairs):
        if isinstance(image, torch.Tensor):
            name = f"image-{index}"
        else:
            stem = Path(image).stem
            name = stem if stems.count(stem) == 1 else str(image)
        named.append((name, image, reference))
    if len({name for name, _, _ in named}) < len(named):
        raise DataError("the same image is given twice; remove one of the pairs")
    return named
