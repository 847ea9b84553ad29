"""Which worker is at which trial, and what becomes of the trials of a dead one.

Neither Optuna's journal nor trials that are asked for and told one by one have a heartbeat. So a
trial carries a lease: its worker, and a number that the worker counts up. It is dead when

- it was on this machine, and no process holds its lock file any more (known at once), or
- its number has stood still for `patience` seconds by the clock of who looks: clocks of different
  machines are never compared.
"""

from __future__ import annotations

import os
import secrets
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

import optuna
from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import FrozenTrial, TrialState

from tadsr.locks import Lock, is_locked
from tadsr.sweeps.storage import LOST
from tadsr.sweeps.study import SweepStudy

LEASE = "lease"
PATIENCE = 90.0
"""Seconds after which a worker on another machine that gives no sign is dead."""
SIGNS = 6
"""A worker gives so many signs in that time."""


class LeaseLostError(Exception):
    """The trial was taken from its worker, which had given no sign for too long."""


def machine() -> str:
    """This machine since it was started: of two that are called the same, one is not the other."""
    path = Path("/proc/sys/kernel/random/boot_id")
    return path.read_text()[:13] if path.is_file() else os.uname().nodename


class Worker:
    """A process that does trials; a context manager that holds its lock file."""

    def __init__(self, folder: Path, patience: float = PATIENCE) -> None:
        self.folder = folder / "workers"
        self.patience = patience
        self.name = f"{machine()}--{os.getpid()}-{secrets.token_hex(4)}"
        self._lock = Lock(self._path(self.name), "a worker")

    def __enter__(self) -> Worker:
        self._lock.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:  # fmt: skip
        self._path(self.name).unlink(missing_ok=True)
        self._lock.__exit__()

    def known_dead(self, name: str) -> bool:
        """Whether a worker of this machine has died; False for all others."""
        return name.split("--")[0] == machine() and not is_locked(self._path(name))

    def _path(self, name: str) -> Path:
        return self.folder / f"{name}.lock"


class Lease:
    """While the block runs, a thread says that the trial is being worked on."""

    def __init__(self, trial: optuna.Trial, worker: Worker) -> None:
        self.trial = trial
        self.worker = worker
        self.lost = False
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._renew, daemon=True)

    def __enter__(self) -> Lease:
        self._sign(0)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:  # fmt: skip
        self._stop.set()
        self._thread.join()

    def check(self) -> None:
        """Raise LeaseLostError if the trial is not ours any more."""
        if self.lost:
            raise LeaseLostError(f"trial {self.trial.number}")

    def _renew(self) -> None:
        count = 0
        while not self._stop.wait(self.worker.patience / SIGNS):
            count += 1
            self._sign(count)

    def _sign(self, count: int) -> None:
        try:
            self.trial.set_user_attr(LEASE, [self.worker.name, count])
        except UpdateFinishedTrialError:
            self.lost = True
        except LOST:  # a database that is away: the next sign will do
            return


class Reaper:
    """Finds trials whose worker is dead, ends them, and has them done again."""

    def __init__(
        self, study: SweepStudy, worker: Worker, lock: Callable[[], Any],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        self.study = study
        self.worker = worker
        self._lock = lock
        self._clock = clock
        self._seen: dict[int, tuple[Any, float]] = {}
        self._looked = clock()

    def reap(self) -> None:
        """Look at all running trials once."""
        now = self._clock()
        if now - self._looked > self.worker.patience / 2:
            self._seen.clear()  # we were away ourselves, or the database was
        running = self.study.trials(TrialState.RUNNING)
        dead = [trial for trial in running if self._is_dead(trial, now)]
        for trial in dead:
            print(f"trial {trial.number}: its worker is dead, it is done again", flush=True)
            self.study.fail(trial.number)
        self._seen = {t.number: self._seen[t.number] for t in running if t.number in self._seen}
        self._looked = self._clock()
        if dead or self._has_open_ends():
            with self._lock():
                self.study.repeat(crashed=False)

    def _is_dead(self, trial: FrozenTrial, now: float) -> bool:
        lease = trial.user_attrs.get(LEASE)
        if lease and self.worker.known_dead(lease[0]):
            return True
        sign, since = self._seen.setdefault(trial.number, (lease, now))
        if sign != lease:
            self._seen[trial.number] = (lease, now)
            return False
        return now - since > self.worker.patience

    def _has_open_ends(self) -> bool:
        """Whether a trial was ended and its repetition not yet added: its reaper died too."""
        return bool(self.study.lost())


def forget_dead(folder: Path) -> None:
    """Remove lock files that dead workers of this machine left; call it under the search's lock."""
    for path in (folder / "workers").glob(f"{machine()}--*.lock"):
        if not is_locked(path):
            with suppress(FileNotFoundError):
                path.unlink()
