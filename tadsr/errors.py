"""Errors that a user can act on.

Each message is one line that names the value, the place and the remedy. The command line prints
it without a traceback and exits with `exit_code`.
"""

from __future__ import annotations

import re

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
