"""Fetching weights by name: one process at a time, checked, and renamed into place."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from urllib.parse import urlsplit

from tadsr.errors import StorageError, TadsrError
from tadsr.files import sha256_file
from tadsr.locks import Lock
from tadsr.weights.catalog import WeightFile
from tadsr.weights.memory import recall, record, remember
from tadsr.weights.store import (
    Missing,
    Present,
    absent,
    find_entry,
    status,
    weights_home,
    wrong_content,
)
from tadsr.weights.transfer import TransferError, download

RETRY_AFTER = 3600.0
"""Seconds during which a failed download is not tried again unasked."""

Progress = Callable[[str, int, int | None], None]
"""Called with (name, bytes so far, bytes in all or None)."""


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
                results[name] = fetcher.fetch(find_entry(name))
    except (OSError, StorageError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise TadsrError(
            f"{home}: cannot be written to ({reason}); free some space, or set "
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
        addresses = _addresses(entry)
        if not addresses:
            return now
        command = absent(entry).command
        failure = recall(self.home)["failures"].get(entry.name)
        if failure is not None and 0 <= time.time() - failure["at"] < self.retry_after:
            return Missing(entry.name, failure["reason"], command)
        reasons = []
        for url in addresses:
            reason = self._try(entry, url)
            if reason is None:
                remember(self.home, "failures", entry.name, None)
                return status(entry.name)
            reasons.append(f"{urlsplit(url).netloc}: {reason}")
        reason = f"weights '{entry.name}' could not be fetched ({', '.join(reasons)})"
        remember(self.home, "failures", entry.name, {"at": time.time(), "reason": reason})
        return Missing(entry.name, reason, command)

    def _try(self, entry: WeightFile, url: str) -> str | None:
        """Fetch from one address; return the reason of a failure."""
        host = urlsplit(url).netloc
        if host in self.dead_hosts:
            return "no connection"
        target = self.home / entry.path
        target.parent.mkdir(parents=True, exist_ok=True)
        part = target.with_name(target.name + ".part")
        # What another address or an older release began may not be what this one continues.
        for _ in range(2 if part.exists() else 1):
            if reason := self._download(entry, url, part):
                return reason
            wrong = wrong_content(entry, part)
            if wrong is None:
                if entry.sha256 is None:
                    record(self.home, entry, sha256_file(part))
                part.replace(target)
                return None
            part.unlink()
        return wrong

    def _download(self, entry: WeightFile, url: str, part: Path) -> str | None:
        """Complete `part`; return the reason of a failure."""
        try:
            download(
                url, part, connect_timeout=self.connect, stall_timeout=self.stall,
                progress=lambda done, total: self.progress(entry.name, done, total),
            )  # fmt: skip
        except TransferError as error:
            if error.unreachable:
                self.dead_hosts.add(urlsplit(url).netloc)
            return str(error)
        return None


def _addresses(entry: WeightFile) -> list[str]:
    mirror = os.environ.get("TADSR_WEIGHTS_MIRROR", "").rstrip("/")
    official = [] if entry.url is None else [entry.url]
    return [f"{mirror}/{entry.file_name}"] * bool(mirror) + official
