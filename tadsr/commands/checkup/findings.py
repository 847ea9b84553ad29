"""What a check finds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Level = Literal["ok", "note", "warning", "problem"]
"""`note`: worth knowing. `warning`: works, with a catch. `problem`: will not work."""


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at, and what to do about it."""

    subject: str
    level: Level
    text: str
    remedy: str = ""
    """Empty where there is nothing to mend."""


def size_words(count: float) -> str:
    """Bytes in GiB, or in MiB below one."""
    return f"{count / 2**30:.1f} GiB" if count >= 2**30 else f"{count / 2**20:.0f} MiB"
