"""What is particular to `tadsr run --profile slurm-arrays` on the same real SLURM.

Run with `make test-slurm`.
"""

from __future__ import annotations

import pytest

from tests.slurm.cluster import squeue
from tests.slurm.conftest import Place

pytestmark = [
    pytest.mark.slow,
    pytest.mark.integration,
    pytest.mark.parametrize("place", ["slurm-arrays"], indirect=True),
]


def tasks() -> set[str]:
    """Of all jobs that SLURM knows, the tasks of arrays: id and comment."""
    return {job for job in squeue("--states=all", "--array", "--format=%i %k") if "_array_" in job}


def test_students_are_one_array_with_the_same_bits_and_leave_no_logs(
    whole: tuple[Place, str], place: Place
) -> None:
    before = tasks()
    place.run()
    students = [task for task in tasks() - before if "rule_student_array_of_2" in task]
    assert len({task.partition("_")[0] for task in students}) == 1, students
    assert {task.split()[0].partition("_")[2] for task in students} == {"1", "2"}, students
    assert place.weights() == whole[0].weights()
    assert not list(place.root.glob("logs/slurm/rule_student/**/*.log"))


def test_fewer_at_a_time_than_there_are_jobs_is_no_reason_to_wait(
    whole: tuple[Place, str], place: Place
) -> None:
    place.run("--until", "student", "--jobs", "1")
    assert place.weights() == whole[0].weights()
