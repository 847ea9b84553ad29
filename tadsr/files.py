"""Files that are whole or absent, digests, and the one lock of this package."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from tadsr.errors import LockedError, TadsrError

TEMPORARY_PREFIX = ".tmp-"
CHECKSUM = "checksum"


@contextmanager
def atomic_path(path: Path | str) -> Iterator[Path]:
    """Yield a path beside `path` to write to; rename it to `path` when the block succeeds.

    On failure, SIGKILL aside, the temporary file is removed. A full disk is reported as one line.
    The temporary name keeps the suffix, because libraries choose a format by it.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(
        prefix=f"{TEMPORARY_PREFIX}{path.stem[:40]}-", suffix=path.suffix, dir=path.parent
    )
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        with temporary.open("rb") as stream:
            os.fsync(stream.fileno())
        temporary.chmod(0o644)
        temporary.replace(path)
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise TadsrError(
                f"{path}: the disk is full; free some space and run the same command again"
            ) from error
        raise
    finally:
        temporary.unlink(missing_ok=True)


def remove_leftovers(folder: Path | str, *, older_than: float = 0.0) -> None:
    """Delete temporary files that a killed process left below `folder`.

    Call it while holding the folder's lock, or with an age in seconds that no write takes.
    """
    horizon = time.time() - older_than
    # os.walk and not rglob: another process may remove what is being looked at.
    for place, folders, files in os.walk(folder):
        for path in (Path(place, n) for n in (*folders, *files) if n.startswith(TEMPORARY_PREFIX)):
            with suppress(FileNotFoundError):
                if path.stat().st_mtime > horizon:
                    continue
                if path.is_dir():
                    shutil.rmtree(path, ignore_errors=True)
                else:
                    path.unlink()


def link_tree(source: Path, target: Path, *, without: tuple[str, ...] = ()) -> None:
    """Copy a folder by hard links, or by bytes where the file system has none across these places.

    Files are only ever replaced by renaming (`atomic_path`), so a link is as good as a copy.
    Names in `without` and temporary files are left out, at any depth.
    """

    def copy(one: str, other: str) -> str:
        try:
            os.link(one, other)
        except OSError:
            shutil.copy2(one, other)
        return other

    ignore = shutil.ignore_patterns(*without, f"{TEMPORARY_PREFIX}*")
    shutil.copytree(source, target, copy_function=copy, ignore=ignore)


def write_text(path: Path | str, text: str) -> None:
    """Write `text` (UTF-8) to `path` in one step."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def canonical_json(value: Any) -> str:
    """The one spelling of `value` that digests are taken of: sorted keys, no NaN, no spaces."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def write_json(path: Path | str, value: Any, *, sort_keys: bool = True) -> None:
    """Write `value` as indented JSON, in one step; `sort_keys=False` keeps the order it has."""
    write_text(path, json.dumps(value, sort_keys=sort_keys, indent=1, allow_nan=False) + "\n")


def read_json(path: Path | str) -> Any:
    """Read JSON; a file that is not JSON is an error that names it."""
    path = Path(path)
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:  # not JSON, or not even UTF-8
        raise TadsrError(f"{path}: not valid JSON ({error}); delete it and run again") from error


def digest_json(value: Any) -> str:
    """sha256 (hex) of the canonical JSON of `value`."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()


def with_checksum(value: dict[str, Any]) -> dict[str, Any]:
    """`value` with the digest of all its other entries under `checksum`.

    For files that tell of others: a flipped byte in them must not accuse those.
    """
    rest = {key: entry for key, entry in value.items() if key != CHECKSUM}
    return {**rest, CHECKSUM: digest_json(rest)}


def checksum_holds(value: dict[str, Any]) -> bool | None:
    """Whether a value still is what `with_checksum` gave; None if it never had a checksum."""
    return None if CHECKSUM not in value else with_checksum(value) == value


def sha256_file(path: Path | str) -> str:
    """sha256 (hex) of a file's bytes."""
    with Path(path).open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def list_files(folder: Path | str, patterns: tuple[str, ...] = ("*",)) -> dict[str, str]:
    """Relative name to sha256 (hex) of the files below `folder` that match, sorted."""
    folder = Path(folder)
    paths = {p for pattern in patterns for p in folder.rglob(pattern) if p.is_file()}
    return {
        p.relative_to(folder).as_posix(): sha256_file(p)
        for p in sorted(paths)
        if not p.name.startswith(TEMPORARY_PREFIX)
    }


def digest_files(folder: Path | str, patterns: tuple[str, ...] = ("*",)) -> str:
    """One sha256 over the relative names and bytes of the files of `folder` that match."""
    return digest_json(list_files(folder, patterns))


def process_name() -> str:
    """What stands in a lock: whose it is."""
    return f"process {os.getpid()} on {os.uname().nodename}"


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

    Use as a context manager; `wait=False` raises `LockedError` at once when it is held, and the
    message says by which process.
    """

    def __init__(self, path: Path | str, purpose: str, *, wait: bool = False) -> None:
        self.path = Path(path)
        self.purpose = purpose
        self.wait = wait
        self._handle: int | None = None

    def __enter__(self) -> Lock:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | (0 if self.wait else fcntl.LOCK_NB))
        except BlockingIOError:
            holder = os.read(handle, 200).decode(errors="replace").strip() or "another process"
            os.close(handle)
            raise LockedError(
                f"{self.path.parent}: {self.purpose} is already under way by {holder}; "
                "wait for it or stop it, then run the same command again"
            ) from None
        os.ftruncate(handle, 0)
        os.pwrite(handle, process_name().encode(), 0)
        self._handle = handle
        return self

    def __exit__(self, *_: object) -> None:
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None
