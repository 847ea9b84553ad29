"""The one kind of lock of this package: on a file, by the kernel, gone with its process."""

from __future__ import annotations

import fcntl
import os
import re
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from tadsr.errors import LockedError, writing


def try_lock(handle: int) -> bool | None:
    """Lock an open file; False if another process holds it, None if it cannot be locked here."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # file systems without locks, or without those of folders (NFS)
        return None
    return True


def process_name() -> str:
    """What stands in a lock: whose it is, and since when."""
    now = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime())
    return f"process {os.getpid()} on {os.uname().nodename} since {now}"


def lock_owner(text: str) -> tuple[int, str] | None:
    """Process id and machine from what stands in a lock; None if no `process_name` does."""
    match = re.fullmatch(r"process (\d+) on (\S+)( since .+)?", text.strip())
    return None if match is None else (int(match[1]), match[2])


def is_dead(text: str) -> bool:
    """Whether a process of this machine, named as in a lock, is no more."""
    owner = lock_owner(text)
    if owner is None or owner[1] != os.uname().nodename:
        return False
    try:
        os.kill(owner[0], 0)
    except ProcessLookupError:
        return True
    except PermissionError:  # it lives, and is another user's
        return False
    return False


def is_locked(path: Path | str) -> bool:
    """Whether a process holds the lock on `path`; writes nothing, so copies may be read-only."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(handle)
    return False


class Lock:
    """An exclusive lock on a file, released by the kernel when the process dies.

    Use as a context manager. With `wait=False` one that is held is an error at once, which says
    by which process; otherwise `waiting` is told so, and its end is waited for.

    Raises:
        LockedError: it is held.
        StorageError: its place may not be written to.
    """

    def __init__(
        self, path: Path | str, purpose: str, *, wait: bool = False,
        waiting: Callable[[str], None] | None = None,
    ) -> None:  # fmt: skip
        self.path = Path(path)
        self.purpose = purpose
        self.wait = wait
        self.waiting = waiting
        self._handle: int | None = None

    def __enter__(self) -> Lock:
        with writing(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            handle = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
            try:
                self._take(handle)
                os.ftruncate(handle, 0)
                os.pwrite(handle, process_name().encode(), 0)
            except BaseException:
                os.close(handle)
                raise
        self._handle = handle
        return self

    def _take(self, handle: int) -> None:
        # `is_locked` holds it for a moment, too, so that the first try is not the last word.
        for _ in range(1 if self.wait else 3):
            with suppress(BlockingIOError):
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            if not self.wait:
                time.sleep(0.02)
        if not self.wait:
            raise LockedError(
                f"{self._under_way(handle)}; wait for it or stop it, then run the same command "
                "again"
            )
        if self.waiting:
            self.waiting(f"{self._under_way(handle)}; waiting for it")
        fcntl.flock(handle, fcntl.LOCK_EX)

    def _under_way(self, handle: int) -> str:
        return f"{self.path.parent}: {self.purpose} is already under way by {_holder(handle)}"

    def __exit__(self, *_: object) -> None:
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None


def _holder(handle: int) -> str:
    """Who holds a lock: not the dead process before it, whose name may stand there for a moment."""
    for _ in range(20):
        text = os.pread(handle, 200, 0).decode(errors="replace").strip()
        if lock_owner(text) and not is_dead(text):
            return text
        time.sleep(0.05)
    return text or "another process"
