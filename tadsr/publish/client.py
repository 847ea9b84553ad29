"""Bringing MLflow to agree with run records, however often and wherever it was interrupted.

Each run carries its record's digest in the tag `tadsr.content`, written last. A run that has the
right digest is left alone; any other run of ours is deleted and made again, because MLflow appends
points and refuses changed parameters. Deleted runs lie in MLflow's trash (`mlflow gc` empties it).
The parent run is updated in place, so that its address stays the same.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, RunTag
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
from mlflow.tracking import MlflowClient

from tadsr.errors import TadsrError
from tadsr.files import Lock, canonical_json, digest_json
from tadsr.publish.connection import connected
from tadsr.publish.front_page import NOTE, SIGNATURE, front_page
from tadsr.publish.location import tracking_uri
from tadsr.publish.records import DatasetUse, Leaderboard, Point, RunRecord

CONTENT, KEY, EXPERIMENT = "tadsr.content", "tadsr.key", "tadsr.experiment"
PARENT_RUN = "mlflow.parentRunId"
STATUSES = {"done": "FINISHED", "diverged": "KILLED", "failed": "FAILED", "running": "RUNNING"}
"""Run card to MLflow; a diverged training is one that stopped itself, not one that crashed."""
MAX_METRICS, MAX_ITEMS = 1000, 100
"""MLflow's limits on one `log_batch`: metrics, and params or tags."""
Item = TypeVar("Item")
MlflowRun = Any


@dataclass(frozen=True)
class Outcome:
    """What publishing did."""

    content: str
    """sha256 of all that is published; equal results give the same."""
    written: int
    kept: int
    removed: int


def publish_records(
    experiment: str,
    parent: RunRecord,
    children: Sequence[RunRecord],
    board: Leaderboard,
    results: Path,
) -> Outcome:
    """Make the MLflow experiment `experiment` show `parent`, `children` and nothing else of ours.

    Runs that were not published by tadsr are never touched. One process at a time publishes from
    a results folder. Raises `TadsrError` if MLflow cannot be reached or refuses.
    """
    uri = tracking_uri(results)
    with (
        Lock(results / ".mlflow.lock", "publishing", wait=True),
        connected(uri, experiment, results) as (client, number),
    ):
        return _Publisher(client, uri, number, experiment).publish(parent, children, board)


