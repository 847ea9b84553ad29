"""What the weights folder remembers, in one small JSON file.

`files`: digests by size and time of the file (hashing 250 MB takes a second). `failures`: downloads
that failed, so that a machine without a network waits for the time-out once, not in every run.
`recorded`: digests of first downloads, for files without an official one. `tensors`: digests of
what metrics loaded (`tadsr.weights.tensors`). All but the records can be found out again.
"""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from tadsr.errors import TadsrError
from tadsr.files import read_json, sha256_file, write_json
from tadsr.locks import Lock
from tadsr.weights.catalog import WeightFile

MEMORY = "tadsr-weights.json"
"""Name of the file, in the weights folder."""

_LOCK = ".tadsr-weights-memory.lock"
_SECTIONS = ("files", "failures", "recorded", "tensors")


def recall(home: Path) -> dict[str, dict[str, Any]]:
    """All that is remembered, by section and key; a damaged file is an empty memory."""
    memory: dict[str, dict[str, Any]] = {section: {} for section in _SECTIONS}
    with suppress(OSError, TadsrError):
        found = read_json(home / MEMORY)
        if isinstance(found, dict):
            memory.update({k: v for k, v in found.items() if isinstance(v, dict)})
    return memory


def remember(home: Path, section: str, key: str, value: Any) -> None:
    """Set one entry, or delete it with None.

    A shared, read-only folder or a full disk works as well, only slower: nothing is remembered.
    """
    with suppress(OSError, TadsrError):
        _write(home, section, key, value)


def _write(home: Path, section: str, key: str, value: Any) -> None:
    with Lock(home / _LOCK, "remembering", wait=True):
        memory = recall(home)  # under the lock: another process may have added to it
        if value is None and key not in memory[section]:
            return
        memory[section].pop(key, None)
        if value is not None:
            memory[section][key] = value
        write_json(home / MEMORY, memory)


def known_digest(home: Path, entry: WeightFile, path: Path) -> str:
    """sha256 of a file in place, computed once per size and time of the file."""
    stat = path.stat()
    stamp = [stat.st_size, stat.st_mtime_ns]
    known = recall(home)["files"].get(entry.path)
    if isinstance(known, dict) and known.get("stamp") == stamp:
        return str(known["sha256"])
    digest = sha256_file(path)
    verified = bool(entry.sha256 and digest.startswith(entry.sha256))
    remember(home, "files", entry.path, {"stamp": stamp, "sha256": digest, "verified": verified})
    return digest


def record(home: Path, entry: WeightFile, digest: str) -> None:
    """Note the digest of a first download, by which every later one is judged.

    Raises:
        OSError, TadsrError: it cannot be written; then the file must not be used unnoted.
    """
    if entry.path not in recall(home)["recorded"]:
        date = time.strftime("%Y-%m-%d")
        _write(home, "recorded", entry.path, {"sha256": digest, "date": date})


def recorded(home: Path, entry: WeightFile) -> tuple[str, str] | None:
    """(sha256, date) of the first download, if no official sha256 is known and there was one."""
    if entry.sha256 is not None:
        return None
    known = recall(home)["recorded"].get(entry.path)
    return None if known is None else (str(known["sha256"]), str(known["date"]))
