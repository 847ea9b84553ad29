"""The weights folder: what is there, whether it is right, and how the rest is fetched.

Order of look-up: `TADSR_WEIGHTS`, `TORCH_HOME`, `~/.cache/torch`. A small JSON file in it
remembers digests (hashing 250 MB takes a second) and failed downloads, so that a machine without
a network waits for the time-out once, not in every run.
"""

from __future__ import annotations

import importlib.util
import os
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tadsr.errors import ConfigError, TadsrError, nearest
from tadsr.files import Lock, read_json, sha256_file, write_json
from tadsr.weights.catalog import CATALOG, WeightFile
from tadsr.weights.transfer import TransferError, download

FETCH_COMMAND = "tadsr weights fetch"
"""The command that is recommended wherever weights are missing."""

NO_ADDRESS = "weights '{}': no place to download them from is known; get the file by hand"
IMPORT_COMMAND = "tadsr weights pipeline --unet FILE ..."

RETRY_AFTER = 3600.0
"""Seconds during which a failed download is not tried again unasked."""

_STATE = "tadsr-weights.json"

CHECKPOINT_STARTS = (b"PK", b"\x80\x02")
"""First bytes of a torch checkpoint: a zip file, or a plain pickle."""

Progress = Callable[[str, int, int | None], None]
"""Called with (name, bytes so far, bytes in all or None)."""


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
    entry = _entry(name)
    path = weights_home() / entry.path
    if path.is_file():
        found = _judge(entry, path)
        if isinstance(found, Present):
            return found
    else:
        found = Missing(name, f"weights '{name}' are not here")
    shipped = _local_source(entry)
    if shipped is not None:
        return Present(name, shipped, verified=True)
    return found


def fetch(
    names: Iterable[str],
    *,
    progress: Progress | None = None,
    connect_timeout: float = 5.0,
    stall_timeout: float = 20.0,
    retry_after: float = RETRY_AFTER,
    force: bool = False,
) -> dict[str, Present | Missing]:
    """Fetch what is missing of `names`; returns the status of each, and raises for none.

    A file is downloaded beside its place, continued when interrupted, checked, and renamed into
    place. `TADSR_WEIGHTS_MIRROR` (an http(s) address ending in a folder) is asked first. A host
    that cannot be reached is not asked twice, and a failure is remembered for `retry_after`
    seconds unless `force`. Times are in seconds.

    Raises:
        ConfigError: no such name in the catalogue.
        TadsrError: the weights folder cannot be written to.
    """
    results = {name: status(name) for name in names}
    wanted = [name for name, result in results.items() if isinstance(result, Missing)]
    if not wanted:
        return results
    home = weights_home()
    try:
        with Lock(home / ".tadsr-weights.lock", "fetching weights", wait=True):
            fetcher = _Fetcher(
                home, progress or _silent, connect_timeout, stall_timeout,
                0.0 if force else retry_after,
            )  # fmt: skip
            for name in wanted:
                results[name] = fetcher.fetch(_entry(name))
    except OSError as error:
        raise TadsrError(
            f"{home}: cannot be written to ({error.strerror}); free some space, or set "
            "TADSR_WEIGHTS to a folder of your own"
        ) from error
    return results


def _silent(name: str, done: int, total: int | None) -> None:
    """Report no progress."""


class _Fetcher:
    """One call of `fetch`: remembers the hosts that did not answer."""

    def __init__(
        self, home: Path, progress: Progress, connect: float, stall: float, retry_after: float
    ) -> None:
        self.home = home
        self.progress = progress
        self.connect = connect
        self.stall = stall
        self.retry_after = retry_after
        self.dead_hosts: set[str] = set()

    def fetch(self, entry: WeightFile) -> Present | Missing:
        now = status(entry.name)  # another process may have fetched it while we waited
        if isinstance(now, Present):
            return now
        failure = _read_state(self.home)["failures"].get(entry.name)
        if failure is not None and 0 <= time.time() - failure["at"] < self.retry_after:
            return Missing(entry.name, failure["reason"])
        reasons = []
        addresses = _addresses(entry)
        if not addresses:
            return Missing(entry.name, NO_ADDRESS.format(entry.name), IMPORT_COMMAND)
        for url in addresses:
            reason = self._try(entry, url)
            if reason is None:
                _remember(self.home, "failures", entry.name, None)
                return status(entry.name)
            reasons.append(f"{urlsplit(url).netloc}: {reason}")
        reason = f"weights '{entry.name}' could not be fetched ({', '.join(reasons)})"
        _remember(self.home, "failures", entry.name, {"at": time.time(), "reason": reason})
        return Missing(entry.name, reason)

    def _try(self, entry: WeightFile, url: str) -> str | None:
        """Fetch from one address; return the reason of a failure."""
        host = urlsplit(url).netloc
        if host in self.dead_hosts:
            return "no connection"
        target = self.home / entry.path
        target.parent.mkdir(parents=True, exist_ok=True)
        part = target.with_name(target.name + ".part")
        try:
            download(
                url, part, connect_timeout=self.connect, stall_timeout=self.stall,
                progress=lambda done, total: self.progress(entry.name, done, total),
            )  # fmt: skip
        except TransferError as error:
            if error.unreachable:
                self.dead_hosts.add(host)
            return str(error)
        if wrong := _wrong_content(entry, part):
            part.unlink()
            return wrong
        if entry.sha256 is None:
            _record(self.home, entry, sha256_file(part))
        part.replace(target)
        return None


