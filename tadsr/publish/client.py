"""Bringing an MLflow experiment to agree with run records, however often it was interrupted."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tadsr.files import digest_json
from tadsr.locks import Lock
from tadsr.publish.connection import WORK, connected
from tadsr.publish.front_page import SIGNATURE, front_page
from tadsr.publish.location import tracking_uri
from tadsr.publish.owner import claim, owner_of
from tadsr.publish.records import Leaderboard, RunRecord
from tadsr.publish.runs import Runs
from tadsr.publish.trainings import NOTE


@dataclass(frozen=True)
class Outcome:
    """What publishing did."""

    content: str
    """sha256 of all that is published; equal results give the same."""
    written: int
    kept: int
    removed: int


@contextmanager
def opened(
    experiment: str, root: Path, *, replace: bool = False, patience: Mapping[str, str] = WORK
) -> Iterator[Runs]:
    """The runs of the MLflow experiment that shows the results in `root`.

    One process at a time publishes from a folder of results. Raises `TadsrError` if MLflow cannot
    be reached or refuses, or shows another folder's results under this name, unless `replace`.
    """
    results = root.parent
    uri = tracking_uri(results)
    with (
        Lock(results / ".mlflow.lock", "publishing", wait=True),
        connected(uri, experiment, results, patience=patience) as (client, number),
    ):
        claim(client, number, owner_of(root), replace=replace)
        yield Runs(client, uri, number, experiment)


def publish_records(
    experiment: str,
    parent: RunRecord,
    children: Sequence[RunRecord],
    board: Leaderboard,
    root: Path,
    *,
    replace: bool = False,
) -> Outcome:
    """Make the MLflow experiment `experiment` show `parent`, `children` and nothing else of ours.

    Runs that were not published by tadsr are never touched. The parent is made first, so that
    children can name it, and completed last: with its digest, all is there. Of `children`, one
    that others lie below comes before them.

    Raises:
        TadsrError: as `opened`.
    """
    with opened(experiment, root, replace=replace) as runs:
        found = runs.existing()
        top = runs.open(parent, found.pop(parent.key, []))
        ids = {"": top.info.run_id}
        for record in children:
            above = ids[record.parent]
            ids[record.key] = runs.bring(record, found.pop(record.key, []), above)
            runs.sent.pop(ids[record.key], None)  # nothing more will be sent to it
        for run in (run for surplus in found.values() for run in surplus):
            runs.remove(run)
        runs.bring(parent, [top])
        tag_experiment(runs, front_page(board, runs.number, top.info.run_id))
        content = digest_json([record.content for record in (parent, *children)])
        return Outcome(content, runs.written, runs.kept, runs.removed)


def tag_experiment(runs: Runs, tags: Mapping[str, str]) -> None:
    """Set what differs; a description that someone else wrote stays."""
    present = runs.client.get_experiment(runs.number).tags
    for name, value in tags.items():
        foreign = name == NOTE and SIGNATURE not in present.get(NOTE, SIGNATURE)
        if present.get(name) != value and not foreign:
            runs.client.set_experiment_tag(runs.number, name, value)
