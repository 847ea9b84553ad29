"""A command that a signal ends: it cleans up; under SLURM it waits to be ended, elsewhere not."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tadsr.signals import LONGEST_GRACE, SIGNALS, ended_by_signals


@pytest.fixture
def waited(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Seconds for which the process would have slept; no SLURM."""
    found: list[float] = []
    monkeypatch.setattr(time, "sleep", found.append)
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    return found


@pytest.mark.parametrize("number", SIGNALS)
@pytest.mark.parametrize(("variable", "waits"), [("SLURM_JOB_ID", [LONGEST_GRACE]), (None, [])])
def test_a_stopped_job_waits_for_slurm_alone(
    monkeypatch: pytest.MonkeyPatch, waited: list[float], number: int, variable: str | None,
    waits: list[float],
) -> None:  # fmt: skip
    if variable:
        monkeypatch.setenv(variable, "7")
    before = [signal.getsignal(each) for each in SIGNALS]
    with pytest.raises(SystemExit) as ending, ended_by_signals():
        os.kill(os.getpid(), number)
    assert ending.value.code == 128 + number
    assert waited == waits
    assert [signal.getsignal(each) for each in SIGNALS] == before


@pytest.mark.parametrize("code", [0, 2, None])
def test_a_command_that_ends_by_itself_does_not_wait(
    monkeypatch: pytest.MonkeyPatch, waited: list[float], code: int | None
) -> None:
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    with pytest.raises(SystemExit), ended_by_signals():
        raise SystemExit(code)
    assert waited == []


PARENT = """
import signal, subprocess, sys, time
from tadsr.signals import pass_on_to_children
pass_on_to_children()
signal.signal(signal.SIGTERM, lambda *_: print("told", flush=True))
starting = subprocess.Popen(["sleep", "60"])
child = subprocess.Popen([sys.executable, "-c", sys.argv[1]], stdout=subprocess.PIPE)
child.stdout.readline()
print("ready", flush=True)
print(child.wait(), starting.poll(), flush=True)
starting.kill()
"""
CHILD = """
import signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))
print("ready", flush=True)
time.sleep(60)
"""


@pytest.mark.parametrize("under_slurm", [True, False])
def test_a_job_of_slurm_passes_on_what_its_first_process_is_told(under_slurm: bool) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "SLURM_JOB_ID"}
    if under_slurm:
        environment["SLURM_JOB_ID"] = "7"
    command = [sys.executable, "-c", PARENT, CHILD]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
    assert process.stdout is not None and process.stdout.readline() == "ready\n"
    process.terminate()
    assert process.stdout.readline() == "told\n"
    if under_slurm:
        assert process.stdout.readline() == "7 None\n"  # what had no handler lives on
        assert process.wait(30) == 0
    else:
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(1)
        process.kill()
        process.wait()


def test_a_second_signal_does_not_end_the_waiting(
    monkeypatch: pytest.MonkeyPatch, waited: list[float]
) -> None:
    monkeypatch.setenv("SLURM_JOB_ID", "7")

    def sleep(seconds: float) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        waited.append(seconds)

    monkeypatch.setattr(time, "sleep", sleep)
    with pytest.raises(SystemExit) as ending, ended_by_signals():
        os.kill(os.getpid(), signal.SIGTERM)
    assert (ending.value.code, waited) == (128 + signal.SIGTERM, [LONGEST_GRACE])


def test_a_file_that_was_being_written_is_gone_after_a_signal(tmp_path: Path) -> None:
    code = f"""
import time
from tadsr.files import atomic_path
from tadsr.signals import ended_by_signals
with ended_by_signals(), atomic_path({str(tmp_path / "x.json")!r}) as temporary:
    print("writing", flush=True)
    time.sleep(60)
"""
    environment = {name: value for name, value in os.environ.items() if name != "SLURM_JOB_ID"}
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True,
                               env=environment)  # fmt: skip
    assert process.stdout is not None and process.stdout.readline() == "writing\n"
    assert list(tmp_path.iterdir())
    process.terminate()
    assert process.wait(30) == 128 + signal.SIGTERM
    assert not list(tmp_path.iterdir())
