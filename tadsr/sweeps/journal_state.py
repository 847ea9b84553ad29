"""Whether a search's journal can be used as it is. Changes nothing."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from shlex import quote
from typing import Any, NoReturn

from optuna.storages.journal import JournalFileBackend

from tadsr.locks import is_dead
from tadsr.sweeps import SEARCH_JOURNAL
from tadsr.sweeps.remarks import Remark
from tadsr.sweeps.storage import LOCK_GRACE, journal_lock


class ReadOnlyJournal(JournalFileBackend):
    """A journal that is there, read without its lock: a line that is being written is left out."""

    def __init__(self, path: Path) -> None:
        self._file_path = str(path)
        self._log_number_offset = {0: 0}

    def append_logs(self, logs: list[dict[str, Any]]) -> NoReturn:
        """Not here."""
        raise PermissionError(f"{self._file_path}: opened for reading")


def journal_state(folder: Path) -> Iterator[Remark]:
    """What there is to say of the journal in a search's folder; it is readable if no problem is."""
    path = folder / SEARCH_JOURNAL
    if not path.is_file():
        yield Remark("ok", f"{path} does not exist yet; the first worker makes it")
        return
    yield from _permissions(path)
    try:
        data = path.read_bytes()
    except OSError as error:
        yield Remark(
            "problem", f"{path} cannot be read ({error.strerror})", f"chmod u+rw {quote(str(path))}"
        )
        return
    yield from _lines(path, data)
    yield from _lock(path)


def _permissions(path: Path) -> Iterator[Remark]:
    """A worker appends to the file, and makes a lock beside it."""
    for place, mode in ((path, "rw"), (path.parent, "rwx")):
        if not os.access(place, os.W_OK):
            yield Remark("problem", f"{place} cannot be written to, so no trial can be told of",
                         f"chmod u+{mode} {quote(str(place))}")  # fmt: skip


def _lines(path: Path, data: bytes) -> Iterator[Remark]:
    whole, _, tail = data.rpartition(b"\n")
    for number, line in enumerate(whole.split(b"\n") if whole else [], start=1):
        try:
            json.loads(line)
        except ValueError:
            yield Remark(
                "problem", f"{path}: line {number} is damaged, and nothing after it can be read",
                f"{move_away(path)}, then tadsr run: trials that are done are found again "
                "by their settings",
            )  # fmt: skip
            return
    if tail:
        yield Remark("note", f"{path}: the last line was cut ({len(tail)} bytes without an end)",
                     "none needed: the next worker cuts it off")  # fmt: skip


def _lock(path: Path) -> Iterator[Remark]:
    """It is held for milliseconds; one that lasts is a dead process's, or a stopped one's."""
    lock = journal_lock(path)
    try:
        age, holder = time.time() - lock.stat().st_mtime, lock.read_text(errors="replace")
    except OSError:  # let go of meanwhile
        return
    who = holder.strip() or "a process that gave no name"
    if is_dead(holder):
        yield Remark("note", f"{lock} is of {who}, which is dead",
                     f"none needed: the next worker takes it after {LOCK_GRACE} s")  # fmt: skip
    elif age > LOCK_GRACE:
        yield Remark("warning", f"{lock} is held by {who} for {age:.0f} s: stopped, or dead",
                     "end it if it lives; else the next worker takes it")  # fmt: skip
    else:
        yield Remark("ok", f"{lock} is held by {who}")


def move_away(path: Path) -> str:
    """The command that takes a journal out of the way."""
    return f"mv {quote(str(path))} {quote(f'{path}.damaged')}"
