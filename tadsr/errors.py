"""Errors that a user can act on.

Each message is one line that names the value, the place and the remedy. The command line prints
it without a traceback and exits with `exit_code`.
"""

from __future__ import annotations

import errno
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PASSWORD = re.compile(r"(?<=://)([^\s/@:]*):\S*@")
"""In a URL, up to the last @: a password may hold one."""
PASSWORD_OPTION = re.compile(r"([?&]\w*(?:password|passwd|token|secret)=)[^&\s'\"]+", re.IGNORECASE)


def without_secrets(text: str) -> str:
    """`text` with *** in place of the passwords in its URLs: fit for screens, logs and cards."""
    return PASSWORD_OPTION.sub(r"\1***", PASSWORD.sub(r"\1:***@", text))


class TadsrError(Exception):
    """A failure the user can mend; printed as one line, exit code 1."""

    exit_code = 1

    def __str__(self) -> str:
        return without_secrets(super().__str__())


class ConfigError(TadsrError):
    """A mistake in an experiment, variant or command line: nothing was started, exit code 2."""

    exit_code = 2


class DataError(TadsrError):
    """An image or data set that cannot be used as it is."""


class CorruptionError(TadsrError):
    """Stored content that differs from what its own run card or receipt says."""


class LockedError(TadsrError):
    """Another process holds the lock of a results or run folder."""


class StorageError(TadsrError):
    """A disk that is full, or a place that may not be written to. What was there is as it was."""


_ROOM = "free some space and run the same command again"
_ELSEWHERE = "or work on a copy elsewhere"
_REFUSALS = {
    errno.ENOSPC: f"the disk is full; {_ROOM}",
    errno.EDQUOT: f"the disk quota is used up; {_ROOM}",
    errno.EROFS: f"the file system is read-only; get the right to write there, {_ELSEWHERE}",
    errno.EACCES: f"permission denied; get the right to read or write it, {_ELSEWHERE}",
}
_FULL = (errno.ENOSPC, errno.EDQUOT)
_WORDS = {
    "No space left on device": errno.ENOSPC,
    "database or disk is full": errno.ENOSPC,
    "Disk quota exceeded": errno.EDQUOT,
    "Read-only file system": errno.EROFS,
    "attempt to write a readonly database": errno.EROFS,
}
"""How libraries that raise errors of their own (safetensors, SQLite, MLflow) put it."""


def storage_error(error: BaseException, place: Path | str) -> StorageError | None:
    """What the disk refused, if that is at the bottom of `error`; None if it is something else.

    Args:
        place: what was being written; an error that names its file is believed rather.
    """
    cause: BaseException | None = error
    said = True
    while cause is not None:
        if isinstance(cause, StorageError):
            return cause
        number = _error_number(cause)
        # What merely went before may be of no account, such as a cache that a library did without.
        if number in _REFUSALS and (said or number in _FULL):
            return StorageError(f"{_file_of(cause) or place}: {_REFUSALS[number]}")
        said = said and cause.__cause__ is not None
        cause = cause.__cause__ or cause.__context__
    return None


def _file_of(error: BaseException) -> str | None:
    """The file that an error names; of a copy the one that was being written."""
    return getattr(error, "filename2", None) or getattr(error, "filename", None)


def _error_number(error: BaseException) -> int:
    if isinstance(error, OSError) and error.errno in _REFUSALS:
        return error.errno
    text = str(error)
    return next((number for words, number in _WORDS.items() if words in text), 0)


@contextmanager
def writing(place: Path | str) -> Iterator[None]:
    """While the block runs, what the disk refuses becomes one line that names `place`.

    Raises:
        StorageError: instead of what the operating system or a library raised.
    """
    try:
        yield
    except Exception as error:
        if refused := storage_error(error, place):
            raise refused from error
        raise


def nearest(word: str, names: list[str]) -> str:
    """Return `` (did you mean 'x'?)`` for the closest of `names`, else the list of valid names."""
    import difflib

    if not names:
        return "there is none to choose from"
    close = difflib.get_close_matches(word, names, n=1, cutoff=0.5)
    if close:
        return f"did you mean '{close[0]}'?"
    return "valid names: " + ", ".join(sorted(names))


def listed(problems: list[str], most: int = 20) -> str:
    """Several problems in one line; past `most` of them, the number of the others."""
    shown = "; ".join(problems[:most])
    return f"{shown}; and {len(problems) - most} more" if len(problems) > most else shown
