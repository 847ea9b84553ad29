"""Our wrapper of the SLURM executor, without a SLURM; `make test-slurm` has a real one."""

from __future__ import annotations

import asyncio
import logging
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Lock
from types import SimpleNamespace
from typing import Any

import pytest
from snakemake_interface_executor_plugins.executors.base import SubmittedJobInfo

from tests.conftest import REPOSITORY

pytest.importorskip("snakemake_executor_plugin_slurm", reason="the extra `cluster` is missing")
sys.path.insert(0, str(REPOSITORY / "workflow" / "executors"))
import snakemake_executor_plugin_slurm as published
from snakemake_executor_plugin_tadsr_slurm import Executor, _script, query_job_status


class FakeJob(SimpleNamespace):
    """As much of a job of Snakemake as the executor reads."""

    def is_group(self) -> bool:
        return False

    def register(self, **_: str) -> None: ...


def job(rule: str, name: str, **resources: object) -> Any:
    return FakeJob(rule=SimpleNamespace(name=rule), name=name, threads=1, resources=resources)


@pytest.fixture
def executor(monkeypatch: pytest.MonkeyPatch) -> Any:
    """One that notes what it would submit, and reports to nobody."""
    made: Any = object.__new__(Executor)
    made.arrays, made.single = [], []
    made._main_event_loop = None
    made.array_jobs = {"student", "evaluate"}
    monkeypatch.setattr(made, "_submit_array_jobs", made.arrays.append, raising=False)
    monkeypatch.setattr(made, "_submit_job", made.single.append, raising=False)
    scheduler = SimpleNamespace(submit_callback=lambda _: None, finish_callback=lambda _: None)
    settings = SimpleNamespace(keep_successful_logs=False)
    made.workflow = SimpleNamespace(scheduler=scheduler, executor_settings=settings)
    made.lock, made.active_jobs = Lock(), []
    return made


def test_jobs_that_ask_for_the_same_are_one_array_and_no_other(executor: Any) -> None:
    alone = [job("targets", name, mem_mb=1000) for name in ("a", "b")]  # not to be arrays
    first = [job("student", name, mem_mb=1000, tmpdir=f"/{name}") for name in ("a", "b", "c")]
    retry = [job("student", "d", mem_mb=2000, tmpdir="/d")]
    other = [job("evaluate", name, mem_mb=1000) for name in ("a", "b")]
    executor.run_jobs([first[0], *alone, other[0], retry[0], first[1], other[1], first[2]])
    assert executor.arrays == [first, other]
    assert executor.single == [*alone, *retry]


def test_one_ready_job_of_many_does_not_wait_for_the_others(executor: Any) -> None:
    lonely = job("student", "a", mem_mb=1000)
    executor.run_jobs([lonely])
    assert executor.single == [lonely] and executor.arrays == []


def ask(command: str) -> Any:
    """What the published executor is told; in a thread, which has no event loop of other tests."""
    with ThreadPoolExecutor() as threads:
        question = published.query_job_status(command, logging.getLogger())
        return threads.submit(asyncio.run, question).result()


def test_a_job_that_somebody_cancelled_has_failed_and_a_task_is_found_by_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As SLURM 22.05.8 answers: the raw number of an array is that of its last task."""
    program = tmp_path / "sacct"
    program.write_text("""#!/bin/sh
case "$*" in
*JobID,State*) echo "13|CANCELLED by 0"; echo "17_2|COMPLETED"; echo "18|OUT_OF_MEMORY";;
*) echo "13|CANCELLED by 0"; echo "17|COMPLETED"; echo "18|OUT_OF_MEMORY";;
esac
""")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    asked = published.query_job_status_sacct("a-run")
    states, seconds = ask(asked)
    assert published.query_job_status is query_job_status
    assert states == {"13": "CANCELLED", "17_2": "COMPLETED", "18": "OUT_OF_MEMORY"}
    assert seconds >= 0
    program.write_text("#!/bin/sh\nexit 1\n")
    assert ask(asked) == (None, None)


def test_each_task_runs_its_own_command_alone(tmp_path: Path) -> None:
    commands = ["echo first 'with; quotes'", 'echo "second $HOME"', "exit 3"]
    script = _script(commands)
    said = {}
    for task in ("1", "2", "3"):
        done = subprocess.run(["sh"], input=script, text=True, capture_output=True,
                              env={"SLURM_ARRAY_TASK_ID": task, "HOME": "/h"})  # fmt: skip
        said[task] = (done.returncode, done.stdout)
    assert said == {"1": (0, "first with; quotes\n"), "2": (0, "second /h\n"), "3": (3, "")}


def test_the_log_of_a_task_is_found_at_its_job_until_it_succeeds(
    executor: Any, tmp_path: Path
) -> None:
    log = tmp_path / "rule_student" / "full" / "17_2.log"
    task = SubmittedJobInfo(job("student", "full"), external_jobid="17_2",
                            aux={"slurm_logfile": log})  # fmt: skip
    executor.report_job_submission(task)
    written = tmp_path / "rule_student" / "17_2.log"  # where sbatch --output has %A_%a.log
    written.write_text("said")
    assert log.read_text() == "said"
    executor.report_job_success(task)
    assert not written.exists() and not log.is_symlink()


def test_the_log_of_a_single_job_is_left_to_the_published_executor(
    executor: Any, tmp_path: Path
) -> None:
    log = tmp_path / "rule_teacher" / "18.log"
    single = SubmittedJobInfo(job("teacher", "teacher"), external_jobid="18",
                              aux={"slurm_logfile": log})  # fmt: skip
    executor.report_job_submission(single)
    assert not log.is_symlink() and not log.parent.exists()
    executor.report_job_success(single)
