"""The weights folder: what is there, and whether it is right; never touches the network.

Order of look-up: `TADSR_WEIGHTS`, `TORCH_HOME`, `~/.cache/torch`.
"""

from __future__ import annotations

import importlib.util
import os
import zipfile
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from tadsr.errors import ConfigError, TadsrError, nearest
from tadsr.files import sha256_file
from tadsr.weights.catalog import CATALOG, WeightFile
from tadsr.weights.memory import MEMORY, known_digest, recorded

FETCH_COMMAND = "tadsr weights fetch"
"""The command that is recommended wherever weights are missing."""

_ZIP = b"PK\x03\x04"
_CHECKPOINT_STARTS = (_ZIP, b"\x80\x02")
"""First bytes of a torch checkpoint: a zip file, or a plain pickle."""


@dataclass(frozen=True)
class Present:
    """Weights that can be used."""

    name: str
    path: Path
    verified: bool | None
    """True: the sha256 is the official one; False: it is another; None: none is known."""
    recorded: str | None = None
    """Where no official sha256 is known: the date on which this file's own was recorded."""


@dataclass(frozen=True)
class Missing:
    """Something that cannot be used; `str()` gives `reason; command`."""

    name: str
    reason: str
    command: str = FETCH_COMMAND

    def __str__(self) -> str:
        return f"{self.reason}; {self.command}"


def weights_home() -> Path:
    """The weights folder; a `TORCH_HOME` layout (`hub/checkpoints`, `hub/pyiqa`, `hub/clip`)."""
    for variable in ("TADSR_WEIGHTS", "TORCH_HOME"):
        if value := os.environ.get(variable):
            return Path(value).expanduser()
    cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(cache).expanduser() / "torch"


def activate() -> Path:
    """Point torch and pyiqa at the weights folder, which is returned.

    Call before pyiqa is first imported: it resolves the folder then.
    """
    home = weights_home().absolute()
    os.environ["TORCH_HOME"] = str(home)
    return home


def status(name: str) -> Present | Missing:
    """Whether the weights `name` can be used; never touches the network.

    Raises:
        ConfigError: no such name in the catalogue.
    """
    entry = find_entry(name)
    path = weights_home() / entry.path
    if path.is_file():
        found = _judge(entry, path)
        if isinstance(found, Present):
            return found
    else:
        found = absent(entry)
    shipped = _local_source(entry)
    if shipped is not None:
        return Present(name, shipped, verified=True)
    return found


def absent(entry: WeightFile) -> Missing:
    """What is said of weights that are not here: how to get them, or that it must be by hand."""
    reason = f"weights '{entry.name}' are not here"
    if entry.url is None:
        place = weights_home() / entry.path
        return Missing(
            entry.name,
            f"{reason}, and no place to download them from is known",
            f"get {entry.file_name} by hand and put it at {place}, or use it by its path "
            f"(tadsr weights pipeline --unet {entry.file_name} --schedule {entry.name} DEST)",
        )
    named = "" if entry.kind == "metric" else f" {entry.name}"
    return Missing(entry.name, reason, FETCH_COMMAND + named)


def file_digest(name: str) -> str:
    """sha256 of weights that are here; computed once per content.

    Raises:
        TadsrError: they are not here.
    """
    found = status(name)
    if isinstance(found, Missing):
        raise TadsrError(str(found))
    entry, home = find_entry(name), weights_home()
    in_place = found.path == home / entry.path
    return known_digest(home, entry, found.path) if in_place else sha256_file(found.path)


def verify(names: Iterable[str]) -> dict[str, str]:
    """Digest anew what is here of `names`; returns name to what is wrong with it, if anything is.

    Of a file whose tensors decide (`WeightFile.content_checked` is false) nothing is said here.

    Raises:
        ConfigError: no such name in the catalogue.
    """
    wrong = {}
    for name in names:
        entry = find_entry(name)
        path = weights_home() / entry.path
        if not path.is_file():
            continue
        found = _judge(entry, path, sha256_file(path))
        if isinstance(found, Missing):
            wrong[name] = found.reason
    return wrong


def find_entry(name: str) -> WeightFile:
    """The catalogue's entry.

    Raises:
        ConfigError: no such name.
    """
    if name not in CATALOG:
        raise ConfigError(f"unknown weights '{name}': {nearest(name, list(CATALOG))}")
    return CATALOG[name]


def wrong_content(entry: WeightFile, path: Path) -> str | None:
    """Why a new file cannot be `entry`; None when it can."""
    with path.open("rb") as stream:
        start = stream.read(max(4, len(entry.starts_with)))
    if not start.startswith(entry.starts_with):
        return "the answer is not a weight file"
    if entry.kind != "metric" and not start.startswith(_CHECKPOINT_STARTS):
        return "the answer is not a checkpoint"
    seen = recorded(weights_home(), entry)
    expected = entry.sha256 or (seen and seen[0])
    if expected is None:  # nothing to compare with, but a zip file has check sums of its own
        return _damage(path) if start.startswith(_ZIP) else None
    digest = sha256_file(path)
    if digest.startswith(expected):
        return None
    reason = f"sha256 is {digest[:12]}..., not {expected[:12]}..."
    return reason if seen is None else f"{reason}, {_of_record(seen[1])}"


def _damage(path: Path) -> str | None:
    """What is wrong with a zip file by its own check sums."""
    try:
        with zipfile.ZipFile(path) as archive:
            member = archive.testzip()
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        return f"the file is truncated or damaged ({error})"
    return None if member is None else f"the file is damaged (check sum of {member})"


def _of_record(date: str) -> str:
    """Where a recorded digest comes from, and how to be rid of it."""
    return (
        f"recorded on {date}; if the authors replaced the file, delete its entry of "
        f"'recorded' in {weights_home() / MEMORY}"
    )


def _local_source(entry: WeightFile) -> Path | None:
    """The identical file inside an installed package, if there is one."""
    if entry.local_source is None:
        return None
    package, inside = entry.local_source
    found = importlib.util.find_spec(package)
    if found is None or found.origin is None:
        return None
    path = Path(found.origin).parent / inside
    return path if path.is_file() and not wrong_content(entry, path) else None


def _judge(entry: WeightFile, path: Path, digest: str | None = None) -> Present | Missing:
    """Compare a file in place with what is known of it.

    Without `digest`, the remembered one of a file of this size and time is used.
    """
    if path.stat().st_size == 0:
        return Missing(entry.name, f"{path} is empty", absent(entry).command)
    home = weights_home()
    seen = recorded(home, entry)
    expected = entry.sha256 or (seen and seen[0])
    if expected is None:
        return Present(entry.name, path, verified=None)
    digest = digest or known_digest(home, entry, path)
    official = None if entry.sha256 is None else digest.startswith(expected)
    if digest.startswith(expected) or (official is False and not entry.content_checked):
        return Present(entry.name, path, official, recorded=seen and seen[1])
    source = "" if seen is None else f", recorded on {seen[1]}"
    return Missing(
        entry.name,
        f"{path} is damaged or another file (sha256 {digest[:12]}..., not {expected[:12]}..."
        f"{source})",
        absent(entry).command,
    )
