"""One resumable download over HTTP(S), with time limits; knows nothing of what it downloads."""

from __future__ import annotations

import http.client
import re
import socket
import ssl
import urllib.error
import urllib.request
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

Progress = Callable[[int, int | None], None]
"""Called with (bytes so far, bytes in all or None)."""

ATTEMPTS = 4
"""Times a broken transfer is taken up again, each from where the last one stopped."""

_CHUNK = 1 << 18


class TransferError(Exception):
    """A download that did not finish; `unreachable` when no connection could be made at all."""

    def __init__(self, reason: str, *, unreachable: bool = False) -> None:
        super().__init__(reason)
        self.unreachable = unreachable


class _BrokenError(Exception):
    """The connection ended or stalled before the end."""


def download(
    url: str, part: Path, *, connect_timeout: float, stall_timeout: float, progress: Progress
) -> None:
    """Complete `part` with the bytes of `url`, continuing what it already holds.

    `connect_timeout` (seconds) bounds each connection attempt, `stall_timeout` the silence in
    between. A broken transfer is taken up again while it makes progress, at most `ATTEMPTS`
    times; what has arrived stays in `part` for the next call.

    Raises:
        TransferError: with the reason.
    """
    if urlsplit(url).scheme not in ("http", "https"):
        raise TransferError(f"{url} is no http(s) address")
    opener = urllib.request.build_opener(
        _http_handler(urllib.request.HTTPHandler, http.client.HTTPConnection, stall_timeout),
        _http_handler(urllib.request.HTTPSHandler, http.client.HTTPSConnection, stall_timeout),
    )
    reason = ""
    for _ in range(ATTEMPTS):
        before = _size(part)
        try:
            _continue(opener, url, part, connect_timeout, progress)
        except _BrokenError as error:
            reason = str(error)
            if _size(part) == before:
                break
        else:
            return
    raise TransferError(reason)


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _continue(
    opener: urllib.request.OpenerDirector,
    url: str,
    part: Path,
    connect_timeout: float,
    progress: Progress,
) -> None:
    start = _size(part)
    headers = {"User-Agent": "tadsr", "Accept-Encoding": "identity"}
    if start:
        headers["Range"] = f"bytes={start}-"
    request = urllib.request.Request(url, headers=headers)  # noqa: S310  (scheme checked above)
    try:
        with opener.open(request, timeout=connect_timeout) as response:
            _receive(response, part, start, progress)
    except urllib.error.HTTPError as error:
        if error.code == 416 and start:  # the part is longer than the file: not ours
            part.unlink()
            return _continue(opener, url, part, connect_timeout, progress)
        raise TransferError(f"HTTP {error.code} {error.reason}") from error
    except urllib.error.URLError as error:
        raise TransferError(f"no connection ({error.reason})", unreachable=True) from error
    except TimeoutError as error:
        raise _BrokenError("the server stopped sending") from error
    except (ConnectionError, ssl.SSLError, http.client.HTTPException) as error:
        raise _BrokenError(f"the connection broke ({type(error).__name__})") from error


def _receive(response: Any, part: Path, start: int, progress: Progress) -> None:
    """Append the answer to `part`, or start over when the server ignored the range."""
    declared = response.headers.get("Content-Length", "")
    span = re.match(r"bytes (\d+)-", response.headers.get("Content-Range", ""))
    resumed = response.status == 206 and span is not None and int(span[1]) == start
    if response.status == 206 and not resumed:
        part.unlink()
        raise TransferError("the server answered another byte range than was asked for")
    done = start if resumed else 0
    total = done + int(declared) if declared.isdigit() else None
    with part.open("ab" if resumed else "wb") as stream:
        # read1 hands over what has arrived: a stall loses nothing.
        while block := response.read1(_CHUNK):
            stream.write(block)
            done += len(block)
            progress(done, total)
    if total is not None and done < total:
        raise _BrokenError(f"the connection ended after {done} of {total} bytes")


def _http_handler(handler: type[Any], connection: type[Any], stall_timeout: float) -> Any:
    """A urllib handler whose connections take at most one address per family, then may stall."""

    class Connection(connection):  # type: ignore[misc]
        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(*args, **options)
            self._create_connection = _connect

        def connect(self) -> None:
            super().connect()
            self.sock.settimeout(stall_timeout)

    class Handler(handler):  # type: ignore[misc]
        def do_open(self, http_class: Any, request: Any, **options: Any) -> Any:
            return super().do_open(partial(Connection), request, **options)

    return Handler()


def _connect(address: tuple[str, int], timeout: float, source_address: Any = None) -> socket.socket:
    """Like `socket.create_connection`, but tries one address of each family.

    Large hosts have a dozen addresses; where a firewall drops packets, each would cost a timeout.
    """
    found = socket.getaddrinfo(*address, type=socket.SOCK_STREAM)
    families = {family: place for family, _, _, _, place in reversed(found)}
    failure: OSError = OSError("no address found")
    for family, place in sorted(families.items()):
        connection = socket.socket(family, socket.SOCK_STREAM)
        try:
            connection.settimeout(timeout)
            if source_address:
                connection.bind(source_address)
            connection.connect(place)
        except OSError as error:
            connection.close()
            failure = error
        else:
            return connection
    raise failure
