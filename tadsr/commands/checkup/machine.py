"""Devices, threads, memory, disk, and whether folders do what the files need of them."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from tadsr.commands.checkup.findings import Finding, size_words

CGROUP = Path("/sys/fs/cgroup")
LEAST_MEMORY = 3 * 2**30
"""The demo takes 2 GiB; a system needs some beside it."""
LEAST_DISK = 2 * 2**30
CLOCK_SKEW = 2.0
"""Seconds between this machine's clock and a file server's that Snakemake takes badly."""


def devices() -> Iterator[Finding]:
    """GPUs as torch sees them, and whether one is there that it does not see."""
    import torch

    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if torch.cuda.is_available():
        for index in range(torch.cuda.device_count()):
            properties = torch.cuda.get_device_properties(index)
            yield Finding("device", "ok", f"cuda:{index} {properties.name}, "
                          f"{size_words(properties.total_memory)}, compute capability "
                          f"{properties.major}.{properties.minor}")  # fmt: skip
    elif shutil.which("nvidia-smi") and visible is None:
        yield Finding("device", "warning", f"nvidia-smi is here, but torch {torch.__version__} "
                      "sees no GPU: trainings run on the CPU",
                      "update the driver, or install the torch that fits it")  # fmt: skip
    else:
        hidden = "" if visible is None else f" (CUDA_VISIBLE_DEVICES is '{visible}')"
        yield Finding("device", "note", f"no GPU: everything runs on the CPU{hidden}")


def threads(environment: Mapping[str, str] = os.environ) -> Iterator[Finding]:
    """Processors this process may use, and what limits them."""
    usable, share = len(os.sched_getaffinity(0)), cpu_share()
    text = f"{usable} of {os.cpu_count()} processors"
    if share is not None and share < usable - 0.01:
        yield Finding("threads", "warning", f"{text}, but the container may use {share:g}",
                      f"tadsr run --cores {max(1, int(share))}")  # fmt: skip
    else:
        yield Finding("threads", "ok", text)
    given = environment.get("OMP_NUM_THREADS")
    if given is not None:
        yield Finding("threads", "note", f"OMP_NUM_THREADS={given} is set; trainings and "
                      "evaluations take their threads from the experiment file")  # fmt: skip


def cpu_share(folder: Path = CGROUP) -> float | None:
    """Processors that this container may use at once; None without a limit."""
    try:
        quota, period = (folder / "cpu.max").read_text().split()
    except (OSError, ValueError):
        return None
    return None if quota == "max" else int(quota) / int(period)


def memory() -> Iterator[Finding]:
    """Main memory that is free for trainings, containers' limits included."""
    free, limit = _available(), memory_limit()
    text = f"{size_words(free)} free"
    if limit is not None:
        text += f", the container's limit is {size_words(limit)}"
        free = min(free, limit)
    if free < LEAST_MEMORY:
        yield Finding("memory", "warning", f"{text}; the demo wants {size_words(LEAST_MEMORY)}",
                      "close other programs, or tadsr run --cores 1")  # fmt: skip
    else:
        yield Finding("memory", "ok", text)


def memory_limit(folder: Path = CGROUP) -> int | None:
    """Bytes this container may take; None without a limit."""
    try:
        text = (folder / "memory.max").read_text().strip()
    except OSError:
        return None
    return None if text == "max" else int(text)


def _available() -> int:
    meminfo = Path("/proc/meminfo")
    if not meminfo.is_file():
        return int(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    lines = dict(line.split(":", 1) for line in meminfo.read_text().splitlines())
    return int(lines["MemAvailable"].split()[0]) * 1024


def folders(wanted: Mapping[str, Path], need: float = LEAST_DISK) -> Iterator[Finding]:
    """Of each folder by its purpose: is it writable, has it room, do locks and clocks work."""
    for purpose, path in wanted.items():
        yield from folder(purpose, path, need)


def folder(purpose: str, path: Path, need: float) -> Iterator[Finding]:
    """One folder; where it does not exist yet, the nearest one above it is looked at."""
    place = path.absolute()
    while not place.exists():
        place = place.parent
    subject = f"folder {purpose}"
    try:
        handle, name = tempfile.mkstemp(prefix=".tmp-doctor-", dir=place)
    except OSError as error:
        remedy = "free some space" if error.errno == errno.ENOSPC else "choose another folder"
        yield Finding(subject, "problem", f"{path} cannot be written to ({error.strerror})", remedy)
        return
    try:
        yield from _fitness(subject, path, handle, Path(name))
    finally:
        os.close(handle)
        Path(name).unlink(missing_ok=True)
    free = shutil.disk_usage(place).free
    text = f"{path} is writable, {size_words(free)} free"
    if free < need:
        yield Finding(subject, "warning", f"{text}; about {size_words(need)} will be wanted",
                      "free some space, or choose another folder")  # fmt: skip
    else:
        yield Finding(subject, "ok", text)


def _fitness(subject: str, path: Path, handle: int, file: Path) -> Iterator[Finding]:
    """What goes wrong on some network file systems: locks that do not lock, clocks that differ."""
    if not excludes(handle, file):
        yield Finding(subject, "problem", f"{path}: file locks do not work on this file system, so "
                      "two processes could write one result",
                      "mount it with locks (NFS: not nolock), or take another folder")  # fmt: skip
    skew = file.stat().st_mtime - time.time()
    if abs(skew) > CLOCK_SKEW:
        yield Finding(subject, "warning", f"{path}: its clock differs from this machine's by "
                      f"{skew:+.0f} s, by which Snakemake may redo work",
                      "synchronise the clocks (NTP)")  # fmt: skip


def excludes(handle: int, file: Path) -> bool:
    """Whether a lock on `file` (open as `handle`) keeps another holder out."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    with file.open("rb") as other:
        try:
            fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except OSError:
            return False
    return False
