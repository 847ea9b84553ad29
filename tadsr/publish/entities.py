"""Records in MLflow's own classes, and MLflow's limits."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TypeVar

from mlflow.entities import Dataset, DatasetInput, InputTag, Metric

from tadsr.errors import TadsrError
from tadsr.files import canonical_json
from tadsr.publish.records import DatasetUse, Point, RunRecord

MAX_METRICS, MAX_ITEMS = 1000, 100
"""MLflow's limits on one `log_batch`: metrics, and params or tags."""
POINT_TIME = 0
"""Milliseconds since 1970; curves are over images seen, and their files hold no times."""
Item = TypeVar("Item")
Sent = tuple[str, int, float, int]
"""(metric, images, value, time) of a point as MLflow has it."""


def sent_of(point: Point) -> Sent:
    """A point as MLflow will have it."""
    return point.metric, point.images, point.value, POINT_TIME


def metric_of(
    record: RunRecord, point: Point, model: str | None, digests: Mapping[str, str]
) -> Metric:
    """A point, tied to the model and the data set (by name to digest) that it was measured with.

    Raises:
        TadsrError: it is not finite.
    """
    if not math.isfinite(point.value):
        # MLflow would store 1.8e308 for infinity.
        raise TadsrError(
            f"{record.name}: {point.metric} at {point.images} images is {point.value}, and MLflow "
            "stores finite numbers only; run the stage that wrote it again"
        )
    measured = {"model_id": model} if point.dataset else {}
    if point.dataset in digests:
        measured |= {"dataset_name": point.dataset, "dataset_digest": digests[point.dataset]}
    return Metric(point.metric, point.value, timestamp=POINT_TIME, step=point.images, **measured)


def dataset_of(use: DatasetUse) -> DatasetInput:
    """A data set by name, digest and place in the results folder."""
    source = canonical_json({"uri": f"data/{use.name}/manifest.parquet"})
    dataset = Dataset(use.name, use.content[:36], "local", source)
    return DatasetInput(dataset, [InputTag("mlflow.data.context", use.context)])


def used_of(entry: DatasetInput) -> tuple[str, str, str]:
    """(name, digest, context) of a data set that a run has."""
    context = next((tag.value for tag in entry.tags if tag.key == "mlflow.data.context"), "")
    return entry.dataset.name, entry.dataset.digest, context


def chunks(items: Sequence[Item], size: int) -> Iterator[Sequence[Item]]:
    """`items` in pieces of at most `size`."""
    for start in range(0, len(items), size):
        yield items[start : start + size]
