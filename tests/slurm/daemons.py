"""Processes that serve the tests of SLURM, and waiting for them."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def daemon(
    command: list[str],
    log: Path,
    user: int | None = None,
    group: int | None = None,
    variables: Mapping[str, str] | None = None,
) -> Iterator[None]:
    """A process that ends with the block, or with this process."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, stdout=output, stderr=output, cwd="/", user=user, group=group,
            env={**os.environ, **(variables or {})}, preexec_fn=_die_with_parent,
        )  # fmt: skip
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)


def wait_until(ready: Callable[[], bool], what: str, *logs: Path) -> None:
    """Until something has started; its logs are shown if it does not."""
    end = time.monotonic() + 60
    while not ready():
        if time.monotonic() > end:
            said = "".join(f"\n== {path}\n{path.read_text()[-3000:]}" for path in logs)
            raise RuntimeError(f"{what} did not start within 60 s{said}")
        time.sleep(0.2)
