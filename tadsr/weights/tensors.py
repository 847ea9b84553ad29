"""What is known of the tensors that metrics compute with, remembered beside their files.

A file's digest says less: AlexNet with and without its classifier gives the same LPIPS. Loading a
metric digests its tensors; that is noted here, so that `tadsr weights list` can tell without torch.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from tadsr.weights.memory import recall, remember
from tadsr.weights.store import Present, status, weights_home

_SECTION = "tensors"


@dataclass(frozen=True)
class TensorsNote:
    """The tensors of a metric, as they were when it was last loaded from these files."""

    sha256: str
    verified: bool
    """Whether they are the published ones."""
    date: str


def note_tensors(key: str, names: Iterable[str], sha256: str, *, verified: bool) -> None:
    """Remember the digest of a metric's tensors, loaded from the files `names`.

    The first that was verified stays on record as the published one.
    """
    known = recall(weights_home())[_SECTION].get(key, {})
    entry = {
        "files": _stamps(names),
        "sha256": sha256,
        "verified": verified,
        "published": known.get("published") or (sha256 if verified else None),
        "date": time.strftime("%Y-%m-%d"),
    }
    if {**known, "date": ""} != {**entry, "date": ""}:
        remember(weights_home(), _SECTION, key, entry)


def noted_tensors(key: str, names: Iterable[str]) -> TensorsNote | None:
    """What was noted, if the files are still those."""
    entry = recall(weights_home())[_SECTION].get(key)
    if not isinstance(entry, dict) or entry.get("files") != _stamps(names):
        return None
    return TensorsNote(str(entry["sha256"]), bool(entry["verified"]), str(entry["date"]))


def published_tensors(key: str) -> str | None:
    """The digest on record: of the first load from files that were all the official ones."""
    entry = recall(weights_home())[_SECTION].get(key)
    found = entry.get("published") if isinstance(entry, dict) else None
    return found if isinstance(found, str) else None


def _stamps(names: Iterable[str]) -> dict[str, Any]:
    """Size and time of each file; None for one that is not here."""
    stamps: dict[str, Any] = {}
    for name in names:
        found = status(name)
        stat = found.path.stat() if isinstance(found, Present) else None
        stamps[name] = stat and [stat.st_size, stat.st_mtime_ns]
    return stamps
