"""Carrying curves and statuses to MLflow while trainings run.

What the files say is carried, whatever was carried before: `Runs` sends what is missing. So a
follower may be stopped, killed or started twice, and a server may be away meanwhile.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tadsr.locks import is_locked
from tadsr.plan import Plan
from tadsr.plan.receipts import current_card, fresh_jobs
from tadsr.publish.client import opened, tag_experiment
from tadsr.publish.connection import CARRY
from tadsr.publish.entities import Sent
from tadsr.publish.front_page import page_under_way
from tadsr.publish.mapping import PARENT
from tadsr.publish.records import RunRecord
from tadsr.publish.runs import MlflowRun, Runs
from tadsr.publish.trainings import NOTE, TEACHER, student_record, teacher_record
from tadsr.report.reading import curves_of
from tadsr.runs.folder import FINISHED

Stamp = tuple[tuple[int, int, int], ...]
"""(inode, size, time of change) of a training's card and curves."""


@dataclass(frozen=True)
class Training:
    """A training with news."""

    folder: str
    """Below the results folder."""
    stamp: Stamp
    record: RunRecord


class Follower:
    """Knows what was carried, and looks for what was not."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        cells = [(c.variant, c.seed) for c in plan.experiment.cells()]
        self.cells = {f"students/{variant}/seed-{seed}": (variant, seed) for variant, seed in cells}
        self._carried: dict[str, Stamp] = {}
        self._sent: dict[str, set[Sent]] = {}
        self._told: dict[str, str] = {}
        self._run_seen = False

    def state(self) -> str:
        """Where the experiment is: `ready` to be published as a whole, or not.

        `under way` while a `tadsr run` is there, `waiting` before one was seen, and `ended` when
        the one that was seen is no more.
        """
        if is_locked(self.plan.root / ".lock"):
            self._run_seen = True
            return "ready" if self._done("publish") else "under way"
        if self._done("report"):
            return "ready"
        return "ended" if self._run_seen else "waiting"

    def _done(self, job: str) -> bool:
        there = self.plan.output(job).is_file() and self.plan.receipt(job).is_file()
        return there and job in fresh_jobs(self.plan)  # which reads every receipt

    def carry(self) -> list[str]:
        """Carry the news over; returns `<run>: <status>` of the trainings whose status is new.

        Raises:
            UnreachableError: MLflow cannot be had; the next call carries everything.
        """
        news = list(self._news())
        if not news:
            return []
        experiment = self.plan.experiment
        with opened(experiment.name, self.plan.root, patience=CARRY) as runs:
            runs.sent = self._sent
            found = runs.existing()
            late = [n for n in news if not _is_there(n.record, found.get(n.record.key, []))]
            if late:
                above = self._parent(runs, found.get(PARENT, []))
                for training in late:
                    record = training.record
                    runs.bring(record, found.get(record.key, []), above)
        self._carried.update({training.folder: training.stamp for training in news})
        now = {training.record.key: training.record.status for training in late}
        changed = [key for key in now if now[key] != self._told.get(key)]
        self._told.update(now)
        return [f"{key}: {now[key]}" for key in changed]

    def _news(self) -> Iterator[Training]:
        for folder in (TEACHER, *self.cells):
            # Stamped first: what is written while it is read is news the next time.
            stamp = _stamp(self.plan.root / folder)
            if stamp and stamp != self._carried.get(folder):
                card = current_card(self.plan, folder)
                if card is not None:
                    yield Training(folder, stamp, self._record(folder, card))

    def _record(self, folder: str, card: dict[str, Any]) -> RunRecord:
        experiment, root = self.plan.experiment, self.plan.root
        curves = curves_of(root / folder / "metrics.jsonl")
        if folder == TEACHER:
            return teacher_record(experiment, root, card, curves)
        return student_record(experiment, root, self.cells[folder], card, curves)

    def _parent(self, runs: Runs, found: list[MlflowRun]) -> str:
        """The id of the parent run, which says that work goes on and keeps what else it shows."""
        experiment = self.plan.experiment
        cards = [current_card(self.plan, folder) for folder in self.cells]
        done = sum(card is not None and card["status"] in FINISHED for card in cards)
        record = RunRecord(key=PARENT, name=experiment.name, kind=PARENT, status="running", tags={})
        run = runs.open(record, found)
        runs.under_way(run, f"{done} of {len(cards)} students trained")
        if NOTE not in runs.client.get_experiment(runs.number).tags:
            tag_experiment(runs, page_under_way(runs.number))
        return str(run.info.run_id)


def _stamp(folder: Path) -> Stamp:
    """Empty where no training was begun."""
    found = []
    for name in ("run.json", "metrics.jsonl"):
        try:
            state = (folder / name).stat()
        except FileNotFoundError:
            continue
        found.append((state.st_ino, state.st_size, state.st_mtime_ns))
    return tuple(found)


def _is_there(record: RunRecord, found: list[MlflowRun]) -> bool:
    """Whether a finished training was published before, with the scores that came after it."""
    names = ("tadsr.digest", "tadsr.model_content", "tadsr.status")
    told = [record.tags.get(name) for name in names[:2]] + [record.status]
    return record.status in FINISHED and any(
        "tadsr.content" in run.data.tags and [run.data.tags.get(name) for name in names] == told
        for run in found
    )