def file_digest(name: str) -> str:
    """sha256 of weights that are here; computed once per content.

    Raises:
        TadsrError: they are not here.
    """
    found = status(name)
    if isinstance(found, Missing):
        raise TadsrError(f"{found.reason}; get them with `{FETCH_COMMAND} {name}`")
    entry = _entry(name)
    if found.path == weights_home() / entry.path:
        return _cached_digest(entry, found.path)
    return sha256_file(found.path)


def verify(names: Iterable[str]) -> dict[str, str]:
    """Digest anew what is here of `names`; returns name to what is wrong with it, if anything is.

    Raises:
        ConfigError: no such name in the catalogue.
    """
    home = weights_home()
    wrong = {}
    for name in names:
        entry = _entry(name)
        if not (home / entry.path).is_file():
            continue
        _remember(home, "files", entry.path, None)
        found = _judge(entry, home / entry.path)
        if isinstance(found, Missing):
            wrong[name] = found.reason
        elif found.verified is False:
            wrong[name] = f"{found.path}: sha256 is not the official {entry.sha256}..."
    return wrong


def _entry(name: str) -> WeightFile:
    if name not in CATALOG:
        raise ConfigError(f"unknown weights '{name}': {nearest(name, list(CATALOG))}")
    return CATALOG[name]


def _addresses(entry: WeightFile) -> list[str]:
    mirror = os.environ.get("TADSR_WEIGHTS_MIRROR", "").rstrip("/")
    official = [] if entry.url is None else [entry.url]
    return [f"{mirror}/{entry.file_name}"] * bool(mirror) + official


def _local_source(entry: WeightFile) -> Path | None:
    """The identical file inside an installed package, if there is one."""
    if entry.local_source is None:
        return None
    package, inside = entry.local_source
    found = importlib.util.find_spec(package)
    if found is None or found.origin is None:
        return None
    path = Path(found.origin).parent / inside
    return path if path.is_file() and not _wrong_content(entry, path) else None


def _wrong_content(entry: WeightFile, path: Path) -> str | None:
    """Why a new file cannot be `entry`; None when it can."""
    if entry.sha256 is not None:
        digest = sha256_file(path)
        if not digest.startswith(entry.sha256):
            return f"sha256 is {digest[:12]}..., not {entry.sha256[:12]}..."
    known = _read_state(weights_home())["recorded"].get(entry.path)
    if known is not None and sha256_file(path) != known["sha256"]:
        return f"it is not the file recorded on {known['date']}"
    with path.open("rb") as stream:
        if entry.kind != "metric" and stream.read(2) not in CHECKPOINT_STARTS:
            return "the answer is not a checkpoint"
        stream.seek(0)
        if stream.read(len(entry.starts_with)) != entry.starts_with:
            return "the answer is not a weight file"
    return None


def _judge(entry: WeightFile, path: Path) -> Present | Missing:
    """Compare a file in place with the catalogue; its digest is computed once per content."""
    if path.stat().st_size == 0:
        return Missing(entry.name, f"{path} is empty")
    if entry.sha256 is None:
        return _judge_by_record(entry, path)
    digest = _cached_digest(entry, path)
    if digest.startswith(entry.sha256):
        return Present(entry.name, path, verified=True)
    if not entry.content_checked:
        return Present(entry.name, path, verified=False)
    return Missing(
        entry.name,
        f"{path} is damaged or another file (sha256 {digest[:12]}..., not {entry.sha256[:12]}...)",
    )


def _judge_by_record(entry: WeightFile, path: Path) -> Present | Missing:
    """Without an official digest, a file must stay what it was when it was downloaded."""
    known = _read_state(weights_home())["recorded"].get(entry.path)
    if known is None:
        return Present(entry.name, path, verified=None)
    digest = _cached_digest(entry, path)
    if digest == known["sha256"]:
        return Present(entry.name, path, verified=None, recorded=known["date"])
    return Missing(
        entry.name,
        f"{path} is damaged or another file (sha256 {digest[:12]}..., recorded on "
        f"{known['date']}: {known['sha256'][:12]}...); delete it",
    )


def _record(home: Path, entry: WeightFile, digest: str) -> None:
    """Note the digest of a first download, by which later ones are told."""
    if entry.path not in _read_state(home)["recorded"]:
        value = {"sha256": digest, "date": time.strftime("%Y-%m-%d")}
        _remember(home, "recorded", entry.path, value)


def _cached_digest(entry: WeightFile, path: Path) -> str:
    home, stat = weights_home(), path.stat()
    stamp = [stat.st_size, stat.st_mtime_ns]
    known = _read_state(home)["files"].get(entry.path)
    if known is not None and known["stamp"] == stamp:
        return str(known["sha256"])
    digest = sha256_file(path)
    verified = bool(entry.sha256 and digest.startswith(entry.sha256))
    _remember(home, "files", entry.path, {"stamp": stamp, "sha256": digest, "verified": verified})
    return digest


def _read_state(home: Path) -> dict[str, dict[str, Any]]:
    path = home / _STATE
    state: dict[str, dict[str, Any]] = {"files": {}, "failures": {}, "recorded": {}}
    # Only a memory: when it is damaged, everything in it can be found out again.
    with suppress(OSError, TadsrError, TypeError, ValueError):
        state.update(read_json(path))
    return state


def _remember(home: Path, section: str, key: str, value: Any) -> None:
    state = _read_state(home)
    if value is None:
        if key not in state[section]:
            return
        del state[section][key]
    else:
        state[section][key] = value
    with suppress(OSError):  # a shared, read-only folder works as well, only slower
        write_json(home / _STATE, state)
