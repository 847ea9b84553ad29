"""Where the trials of a search are told of: a journal file, or a PostgreSQL database."""

from __future__ import annotations

import json
import os
import time
import warnings
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

import optuna
from optuna.exceptions import ExperimentalWarning, StorageInternalError
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from tadsr.errors import ConfigError, CorruptionError, StorageError, TadsrError, writing
from tadsr.locks import process_name
from tadsr.sweeps import SEARCH_JOURNAL

T = TypeVar("T")

LOST = (StorageInternalError, SQLAlchemyError)
"""What a database that went away makes Optuna raise."""

PATIENCE = 600.0
"""Seconds that a worker waits for its database to come back."""
FIRST_PATIENCE = 15.0
"""Seconds that it waits in the beginning, when the URL may be wrong."""
LONGEST_PAUSE = 5.0
LOCK_GRACE = 30
"""Seconds after which a journal's lock that stands unchanged is taken from its holder."""

optuna.logging.set_verbosity(optuna.logging.WARNING)
# Of Optuna's ways, wilcoxon, gp and the names of metrics are called so; they are pinned and tested.
warnings.filterwarnings("ignore", category=ExperimentalWarning)


class JournalLock(JournalFileOpenLock):
    """Optuna's lock of a journal, a file made with O_EXCL, with its holder's name inside.

    One whose holder was killed is taken by the next after LOCK_GRACE.
    """

    def acquire(self) -> bool:
        """Wait for the lock, and say in it whose it is."""
        held = super().acquire()
        with suppress(OSError):  # a full disk: the lock holds without a name in it
            Path(self._lock_file).write_text(process_name())
        return held


def journal_lock(path: Path) -> Path:
    """The file that is there while somebody writes to a journal."""
    return path.with_name(f"{path.name}.lock")


class Journal(JournalFileBackend):
    """Optuna's journal file, which a full disk or a kill cannot make unreadable.

    A write that was cut leaves a line without its end; the next one would be glued to it, and the
    whole file could not be read any more. So such a tail is cut off before each write, under the
    journal's own lock. The lock is a file made with O_EXCL, which holds on NFS too. Optuna's other
    one, a symbolic link, dangles where the path is relative, and is then never released when its
    owner was killed.
    """

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.lock = JournalLock(str(self.path), LOCK_GRACE)
        super().__init__(str(self.path), self.lock)
        self._locked(lambda: cut_torn_tail(self.path))

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Add entries; they are all there afterwards, or none is."""
        lines = "".join(json.dumps(log, separators=(",", ":")) + "\n" for log in logs)
        self._locked(lambda: self._append(lines.encode()))

    def _append(self, data: bytes) -> None:
        size = cut_torn_tail(self.path)
        try:
            with writing(self.path), self.path.open("ab") as stream:
                stream.write(data)
                stream.flush()
                os.fsync(stream.fileno())
        except (OSError, StorageError):
            os.truncate(self.path, size)
            raise

    def _locked(self, work: Callable[[], Any]) -> None:
        self.lock.acquire()
        try:
            work()
        finally:
            self.lock.release()


def cut_torn_tail(path: Path) -> int:
    """Cut off a last line without its end, under the journal's lock; returns the file's size."""
    with path.open("rb+") as stream:
        size = stream.seek(0, os.SEEK_END)
        end = size
        while end:
            start = max(0, end - 4096)
            stream.seek(start)
            place = stream.read(end - start).rfind(b"\n")
            if place >= 0:
                end = start + place + 1
                break
            end = start
        if end < size:
            stream.truncate(end)
    return end


def open_storage(where: str, folder: Path) -> BaseStorage:
    """The storage of a search: the journal in its `folder`, or the database at a URL.

    Raises:
        ConfigError: a URL that leads nowhere; passwords are not shown.
        CorruptionError: a journal that cannot be read.
    """
    if where != "journal":
        return _open_database(where)
    path = folder / SEARCH_JOURNAL
    try:
        return JournalStorage(Journal(path))
    except ValueError as error:  # a line in the middle that is no JSON
        raise CorruptionError(
            f"{path}: damaged ({error}); move it away to start the search afresh (trials that are "
            "done are found again by their settings)"
        ) from error


def database_url(where: str) -> URL:
    """The URL of a PostgreSQL database as its driver is asked for it.

    Raises:
        ConfigError: it is none.
    """
    try:
        return make_url(where).set(drivername="postgresql+psycopg")
    except (ArgumentError, ValueError) as error:  # ValueError: of a port that is no number
        raise ConfigError(
            f"execution.sweep_storage: '{where}' is no URL; write "
            "postgresql://user@host:port/database"
        ) from error


def _open_database(where: str) -> BaseStorage:
    url = database_url(where)
    options = {"pool_pre_ping": True, "connect_args": {"connect_timeout": 10}}
    open_it = lambda: RDBStorage(  # noqa: E731
        url.render_as_string(hide_password=False), engine_kwargs=options
    )
    try:
        return patiently(open_it, FIRST_PATIENCE)
    except TadsrError as error:
        raise ConfigError(
            f"execution.sweep_storage: {url.render_as_string()} cannot be used ({error}); start "
            "the database, or correct the URL"
        ) from error


def patiently(call: Callable[[], T], patience: float = PATIENCE) -> T:
    """The result of a call to the storage, which may be away for a while.

    A call that is repeated may have had its effect already: use it with calls that can be.

    Raises:
        TadsrError: it stayed away.
    """
    deadline, pause = time.monotonic() + patience, 0.2
    while True:
        try:
            return call()
        except LOST as error:
            if time.monotonic() + pause > deadline:
                raise TadsrError(reason(error)) from error
        time.sleep(pause)
        pause = min(2 * pause, LONGEST_PAUSE)


def reason(error: BaseException) -> str:
    """The first line of what lies at the bottom of a database's error."""
    while error.__cause__ is not None:
        error = error.__cause__
    text = str(getattr(error, "orig", None) or error).strip().splitlines()
    return text[0][:300] if text else type(error).__name__
