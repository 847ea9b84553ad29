"""Metrics on one image, by any of several threads, and the columns that come of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean
from threading import Lock
from typing import Any

import torch

from tadsr.config.metrics import MetricSpec
from tadsr.data.images import RGB8, is_grey_file, read_rgb, to_tensor, to_uint8
from tadsr.errors import DataError
from tadsr.evaluation.consistency import reduced
from tadsr.files import canonical_json
from tadsr.metrics import Missing, load_metric
from tadsr.metrics.backends import Metric, NotComputableError
from tadsr.metrics.sets import SetMetric

Picture = Path | str | torch.Tensor
"""A path, or a (3, H, W) tensor in [0, 1], which is rounded to 8 bits as a stored image is."""

NO_REFERENCE = "not applicable: these images have no reference"
NO_LR = "not applicable: the LR images that these were made from were not given"

REENTRANT = ("psnr", "ssim", "lpips", "niqe", "musiq")
"""pyiqa's metrics that keep nothing between or during calls, so that several threads can be in
them at once. Others may note features in themselves (hooks): they see one image at a time."""

ON_CPU = ("psnr", "ssim", "niqe")
"""Arithmetic without a network, most of it in float64: the CPU's workers do it while a GPU is at
work on what it is good at, and the numbers do not depend on the device."""


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


def column(
    spec: MetricSpec, values: dict[str, float], card: dict[str, Any], skipped: dict[str, str]
) -> Column:
    """A column, with the reason where the metric is defined on no image."""
    missing = None
    if not values:
        missing = "there is no image to measure"
        if skipped:
            missing = f"defined on none of the images: {next(iter(skipped.values()))}"
    return Column(spec.id, values, card, missing, skipped)


class MetricLoader:
    """Loads each metric once, for all models and data sets that a process evaluates."""

    def __init__(self, device: torch.device | str = "cpu") -> None:
        self.device = torch.device(device)
        self._loaded: dict[str, Metric | SetMetric] = {}

    def __call__(self, spec: MetricSpec) -> Metric | SetMetric | Missing:
        """The metric, or what it lacks (which is looked for again the next time)."""
        key = canonical_json(spec.model_dump(mode="json"))
        if key not in self._loaded:
            metric = load_metric(spec, "cpu" if spec.pyiqa in ON_CPU else self.device)
            if isinstance(metric, Missing):
                return metric
            self._loaded[key] = metric
        return self._loaded[key]


class Scorer:
    """Several metrics on one image after the other; any number of threads may call it."""

    def __init__(self, metrics: Mapping[str, Metric]) -> None:
        """`metrics` by the key under which their values are given."""
        self._metrics = metrics
        self._alone = Lock()

    def score(
        self,
        sr: RGB8,
        reference: Picture | None,
        wanted: Sequence[str],
        place: Path | str,
        lr: Picture | None = None,
    ) -> tuple[dict[str, float], dict[str, str]]:
        """The values of the wanted metrics, and the reasons of those not defined on this image.

        The reference (HR) and the input (`lr`) are read once, and only if one of them needs it;
        `place` is the image's name in messages.

        Raises:
            DataError: a reference that cannot be read, or that is of another size.
        """
        values: dict[str, float] = {}
        skipped: dict[str, str] = {}
        image, hr, grey = to_tensor(sr), None, None
        specs = [self._metrics[key].spec for key in wanted]
        if reference is not None and any(spec.needs_hr for spec in specs):
            hr = _reference(sr, reference, place)
            if any(spec.grey == "levels" for spec in specs):  # a tensor has three channels
                grey = not isinstance(reference, torch.Tensor) and is_grey_file(reference)
        pairs = {"hr": (image, hr)}
        if lr is not None and any(spec.needs_lr for spec in specs):
            small = levels(lr)
            pairs["lr"] = reduced(sr, small, place), to_tensor(small)
        for key in wanted:
            metric = self._metrics[key]
            shown, against = pairs[metric.spec.compared]
            needed = (against, grey) if metric.spec.needs_reference else (None, None)
            try:
                with nullcontext() if _reentrant(metric) else self._alone:
                    values[key] = metric.score(shown, needed[0], grey=needed[1])
            except NotComputableError as error:
                skipped[key] = str(error)
        return values, skipped


def _reentrant(metric: Metric) -> bool:
    """Whether several threads may be in the metric; a GPU does one thing at a time."""
    return metric.device.type == "cpu" and metric.spec.pyiqa in REENTRANT


def measure_set(
    metric: SetMetric,
    images: Sequence[Path],
    references: Sequence[Path] | None,
    progress: Callable[[int], None] = lambda done: None,
) -> Column:
    """The one value of a set of stored images, under an empty name; too few of them give none."""
    card = metric.card.to_dict()
    try:
        value = metric.score(images, references, progress)
    except DataError as error:
        return Column(metric.spec.id, card=card, missing=str(error))
    return Column(metric.spec.id, {"": value}, card)


def levels(picture: Picture) -> RGB8:
    """A picture as (H, W, 3) 8-bit levels."""
    return to_uint8(picture) if isinstance(picture, torch.Tensor) else read_rgb(picture)


def _reference(sr: RGB8, reference: Picture, place: Path | str) -> torch.Tensor:
    """A reference as a tensor; one of another size than the image is refused."""
    hr = levels(reference)
    if sr.shape != hr.shape:
        name = "its reference" if isinstance(reference, torch.Tensor) else f"reference {reference}"
        raise DataError(
            f"{place} of {sr.shape[1]}x{sr.shape[0]} and {name} of {hr.shape[1]}x{hr.shape[0]} "
            "differ in size; a reference is 'scale' times as large as the LR image"
        )
    return to_tensor(hr)
