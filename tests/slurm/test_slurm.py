"""`tadsr run --profile slurm` on a real SLURM of one node, and where marked with job arrays, too.

See docs/cluster.md for the last result.

Run with `make test-slurm`.
"""

from __future__ import annotations

import subprocess

import pytest

from tests.slurm.cluster import squeue
from tests.slurm.conftest import Place, wait

pytestmark = [pytest.mark.slow, pytest.mark.integration]
BOTH = pytest.mark.parametrize("place", ["slurm", "slurm-arrays"], indirect=True)
WITHOUT_ACCOUNTING = ("--tadsr-slurm-no-account", "--tadsr-slurm-status-command", "squeue")
STATE = "students/full/seed-0/state/state.safetensors"


def test_the_whole_experiment_from_nothing_to_its_report(whole: tuple[Place, str]) -> None:
    place, output = whole
    assert "PSNR-Y" in output and "report: " in output
    assert (place.root / "jobs" / "publish.json").is_file()
    assert len(place.weights()) == 2
    jobs = squeue("--states=all", "--format=%j|%T|%k")
    assert jobs and all(job.startswith("tadsr-mini_") for job in jobs)
    assert {job.split("|")[1] for job in jobs} == {"COMPLETED"}
    rules = {job.split("|")[2].partition("_wildcards")[0] for job in jobs}
    assert {"rule_teacher", "rule_student", "rule_evaluate", "rule_report"} <= rules


def test_a_second_run_submits_nothing(whole: tuple[Place, str]) -> None:
    before = squeue("--states=all", "--format=%i")
    assert "nothing to do" in whole[0].run()
    assert squeue("--states=all", "--format=%i") == before


def test_a_cluster_without_accounting_is_asked_by_squeue(
    whole: tuple[Place, str], place: Place
) -> None:
    place.run("--until", "student", *WITHOUT_ACCOUNTING)
    assert place.weights() == whole[0].weights()


@BOTH
def test_a_cancelled_training_saves_itself_and_the_same_command_ends_in_the_same_bits(
    whole: tuple[Place, str], place: Place
) -> None:
    run = place.start("--until", "student", "--retries", "0")
    wait(place.trains, run, "a step of the student")
    subprocess.run(["scancel", "--user=root"], check=True)
    output = place.end(run, code=1)
    assert "failed: student/full: cancelled, says SLURM job" in output
    assert (place.root / STATE).is_file()
    place.run("--until", "student")
    assert place.weights() == whole[0].weights()


@BOTH
def test_a_pre_empted_training_starts_again_by_itself_and_ends_in_the_same_bits(
    whole: tuple[Place, str], place: Place
) -> None:
    run = place.start("--until", "student", "--retries", "0")
    wait(place.trains, run, "a step of the student")
    urgent = ["sbatch", "--partition=urgent", "--cpus-per-task=2", "--output=/dev/null"]
    subprocess.run([*urgent, "--wrap=sleep 3"], check=True)
    wait(lambda: not place.trains(), run, "pre-emption")
    assert (place.root / STATE).is_file()
    place.end(run)
    assert place.weights() == whole[0].weights()


@BOTH
def test_a_job_over_its_memory_is_named_and_done_with_more(place: Place) -> None:
    asked = "execution.resources={student: {mem_mb: 600}}"
    output = place.run("--until", "student", settings=(asked,))
    for job in ("student/full", "student/distill_only"):
        assert f"tried again: {job}: over its memory limit, says SLURM job" in output
    assert "execution.resources.student.mem_mb" in output
    assert len(place.weights()) == 2


def test_a_job_that_needs_more_at_every_attempt_fails_and_the_rest_is_done(place: Place) -> None:
    asked = "execution.resources={evaluate: {mem_mb: 250}}"
    output = place.run("--retries", "1", code=1, settings=(asked,))
    assert "failed: evaluate/full: over its memory limit at attempt 2" in output
    assert "Traceback" not in output
    assert len(place.weights()) == 2


def test_a_job_over_its_time_is_named_and_goes_on_where_it_was(place: Place) -> None:
    longer = ("student.training.images=16000", "execution.resources={student: {runtime: 1}}")
    output = place.run("--until", "student", settings=longer)
    assert "tried again: student/full: over its time limit, says SLURM job" in output
    assert "execution.resources.student.runtime" in output
    assert len(place.weights()) == 2
