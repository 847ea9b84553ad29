"""Bringing one MLflow run after another to agree with its record.

A run carries its record's digest in the tag `tadsr.content`, written last: with the right digest it
is left alone. Otherwise what is missing is added, so that a run keeps its address while it grows
from a training under way to a measured model. What MLflow cannot change, such as a point or a
parameter with another value, is replaced: the run is deleted and made anew. Deleted runs lie in
MLflow's trash (`mlflow gc` empties it).

All points carry the same time. MLflow stores a point that it has already, equal in name, step,
time and value, only once; so nothing is doubled, however often and by whomever it is sent.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from mlflow.entities import Param, RunTag
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
from mlflow.tracking import MlflowClient

from tadsr.publish.entities import (
    MAX_ITEMS,
    MAX_METRICS,
    Sent,
    chunks,
    dataset_of,
    metric_of,
    sent_of,
    used_of,
)
from tadsr.publish.models import Models
from tadsr.publish.records import RunRecord
from tadsr.publish.staging import IMAGE_TAG, TABLE_TAG, artefact_paths, artefact_tags, staged
from tadsr.publish.trainings import NOTE

CONTENT, KEY, EXPERIMENT = "tadsr.content", "tadsr.key", "tadsr.experiment"
STATUS, PROGRESS = "tadsr.status", "tadsr.progress"
PARENT_RUN = "mlflow.parentRunId"
STATUSES = {"done": "FINISHED", "diverged": "KILLED", "pruned": "KILLED", "failed": "FAILED",
            "running": "RUNNING"}  # fmt: skip
"""Run card to MLflow; a diverged training is one that stopped itself, not one that crashed."""
MlflowRun = Any


class Runs:
    """The runs of one MLflow experiment that were published by tadsr."""

    def __init__(self, client: MlflowClient, uri: str, number: str, experiment: str) -> None:
        self.client = client
        self.uri = uri
        self.number = number
        self.experiment = experiment
        self.models = Models(client, number)
        self.written = self.kept = self.removed = 0
        self.sent: dict[str, set[Sent]] = {}
        """By run id: points known to be there. A follower keeps it."""

    def existing(self) -> dict[str, list[MlflowRun]]:
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

    def bring(
        self, record: RunRecord, found: Sequence[MlflowRun], parent: str | None = None
    ) -> str:
        """Have one run agree with `record`, of those found under its key or a new one.

        The others go. Returns the run's id.
        """
        whole = [r for r in found if r.data.tags.get(CONTENT) == record.content
                 and r.data.tags.get(PARENT_RUN) == parent]  # fmt: skip
        kept = next((run for run in whole or found if self._can_become(record, run, parent)), None)
        for run in found:
            if run is not kept:
                self.remove(run)
        if kept is not None and kept.data.tags.get(CONTENT) == record.content:
            self.kept += 1
            return str(kept.info.run_id)
        run = kept or self._create(record, parent)
        self._write(record, run, new=kept is None)
        self.written += 1
        return str(run.info.run_id)

    def open(self, record: RunRecord, found: Sequence[MlflowRun]) -> MlflowRun:
        """The run that stands above others, which must name it before it is whole."""
        for surplus in found[1:]:
            self.remove(surplus)
        return found[0] if found else self._create(record, None)

    def under_way(self, run: MlflowRun, progress: str) -> None:
        """Let a run say that work below it goes on; the next publish makes it whole again."""
        run_id = run.info.run_id
        if CONTENT in run.data.tags:
            self.client.delete_tag(run_id, CONTENT)
        self.client.log_batch(run_id, tags=[RunTag(STATUS, "running"), RunTag(PROGRESS, progress)])
        if run.info.status != "RUNNING":
            self.client.update_run(run_id, status="RUNNING")

    def remove(self, run: MlflowRun) -> None:
        """Put a run and its model into MLflow's trash."""
        self.models.remove(run.info.run_id)
        self.client.delete_run(run.info.run_id)
        self.sent.pop(run.info.run_id, None)
        self.removed += 1

    def _can_become(self, record: RunRecord, run: MlflowRun, parent: str | None) -> bool:
        """Whether everything that a run says already, and MLflow cannot change, is in `record`."""
        if run.data.tags.get(PARENT_RUN) != parent:
            return False
        if run.data.tags.get(CONTENT) == record.content:
            return True
        used = {used_of(entry) for entry in (run.inputs.dataset_inputs if run.inputs else ())}
        return (
            run.data.params.items() <= dict(record.params).items()
            and used <= {(use.name, use.content[:36], use.context) for use in record.datasets}
            and self._sent_fits(record, run)
        )

    def _sent_fits(self, record: RunRecord, run: MlflowRun) -> bool:
        """Whether the points that are there are those of the record.

        While a training goes on there may be more: it was resumed from a state before the point
        where it was killed, and comes there again. If it then brings other values, the run is
        replaced.
        """
        surplus = self._there(run) - {sent_of(point) for point in record.points}
        if record.status != "running":
            return not surplus
        last = max((point.images for point in record.points), default=-1)
        return all(images > last for _, images, _, _ in surplus)

    def _there(self, run: MlflowRun) -> set[Sent]:
        """The points of a run, asked for once and then remembered."""
        run_id = run.info.run_id
        if run_id not in self.sent:
            self.sent[run_id] = {
                (point.key, int(point.step), float(point.value), int(point.timestamp))
                for name in run.data.metrics
                for point in self.client.get_metric_history(run_id, name)
            }
        return self.sent[run_id]

    def _create(self, record: RunRecord, parent: str | None) -> MlflowRun:
        above = {PARENT_RUN: parent} if parent else {}
        run = self.client.create_run(
            self.number,
            start_time=record.started_ms or None,
            run_name=record.name,
            tags={**self._tags(record), **above},
        )
        self.sent[run.info.run_id] = set()
        return run

    def _tags(self, record: RunRecord) -> dict[str, str]:
        return {
            EXPERIMENT: self.experiment,
            KEY: record.key,
            "tadsr.kind": record.kind,
            STATUS: record.status,
            "mlflow.source.name": "tadsr",
            "mlflow.source.type": "LOCAL",
            **artefact_tags(record),
            **record.tags,
        }

    def _write(self, record: RunRecord, run: MlflowRun, *, new: bool) -> None:
        """Everything that is missing, then the state, then the digest that says so."""
        run_id = run.info.run_id
        if not new:
            self._update_tags(record, run)
            self._remove_artefacts(record, run)
        there = {} if new else run.data.params
        params = [Param(name, value) for name, value in record.params.items() if name not in there]
        for part in chunks(params, MAX_ITEMS):
            self.client.log_batch(run_id, params=part)
        self._send_points(record, run)
        if record.datasets:
            self.client.log_inputs(run_id, [dataset_of(use) for use in record.datasets])
        if artefact_paths(record):
            with staged(record) as folder:
                self.client.log_artifacts(run_id, str(folder))
        self._set_status(record, run_id)
        self.client.set_tag(run_id, CONTENT, record.content)

    def _update_tags(self, record: RunRecord, run: MlflowRun) -> None:
        """First of all the digest goes: from here on the run is not whole."""
        tags, present = self._tags(record), run.data.tags
        ours = [n for n in present if n.startswith("tadsr.") or n in (NOTE, IMAGE_TAG, TABLE_TAG)]
        for stale in sorted(
            (name for name in ours if name not in tags), key=lambda n: n != CONTENT
        ):
            self.client.delete_tag(run.info.run_id, stale)
        changed = [RunTag(*tag) for tag in tags.items() if present.get(tag[0]) != tag[1]]
        for part in chunks(changed, MAX_ITEMS):
            self.client.log_batch(run.info.run_id, tags=part)

    def _send_points(self, record: RunRecord, run: MlflowRun) -> None:
        """Those that are not there; scores again, because they belong to a model as well."""
        run_id = run.info.run_id
        there = self._there(run)
        digests = {use.name: use.content[:36] for use in record.datasets}
        scored = any(point.dataset for point in record.points)
        model = self.models.of_run(record, run) if scored else None
        new = [point for point in record.points if point.dataset or sent_of(point) not in there]
        metrics = [metric_of(record, point, model, digests) for point in new]
        for part in chunks(metrics, MAX_METRICS):
            self.client.log_batch(run_id, metrics=part)
        there.update(map(sent_of, new))

    def _set_status(self, record: RunRecord, run_id: str) -> None:
        status = STATUSES[record.status]
        if status == "RUNNING":
            self.client.update_run(run_id, status=status)
        else:
            self.client.set_terminated(run_id, status, end_time=record.ended_ms or None)

    def _remove_artefacts(self, record: RunRecord, run: MlflowRun) -> None:
        """Drop artefacts of an earlier publish that are no more; the others are written over."""
        repository = get_artifact_repository(run.info.artifact_uri, tracking_uri=self.uri)
        keep = artefact_paths(record)
        for place in self._artefacts(run.info.run_id, None):
            if place not in keep:
                repository.delete_artifacts(place)

    def _artefacts(self, run_id: str, folder: str | None) -> Iterator[str]:
        for item in self.client.list_artifacts(run_id, folder):
            if item.is_dir:
                yield from self._artefacts(run_id, item.path)
            else:
                yield item.path