class _Publisher:
    """The runs of one MLflow experiment."""

    def __init__(self, client: MlflowClient, uri: str, number: str, experiment: str) -> None:
        self.client = client
        self.uri = uri
        self.number = number
        self.experiment = experiment
        self.written = self.kept = self.removed = 0

    def publish(
        self, parent: RunRecord, children: Sequence[RunRecord], board: Leaderboard
    ) -> Outcome:
        """Children first, so that a parent with its digest means all is there."""
        found = self._existing()
        top = self._open_parent(parent, found.pop(parent.key, []))
        for record in children:
            self._child(record, found.pop(record.key, []), top.info.run_id)
        for run in (run for runs in found.values() for run in runs):
            self._remove(run)
        self._update_parent(parent, top)
        self._tag_experiment(front_page(board, self.number, top.info.run_id))
        content = digest_json([record.content for record in (parent, *children)])
        return Outcome(content, self.written, self.kept, self.removed)

    def _tag_experiment(self, tags: Mapping[str, str]) -> None:
        """Set what differs; a description that someone else wrote stays."""
        present = self.client.get_experiment(self.number).tags
        for name, value in tags.items():
            foreign = name == NOTE and SIGNATURE not in present.get(NOTE, SIGNATURE)
            if present.get(name) != value and not foreign:
                self.client.set_experiment_tag(self.number, name, value)

    def _existing(self) -> dict[str, list[MlflowRun]]:
        """Our runs by key; more than one where a publish was cut short or a run restored."""
        query = f"tags.`{EXPERIMENT}` = '{self.experiment}'"
        found: dict[str, list[MlflowRun]] = {}
        token: str | None = None
        while True:
            page = self.client.search_runs([self.number], query, max_results=500, page_token=token)
            for run in page:
                found.setdefault(run.data.tags.get(KEY, ""), []).append(run)
            token = page.token
            if not token:
                return found

    def _child(self, record: RunRecord, found: list[MlflowRun], parent: str) -> None:
        fitting = [
            run for run in found
            if (run.data.tags.get(CONTENT), run.data.tags.get(PARENT_RUN))
            == (record.content, parent)
        ]  # fmt: skip
        for run in found:
            if run not in fitting[:1]:
                self._remove(run)
        if fitting:
            self.kept += 1
            return
        run = self._create(record, {PARENT_RUN: parent})
        self._write(record, run.info.run_id)
        self._finish(record, run.info.run_id)

    def _open_parent(self, record: RunRecord, found: list[MlflowRun]) -> MlflowRun:
        for surplus in found[1:]:
            self._remove(surplus)
        return found[0] if found else self._create(record, {})

    def _update_parent(self, record: RunRecord, run: MlflowRun) -> None:
        if run.data.tags.get(CONTENT) == record.content:
            self.kept += 1
            return
        run_id = run.info.run_id
        if CONTENT in run.data.tags:
            self.client.delete_tag(run_id, CONTENT)
        tags = self._tags(record)
        for stale in (n for n in run.data.tags if n.startswith("tadsr.") or n == NOTE):
            if stale not in tags and stale != CONTENT:
                self.client.delete_tag(run_id, stale)
        self.client.log_batch(run_id, tags=[RunTag(*tag) for tag in tags.items()])
        self._remove_artifacts(run, keep=record.files)
        self._write(record, run_id)
        self._finish(record, run_id)

    def _create(self, record: RunRecord, tags: Mapping[str, str]) -> MlflowRun:
        return self.client.create_run(
            self.number,
            start_time=record.started_ms or None,
            run_name=record.name,
            tags={**self._tags(record), **tags},
        )

    def _tags(self, record: RunRecord) -> dict[str, str]:
        return {
            EXPERIMENT: self.experiment,
            KEY: record.key,
            "tadsr.kind": record.kind,
            "tadsr.status": record.status,
            "mlflow.source.name": "tadsr",
            "mlflow.source.type": "LOCAL",
            **record.tags,
        }

    def _write(self, record: RunRecord, run_id: str) -> None:
        metrics = [_metric(record, point) for point in record.points]
        params = [Param(name, value) for name, value in record.params.items()]
        for part in _chunks(params, MAX_ITEMS):
            self.client.log_batch(run_id, params=part)
        for part in _chunks(metrics, MAX_METRICS):
            self.client.log_batch(run_id, metrics=part)
        if record.datasets:
            self.client.log_inputs(run_id, [_dataset(use) for use in record.datasets])
        for place, path in record.files.items():
            folder = PurePosixPath(place).parent.as_posix()
            self.client.log_artifact(run_id, str(path), None if folder == "." else folder)

    def _finish(self, record: RunRecord, run_id: str) -> None:
        """The state, then the digest that says nothing is missing."""
        status = STATUSES[record.status]
        if status == "RUNNING":
            self.client.update_run(run_id, status=status)
        else:
            self.client.set_terminated(run_id, status, end_time=record.ended_ms or None)
        self.client.set_tag(run_id, CONTENT, record.content)
        self.written += 1

    def _remove(self, run: MlflowRun) -> None:
        self.client.delete_run(run.info.run_id)
        self.removed += 1

    def _remove_artifacts(self, run: MlflowRun, keep: Mapping[str, Path]) -> None:
        """Drop artefacts of an earlier publish that are no more; the others are written over."""
        repository = get_artifact_repository(run.info.artifact_uri, tracking_uri=self.uri)
        for place in self._artifacts(run.info.run_id, None):
            if place not in keep:
                repository.delete_artifacts(place)

    def _artifacts(self, run_id: str, folder: str | None) -> Iterator[str]:
        for item in self.client.list_artifacts(run_id, folder):
            if item.is_dir:
                yield from self._artifacts(run_id, item.path)
            else:
                yield item.path


def _metric(record: RunRecord, point: Point) -> Metric:
    if not math.isfinite(point.value):
        # MLflow would store 1.8e308 for infinity.
        raise TadsrError(
            f"{record.name}: {point.metric} at {point.images} images is {point.value}, and MLflow "
            "stores finite numbers only; run the stage that wrote it again"
        )
    return Metric(point.metric, point.value, timestamp=record.ended_ms, step=point.images)


def _dataset(use: DatasetUse) -> DatasetInput:
    source = canonical_json({"uri": f"data/{use.name}/manifest.parquet"})
    dataset = Dataset(use.name, use.content[:36], "local", source)
    return DatasetInput(dataset, [InputTag("mlflow.data.context", use.context)])


def _chunks(items: Sequence[Item], size: int) -> Iterator[Sequence[Item]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]
