"""How the trials of a search stand, without changing anything in its storage."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import optuna
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.trial import FrozenTrial, TrialState

from tadsr.config.sweep import SweepSpec
from tadsr.errors import CorruptionError
from tadsr.locks import is_locked
from tadsr.sweeps import SEARCH_JOURNAL
from tadsr.sweeps.database_state import CONNECT, database_state
from tadsr.sweeps.journal_state import ReadOnlyJournal, journal_state, move_away
from tadsr.sweeps.leases import LEASE, PATIENCE, SIGNS, machine
from tadsr.sweeps.remarks import Remark
from tadsr.sweeps.storage import database_url, patiently
from tadsr.sweeps.study import CRASHED, SweepStudy

WATCH = 1.3 * PATIENCE / SIGNS
"""Seconds within which a living worker gives a sign."""
SOON = 5.0
"""Seconds that a database may be away while its trials are read."""
AGAIN = "tadsr run: a worker ends it and does its settings again"

__all__ = ["SearchState", "database_state", "journal_state"]


class SearchState:
    """A search that is looked at: its trials now, and those whose worker must be watched."""

    def __init__(self, spec: SweepSpec, study: str, where: str, folder: Path) -> None:
        self.spec = spec
        self.name = study
        self.where = where
        self.folder = folder
        self._watched: dict[int, Any] = {}

    def trials(self) -> Iterator[Remark]:
        """Remarks on the trials; those that take watching follow with `watched`."""
        study = self._open()
        if study is None:
            yield Remark("ok", f"search '{self.name}' has not begun")
            return
        trials = study.trials()
        counts = Counter(trial.state.name.lower() for trial in trials)
        shown = ", ".join(f"{count} {state}" for state, count in sorted(counts.items()))
        yield Remark("ok", f"search '{self.name}': {shown or 'no trial yet'}")
        for trial in study.crashed():
            yield Remark("warning", f"trial {trial.number} of '{self.name}' ended in an error: "
                         f"{trial.user_attrs[CRASHED]}",
                         "mend its cause; tadsr run tries it again")  # fmt: skip
        for trial in study.lost():
            yield Remark("note", f"trial {trial.number} of '{self.name}' lost its worker", AGAIN)
        for trial in trials:
            if trial.state == TrialState.RUNNING:
                yield from self._running(trial)

    def _open(self) -> SweepStudy | None:
        """The study; None where it has not begun. Call it only if the storage has no problem."""
        if self.where == "journal" and not (self.folder / SEARCH_JOURNAL).is_file():
            return None
        storage = self._storage()
        try:
            study = patiently(
                lambda: optuna.load_study(study_name=self.name, storage=storage), SOON
            )
        except KeyError:
            return None
        return SweepStudy(self.spec, study, storage, SOON)

    def _storage(self) -> BaseStorage:
        if self.where != "journal":
            url = database_url(self.where).render_as_string(hide_password=False)
            return patiently(lambda: RDBStorage(
                url, engine_kwargs={"connect_args": CONNECT}, skip_table_creation=True,
            ), SOON)  # fmt: skip
        path = self.folder / SEARCH_JOURNAL
        try:
            return JournalStorage(ReadOnlyJournal(path))
        except (KeyError, TypeError, ValueError, AssertionError) as error:
            raise CorruptionError(
                f"{path}: its entries make no search ({error!r}); {move_away(path)}, then tadsr run"
            ) from error

    def _running(self, trial: FrozenTrial) -> Iterator[Remark]:
        """Of a worker of this machine its lock tells at once; others are watched."""
        lease = trial.user_attrs.get(LEASE)
        worker = str(lease[0]) if lease else ""
        if not worker or worker.split("--")[0] != machine():
            self._watched[trial.number] = lease
        elif is_locked(self.folder / "workers" / f"{worker}.lock"):
            yield Remark(
                "ok", f"trial {trial.number} of '{self.name}' is being done by {_who(worker)}"
            )
        else:
            yield Remark("note", f"trial {trial.number} of '{self.name}': its worker, "
                         f"{_who(worker)}, is dead", AGAIN)  # fmt: skip

    @property
    def watches(self) -> bool:
        """Whether `watched` has something to say, some WATCH seconds after `trials`."""
        return bool(self._watched)

    def watched(self) -> Iterator[Remark]:
        """Of the trials whose worker is elsewhere: whether it gave a sign since `trials`."""
        study = self._open()
        now = {trial.number: trial for trial in study.trials()} if study else {}
        for number, before in self._watched.items():
            trial = now.get(number)
            what = f"trial {number} of '{self.name}'"
            if trial is None or trial.state != TrialState.RUNNING:
                yield Remark("ok", f"{what} ended meanwhile")
            elif trial.user_attrs.get(LEASE) != before:
                yield Remark("ok", f"{what} is being done on another machine")
            else:
                yield Remark("warning", f"{what}: its worker gave no sign for {WATCH:.0f} s",
                             f"none if it is only slow; after {PATIENCE:.0f} s without a sign a "
                             "worker of tadsr run ends it and does its settings again")  # fmt: skip


def watch() -> None:
    """Wait for as long as a living worker takes to give a sign."""
    time.sleep(WATCH)


def _who(worker: str) -> str:
    """`process 7` of the name of a worker of this machine."""
    return f"process {worker.partition('--')[2].split('-')[0]}"
