"""Files that are whole or absent, and digests."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from tadsr.errors import TadsrError, writing
from tadsr.locks import try_lock

TEMPORARY_PREFIX = ".tmp-"
CHECKSUM = "checksum"


@contextmanager
def atomic_path(path: Path | str, *, within_folder: bool = False) -> Iterator[Path]:
    """Yield a path beside `path` to write to; rename it to `path` when the block succeeds.

    On failure, SIGKILL aside, the temporary file is removed. While it is written it is locked, so
    that `remove_leftovers` can tell it from a dead process's. The temporary name keeps the suffix,
    because libraries choose a format by it. `within_folder`: it lies in a temporary folder, for
    libraries that write to a name of their own beside it first, and leave that when killed.

    Raises:
        StorageError: the disk is full, or may not be written to.
    """
    path = Path(path)
    with writing(path), _temporary(path, is_folder=within_folder) as temporary:
        temporary = temporary / path.name if within_folder else temporary
        yield temporary
        with temporary.open("rb") as stream:
            os.fsync(stream.fileno())
        temporary.chmod(0o644)
        temporary.replace(path)


@contextmanager
def atomic_folder(folder: Path | str, *, replace: bool = False) -> Iterator[Path]:
    """As `atomic_path`, of a new folder; `replace`: in the place of one that may be there.

    Raises:
        StorageError: the disk is full, or may not be written to.
        OSError: there is a folder already that is not empty.
    """
    folder = Path(folder)
    with writing(folder), _temporary(folder, is_folder=True) as aside:
        new, old = aside / "new", aside / "old"
        new.mkdir()
        yield new
        if replace and folder.exists():
            folder.replace(old)
        try:
            new.replace(folder)
        except OSError:
            if old.exists():
                old.replace(folder)
            raise


@contextmanager
def _temporary(path: Path, *, is_folder: bool = False) -> Iterator[Path]:
    """A new file or folder beside `path`, locked by us, and gone in the end."""
    path.parent.mkdir(parents=True, exist_ok=True)
    prefix = f"{TEMPORARY_PREFIX}{path.stem[:40]}-"
    if is_folder:  # these are few, so that looking for what the dead left costs nothing
        for old in (p for p in path.parent.iterdir() if p.name.startswith(prefix)):
            _remove_dead(old)
    while True:
        handle, name = _create(path, prefix, is_folder=is_folder)
        try:
            if try_lock(handle) is not False and name.exists():
                yield name
                return
        finally:  # without a `yield`: somebody who looked for leftovers came before our lock
            _remove(name)
            os.close(handle)


def _create(path: Path, prefix: str, *, is_folder: bool) -> tuple[int, Path]:
    """A new file or folder beside `path`, open."""
    if not is_folder:
        handle, name = tempfile.mkstemp(prefix=prefix, suffix=path.suffix, dir=path.parent)
        return handle, Path(name)
    while True:
        folder = Path(tempfile.mkdtemp(prefix=prefix, dir=path.parent))
        with suppress(FileNotFoundError):  # taken for a leftover
            return os.open(folder, os.O_RDONLY | os.O_CLOEXEC), folder


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def leftovers(folder: Path | str) -> Iterator[Path]:
    """Temporary files and folders below `folder`, those of living processes included."""
    # os.walk and not rglob: another process may remove what is being looked at.
    for place, folders, files in os.walk(folder):
        yield from (Path(place, n) for n in (*folders, *files) if n.startswith(TEMPORARY_PREFIX))


def remove_leftovers(folder: Path | str, *, shared: bool = False) -> None:
    """Delete temporary files that killed processes left below `folder`.

    Call it while holding the folder's lock. `shared`: others may be writing there; what they
    write is locked by them, and stays. No clock is asked, so none can mislead.
    """
    for path in leftovers(folder):
        if shared:
            _remove_dead(path)
        else:
            _remove(path)


def _remove_dead(path: Path) -> None:
    """Delete a temporary file unless its writer lives, or nobody can tell."""
    handle = _open(path)
    if handle is not None:
        if try_lock(handle):
            _remove(path)
        os.close(handle)


def _open(path: Path) -> int | None:
    """A handle that can be locked (NFS locks only what is open for writing).

    None of what is gone, another user's, or a link.
    """
    mode = os.O_RDONLY if path.is_dir() else os.O_RDWR
    try:
        return os.open(path, mode | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return None


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
    except (ValueError, RecursionError) as error:  # not JSON, not UTF-8, brackets without end
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


def is_plain_name(name: str) -> bool:
    """Whether a file of this name stays in its folder: for names that files from elsewhere hold."""
    return "/" not in name and "\0" not in name and name not in (".", "..")


def is_within(name: str) -> bool:
    """Whether a relative path stays below the folder that it starts from, links aside."""
    return not name.startswith("/") and "\0" not in name and ".." not in name.split("/")


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
