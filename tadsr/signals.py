"""Signals that end a command: it lets go of what it holds, and under SLURM waits to be ended."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import NoReturn

SIGNALS = (signal.SIGTERM, signal.SIGUSR1)
"""What schedulers send before they take a machine away."""
EXIT_CODES = tuple(128 + number for number in SIGNALS)
"""As a shell has them."""

LONGEST_GRACE = 600.0
"""Seconds after which a job ends itself. Clusters give less between the signal and the end."""


@contextmanager
def ended_by_signals() -> Iterator[None]:
    """Within the block, SIGTERM and SIGUSR1 end the command as an exception does.

    So locks and temporary files are let go of. A training saves its state first (`StopRequest`).

    Raises:
        SystemExit: with 128 and the signal's number; under SLURM only when it is waited for in
            vain that SLURM ends the job.
    """
    # Python allows handlers in the main thread alone; elsewhere signals stay what they are.
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, _exit) for number in SIGNALS}
    try:
        yield
    except SystemExit as ending:
        if ending.code in EXIT_CODES:
            wait_to_be_ended()
        raise
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _exit(number: int, frame: FrameType | None) -> NoReturn:
    for each in SIGNALS:  # one is enough: a second would come in the middle of letting go
        signal.signal(each, signal.SIG_IGN)
    raise SystemExit(128 + number)


def pass_on_to_children() -> None:
    """In a SLURM job, tell this process's children of each SIGTERM that it handles itself.

    With control groups SLURM signals the first process of a step alone. That is Snakemake, which
    then waits for its command, and the command would know of nothing until it is killed. A command
    that has no handler yet would die of the signal, and the job count as failed: it is not told.
    """
    if "SLURM_JOB_ID" not in os.environ:
        return
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    signal.set_wakeup_fd(writing, warn_on_full_buffer=False)  # called whatever the handler is
    threading.Thread(target=_pass_on, args=(reading,), daemon=True).start()


def _pass_on(reading: int) -> None:
    while numbers := os.read(reading, 64):
        if signal.SIGTERM in numbers:
            for child in _children_that_handle(signal.SIGTERM):
                with suppress(ProcessLookupError):
                    os.kill(child, signal.SIGTERM)


def _children_that_handle(number: int) -> Iterator[int]:
    for path in Path("/proc").glob("[0-9]*/status"):
        with suppress(OSError):  # it ended meanwhile
            state = dict(line.split(":", 1) for line in path.read_text().splitlines())
            handled = int(state["SigCgt"], 16) >> (number - 1) & 1
            if int(state["PPid"]) == os.getpid() and handled:
                yield int(path.parent.name)


def wait_to_be_ended() -> None:
    """Under SLURM, wait for the end that it announced; elsewhere do nothing.

    A job that ends itself in the time of grace counts as failed. One that SLURM has to end counts
    as pre-empted and is started again.
    """
    if "SLURM_JOB_ID" in os.environ:
        print("stopped by a signal; waiting for SLURM to end this job", flush=True)
        time.sleep(LONGEST_GRACE)
