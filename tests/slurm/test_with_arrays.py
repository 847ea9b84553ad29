"""`tadsr run --profile slurm-arrays` on the same real SLURM.

Run with `make test-slurm`.
"""

from __future__ import annotations

import subprocess

import pytest

from tests.slurm.cluster import squeue
from tests.slurm.conftest import Place, wait
from tests.slurm.test_slurm import STATE

pytestmark = [pytest.mark.slow, pytest.mark.integration]


def tasks() -> set[str]:
    """Of all jobs that SLURM knows, the tasks of arrays: id and comment."""
    return {job for job in squeue("--states=all", "--array", "--format=%i %k") if "_array_" in job}


def test_students_are_one_array_with_the_same_bits_and_leave_no_logs(
    whole: tuple[Place, str], arrays: Place
) -> None:
    before = tasks()
    arrays.run()
    students = [task for task in tasks() - before if "rule_student_array_of_2" in task]
    assert len({task.partition("_")[0] for task in students}) == 1, students
    assert {task.split()[0].partition("_")[2] for task in students} == {"1", "2"}, students
    assert arrays.weights() == whole[0].weights()
    assert not list(arrays.root.glob("logs/slurm/rule_student/**/*.log"))


def test_fewer_at_a_time_than_there_are_jobs_is_no_reason_to_wait(
    whole: tuple[Place, str], arrays: Place
) -> None:
    arrays.run("--until", "student", "--jobs", "1")
    assert arrays.weights() == whole[0].weights()


def test_a_cancelled_array_saves_itself_and_the_same_command_ends_in_the_same_bits(
    whole: tuple[Place, str], arrays: Place
) -> None:
    run = arrays.start("--until", "student", "--retries", "0")
    wait(arrays.trains, run, "a step of the student")
    subprocess.run(["scancel", "--user=root"], check=True)
    output = arrays.end(run, code=1)
    assert "failed: student/full: cancelled, says SLURM job" in output
    assert (arrays.root / STATE).is_file()
    arrays.run("--until", "student")
    assert arrays.weights() == whole[0].weights()


def test_tasks_over_their_memory_are_named_and_done_in_an_array_that_asks_for_more(
    arrays: Place,
) -> None:
    asked = "execution.resources={student: {mem_mb: 1000}}"
    output = arrays.run("--until", "student", settings=(asked,))
    for job in ("student/full", "student/distill_only"):
        assert f"tried again: {job}: over its memory limit, says SLURM job" in output
    assert len(arrays.weights()) == 2


def test_a_pre_empted_task_starts_again_by_itself_and_ends_in_the_same_bits(
    whole: tuple[Place, str], arrays: Place
) -> None:
    run = arrays.start("--until", "student", "--retries", "0")
    wait(arrays.trains, run, "a step of the student")
    urgent = ["sbatch", "--partition=urgent", "--cpus-per-task=2", "--output=/dev/null"]
    subprocess.run([*urgent, "--wrap=sleep 3"], check=True)
    wait(lambda: not arrays.trains(), run, "pre-emption")
    assert (arrays.root / STATE).is_file()
    arrays.end(run)
    assert arrays.weights() == whole[0].weights()
