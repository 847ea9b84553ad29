"""Which GPU, or how many CPU threads, a job may use: shared out among all jobs of this machine.

Snakemake counts jobs, but tells none which GPU is its own, and two experiments on one machine know
nothing of each other. So each GPU, or without GPUs each processor, is a *slot*: a locked file of
this user, which the kernel unlocks when the process dies, however it dies. A job takes all its
slots in one go, so that two jobs never wait for each other.

Processors are counted, not pinned: a scheduler that knows which of them share a core places
threads better than a list of numbers does. Under SLURM and Kubernetes, and between the processes of
one job, devices are given out by those who started them, and nothing is done here.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import stat
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tadsr.errors import ConfigError, TadsrError
from tadsr.locks import Lock, is_locked
from tadsr.runs import team

ENVIRONMENT = "TADSR_SLOTS"
"""`off`, `on` (under a scheduler too, for whoever shares out what it gave), or the folder of the
locked files (default: one in /tmp, of this user)."""
VISIBLE = "CUDA_VISIBLE_DEVICES"
SCHEDULERS = ("SLURM_JOB_ID", "KUBERNETES_SERVICE_HOST")
"""Variables that say that someone else gave this process its devices."""
PAUSE = 0.5
"""Seconds between looks while all slots are taken."""


@dataclass(frozen=True)
class Grant:
    """What a job was given."""

    gpus: tuple[str, ...] = ()
    """As `CUDA_VISIBLE_DEVICES` names them; empty without a GPU."""
    threads: int = 0
    """Processors set aside; 0 where nothing was shared out."""


@contextmanager
def devices(
    threads: int,
    *,
    use_gpu: bool,
    jobs_per_gpu: int = 1,
    waiting: Callable[[str], None] = lambda _: None,
) -> Iterator[Grant]:
    """Wait for a GPU, or without one for `threads` processors, and hold them for a while.

    A GPU becomes the only one this process sees, so enter before torch looks for any.

    Args:
        threads: processors the job computes on; as many as there are at most.
        use_gpu: whether the job can use one.
        jobs_per_gpu: how many jobs may share a GPU.
        waiting: told once, in words, if there is something to wait for.

    Raises:
        ConfigError: the folder of `TADSR_SLOTS` is not this user's own.
    """
    folder = slots_folder()
    if folder is None:
        yield Grant()
        return
    gpus = visible_gpus() if use_gpu else ()
    if gpus:
        names = [f"gpu-{gpu}-{part}" for part in range(jobs_per_gpu) for gpu in gpus]
        with _held(folder, names, 1, "GPU", waiting) as (name,):
            gpu = name.removeprefix("gpu-").rpartition("-")[0]
            with _visible(gpu):
                yield Grant(gpus=(gpu,))
        return
    processors = [f"cpu-{number}" for number in range(len(os.sched_getaffinity(0)))]
    wanted = min(threads, len(processors))
    with _held(folder, processors, wanted, "CPU threads", waiting):
        yield Grant(threads=wanted)


def slots_folder(environment: Mapping[str, str] = os.environ) -> Path | None:
    """The folder of the locked files; None where devices are given out by others."""
    given = environment.get(ENVIRONMENT, "")
    scheduled = given != "on" and any(name in environment for name in SCHEDULERS)
    if given == "off" or team.size() > 1 or scheduled:
        return None
    default = Path("/tmp") / f"tadsr-{os.getuid()}"  # noqa: S108 (checked)
    folder = default if given in ("", "on") else Path(given)
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise TadsrError(
            f"{folder}: cannot be made ({error.strerror}); set {ENVIRONMENT} to a folder of "
            "your own, or to off"
        ) from error
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
        raise ConfigError(
            f"{folder}: belongs to someone else; set {ENVIRONMENT} to a folder of your own, or "
            "to off"
        )
    return folder


def visible_gpus(environment: Mapping[str, str] = os.environ) -> tuple[str, ...]:
    """The GPUs this process may use, as `CUDA_VISIBLE_DEVICES` names them."""
    given = environment.get(VISIBLE)
    if given is not None:
        return tuple(part.strip() for part in given.split(",") if part.strip() not in ("", "-1"))
    if shutil.which("nvidia-smi") is None:
        return ()
    try:
        done = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, timeout=30)
    except subprocess.TimeoutExpired:
        return ()  # torch says whether there is a GPU that works
    return read_listing(done.stdout) if done.returncode == 0 else ()


def read_listing(text: str) -> tuple[str, ...]:
    """The identifiers in what `nvidia-smi -L` prints; of a partitioned GPU, those of its parts."""
    found: list[list[str]] = []
    for line in text.splitlines():
        match = re.search(r"\(UUID: ((?:GPU|MIG)-[^)\s]+)\)", line)
        if match and match[1].startswith("GPU"):
            found.append([match[1]])
        elif match and found:
            found[-1].append(match[1])
    return tuple(name for gpu in found for name in (gpu[1:] or gpu))


@contextmanager
def _visible(gpu: str) -> Iterator[None]:
    before = os.environ.get(VISIBLE)
    os.environ[VISIBLE] = gpu
    try:
        yield
    finally:
        if before is None:
            del os.environ[VISIBLE]
        else:
            os.environ[VISIBLE] = before


@contextmanager
def _held(
    folder: Path,
    names: Sequence[str],
    count: int,
    what: str,
    waiting: Callable[[str], None],
) -> Iterator[list[str]]:
    """Hold `count` of the slots `names`; who waits for several is not overtaken by others."""
    with _queue(folder / f"queue-{names[0].partition('-')[0]}", what, waiting):
        held, holders = _try(folder, names, count)
        if len(held) < count:
            waiting(f"waiting for {count} of {len(names)} {what}, held by {', '.join(holders)}")
        while len(held) < count:
            _release(held)
            time.sleep(PAUSE)
            held, _ = _try(folder, names, count)
    try:
        yield list(held)
    finally:
        _release(held)


@contextmanager
def _queue(path: Path, what: str, waiting: Callable[[str], None]) -> Iterator[None]:
    purpose = f"waiting for {what}"
    if is_locked(path):
        waiting(f"{purpose}, and others wait already")
    with Lock(path, purpose, wait=True):
        yield


def _release(held: Mapping[str, int]) -> None:
    for handle in held.values():
        os.close(handle)


def _try(folder: Path, names: Sequence[str], count: int) -> tuple[dict[str, int], list[str]]:
    """Lock up to `count` free slots: name to open file, and who holds the others."""
    held: dict[str, int] = {}
    holders: dict[str, None] = {}
    for name in names:
        if len(held) == count:
            break
        handle = os.open(folder / name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holders[os.read(handle, 200).decode(errors="replace") or "another process"] = None
            os.close(handle)
            continue
        os.ftruncate(handle, 0)
        os.pwrite(handle, f"process {os.getpid()}".encode(), 0)
        held[name] = handle
    return held, list(holders)
