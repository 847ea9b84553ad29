"""What is said of a search's storage: plain data, for `tadsr doctor`."""

from __future__ import annotations

from typing import Literal, NamedTuple


class Remark(NamedTuple):
    """One thing that was looked at, and what to do about it."""

    level: Literal["ok", "note", "warning", "problem"]
    text: str
    remedy: str = ""
