"""GPUs and processors are shared out among processes: none is held twice, kills free them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tadsr.errors import ConfigError
from tadsr.runs.devices import devices, read_listing, slots_folder, visible_gpus
from tests.conftest import REPOSITORY

# Takes a device for a while, noting in a shared log when and which; may be killed meanwhile.
WORKER = """
import os, sys, time
from tadsr.runs.devices import devices
log, threads, hold = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
def note(word, what):
    with open(log, "a") as stream:
        stream.write(f"{time.monotonic_ns()} {os.getpid()} {word} {what}\\n")
def say(text):
    print(text, flush=True)
with devices(threads, use_gpu=sys.argv[4] == "gpu", waiting=say) as grant:
    note("has", ",".join(grant.gpus) + f" sees {os.environ.get('CUDA_VISIBLE_DEVICES')}"
         if grant.gpus else grant.threads)
    time.sleep(hold)
    note("leaves", "")
"""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TADSR_SLOTS", str(tmp_path / "slots"))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    for name in ("SLURM_JOB_ID", "KUBERNETES_SERVICE_HOST"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def start(home: Path, threads: int, hold: float, kind: str = "cpu") -> subprocess.Popen[str]:
    arguments = [sys.executable, "-c", WORKER, str(home / "log"), str(threads), str(hold), kind]
    return subprocess.Popen(arguments, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True)


def notes(home: Path) -> list[tuple[int, str, str]]:
    lines = (home / "log").read_text().splitlines() if (home / "log").exists() else []
    parts = [line.split(" ", 3) for line in lines]
    return [(int(pid), word, what) for _, pid, word, what in parts]


def until(condition, seconds: float = 30.0) -> None:  # type: ignore[no-untyped-def]
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it never came to be"
        time.sleep(0.02)


def test_each_of_many_jobs_has_a_gpu_of_its_own_even_when_some_are_killed(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-a,GPU-b,GPU-c")
    workers = [start(home, 1, 0.25, "gpu") for _ in range(8)]
    victims = [start(home, 1, 60, "gpu") for _ in range(2)]
    ours = {worker.pid for worker in victims}
    until(lambda: {pid for pid, word, _ in notes(home) if word == "has"} & ours)
    for victim in victims:
        victim.send_signal(signal.SIGKILL)
        victim.wait()
    assert [worker.wait(60) for worker in workers] == [0] * 8
    held: dict[str, int] = {}
    for pid, word, what in notes(home):
        if word == "leaves":
            held = {gpu: owner for gpu, owner in held.items() if owner != pid}
            continue
        gpu, _, seen = what.partition(" sees ")
        assert seen == gpu
        # A killed owner leaves no note; whoever lives must not be disturbed.
        assert held.get(gpu) is None or held[gpu] in ours, f"{gpu} was given out twice"
        held[gpu] = pid
    assert {pid for pid, word, _ in notes(home) if word == "leaves"} >= {w.pid for w in workers}


def test_processors_are_counted_out(home: Path) -> None:
    there = len(os.sched_getaffinity(0))
    workers = [start(home, 1 + number % 2, 0.2) for number in range(6)]
    assert [worker.wait(60) for worker in workers] == [0] * 6
    busy: dict[int, int] = {}
    for pid, word, what in notes(home):
        if word == "leaves":
            del busy[pid]
            continue
        busy[pid] = int(what)
        assert sum(busy.values()) <= there
    assert len(notes(home)) == 12


def test_a_job_for_more_processors_than_there_are_takes_all(home: Path) -> None:
    with devices(10_000, use_gpu=False) as grant:
        assert grant.threads == len(os.sched_getaffinity(0))


def test_who_waits_says_for_whom_and_goes_on_when_the_holder_is_killed(home: Path) -> None:
    holder = start(home, 10_000, 60)
    until(lambda: notes(home))
    waiter = start(home, 1, 0)
    assert waiter.stdout is not None
    assert f"held by process {holder.pid}" in waiter.stdout.readline()
    assert waiter.poll() is None
    holder.kill()
    holder.wait()
    assert waiter.wait(30) == 0


def test_gpus_are_found_as_the_driver_lists_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = "GPU 0: NVIDIA A (UUID: GPU-11-22)\nGPU 1: NVIDIA A (UUID: GPU-33-44)\n"
    assert read_listing(plain) == ("GPU-11-22", "GPU-33-44")
    parts = (
        plain
        + "  MIG 1g.10gb     Device  0: (UUID: MIG-aa)\n  MIG 1g.10gb Device 1: (UUID: MIG-bb)\n"
    )
    assert read_listing(parts) == ("GPU-11-22", "MIG-aa", "MIG-bb")
    program = tmp_path / "nvidia-smi"
    program.write_text(f"#!/bin/sh\nprintf '{plain}'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert visible_gpus() == ("GPU-11-22", "GPU-33-44")
    program.write_text("#!/bin/sh\necho 'no driver'\nexit 9\n")
    assert visible_gpus() == ()
    assert visible_gpus({"CUDA_VISIBLE_DEVICES": "1, 3"}) == ("1", "3")
    assert visible_gpus({"CUDA_VISIBLE_DEVICES": ""}) == ()
    assert visible_gpus({"CUDA_VISIBLE_DEVICES": "-1"}) == ()


def test_several_jobs_may_share_a_gpu(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    with (
        devices(1, use_gpu=True, jobs_per_gpu=2) as first,
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
        with devices(1, use_gpu=True, jobs_per_gpu=2) as second:
            # Spread out before doubling up.
            assert (first.gpus, second.gpus) == (("0",), ("1",))
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "0,1"


def test_schedulers_give_out_their_own_devices(home: Path) -> None:
    assert slots_folder({"SLURM_JOB_ID": "7"}) is None
    assert slots_folder({"SLURM_JOB_ID": "7", "TADSR_SLOTS": "on"}) == slots_folder({})
    assert slots_folder({"TADSR_SLOTS": "off"}) is None
    assert slots_folder({"TADSR_SLOTS": str(home / "x")}) == home / "x"


def test_a_folder_of_someone_else_is_refused(home: Path) -> None:
    (home / "target").mkdir()
    (home / "link").symlink_to(home / "target")
    with pytest.raises(ConfigError, match="TADSR_SLOTS"):
        slots_folder({"TADSR_SLOTS": str(home / "link")})
