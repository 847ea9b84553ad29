"""Time and memory of a command, for the other scripts here. Of the standard library alone: the
peak that the system tells of a child is never below that of the process that started it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Taken:
    """What a command took."""

    seconds: float
    """By the clock; more when other work shares the processors."""
    cpu: float
    """Seconds of all its processes."""
    peak: float
    """MiB: the most that any one of its processes held."""
    code: int

    def __str__(self) -> str:
        return f"{self.seconds:8.1f} s {self.cpu:8.1f} s CPU {self.peak:7.0f} MiB"


def take(command: Sequence[str | Path], log: Path, folder: Path,
         variables: Mapping[str, str] | None = None,
         started: Callable[[int], None] = lambda pid: None) -> Taken:  # fmt: skip
    """Run a command in `folder` to its end; what it prints goes to `log`.

    `started` is told the number of its process.
    """
    begun = time.perf_counter()
    with log.open("w") as stream:
        process = subprocess.Popen(
            [str(part) for part in command], stdout=stream, stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL, cwd=folder, env={**os.environ, **(variables or {})},
        )  # fmt: skip
        started(process.pid)
        _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    unit = 2**20 if sys.platform == "darwin" else 2**10
    return Taken(time.perf_counter() - begun, usage.ru_utime + usage.ru_stime,
                 usage.ru_maxrss / unit, process.returncode)  # fmt: skip


def cpu_of(pid: int) -> float:
    """CPU seconds of a process so far (Linux alone)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def check(name: str, taken: Taken, log: Path, *, seconds: float | None = None,
          gib: float | None = None) -> bool:  # fmt: skip
    """Print a line with the bounds beside it; False where one is missed or the command failed.

    What takes longer by the clock than in CPU time waits for other work on the machine: a bound of
    seconds that the CPU time keeps counts as kept, and the line says so.
    """
    bounds = [f"{seconds:g} s" if seconds else "", f"{gib:g} GiB" if gib else ""]
    wanted = " and ".join(filter(None, bounds))
    good = taken.code == 0
    good &= seconds is None or taken.cpu <= seconds
    good &= gib is None or taken.peak <= 1024 * gib
    late = seconds is not None and taken.seconds > seconds
    word = ", MISSED" if not good else ", kept in CPU time alone" if late else ""
    verdict = f"(bound: {wanted}{word})" if wanted else ""
    print(f"{name:52}{taken} {verdict}", flush=True)
    if taken.code:
        print(f"  it failed with {taken.code}: {_last_line(log)}", flush=True)
    return good


def _last_line(log: Path) -> str:
    return (log.read_text(errors="replace").strip().splitlines() or ["without a word"])[-1]
