"""Why SLURM ended a job, from logs as SLURM 22.05 wrote them."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from tadsr.commands import ending, run
from tadsr.files import write_json, write_text
from tadsr.plan import Plan
from tadsr.plan.scheduler import ended_by_scheduler, slurm_logs
from tadsr.plan.status import failure_of
from tests.plan.made_up import mini

MEMORY = """\
slurmstepd-vm: error: StepId=3.0 exceeded memory limit (512708608 > 419430400), being killed
slurmstepd-vm: error: Exceeded job memory limit
srun: Job step aborted: Waiting up to 17 seconds for job step to finish.
slurmstepd-vm: error: *** STEP 3.0 ON vm CANCELLED AT 2026-11-26T09:45:53 ***
srun: error: vm: task 0: Killed
"""
CGROUP = "slurmstepd: error: Detected 1 oom_kill event in StepId=17.batch. Some of the step tasks"
TIME = (
    "slurmstepd-vm: error: *** JOB 9 ON vm CANCELLED AT 2026-11-26T10:09:31 DUE TO TIME LIMIT ***"
)
SCANCEL = "slurmstepd-vm: error: *** JOB 16 ON vm CANCELLED AT 2026-11-26T09:57:13 ***"
OURS = "Error in rule student:\nWorkflowError:\nAt least one job did not complete successfully."


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    return mini(tmp_path)


def ended(plan: Plan, text: str, number: int = 7, seconds_ago: float = 10) -> Path:
    """The log that the executor keeps of a failed attempt at student/full."""
    log = slurm_logs(plan) / "rule_student" / "full" / f"{number}.log"
    write_text(log, text)
    moment = time.time() - seconds_ago
    os.utime(log, (moment, moment))
    return log


@pytest.mark.parametrize(
    ("text", "reason", "resource"),
    [(MEMORY, "over its memory limit", "mem_mb"), (CGROUP, "over its memory limit", "mem_mb"),
     (TIME, "over its time limit", "runtime"), (SCANCEL, "cancelled", "")],
)  # fmt: skip
def test_the_reason_the_job_and_the_remedy_are_named(
    plan: Plan, text: str, reason: str, resource: str
) -> None:
    log = ended(plan, text)
    line = failure_of(plan, plan.jobs["student/full"])
    assert line.startswith(f"{reason}, says SLURM job 7")
    assert (f"execution.resources.student.{resource}" in line) == bool(resource)
    assert str(log) in line
    assert ending.failed_jobs(plan, {}) == [f"student/full: {line}"]


def test_a_failure_of_our_own_is_not_the_schedulers(plan: Plan) -> None:
    ended(plan, OURS)
    assert ended_by_scheduler(plan, plan.jobs["student/full"]) is None
    write_text(plan.log("student/full").with_suffix(".failed"), "no such file")
    assert failure_of(plan, plan.jobs["student/full"]).startswith("no such file")


def test_attempts_are_counted_and_the_last_one_is_named(plan: Plan) -> None:
    ended(plan, MEMORY, number=7, seconds_ago=60)
    ended(plan, TIME, number=12)
    assert failure_of(plan, plan.jobs["student/full"]).startswith(
        "over its time limit at attempt 2, says SLURM job 12"
    )


def test_a_job_that_went_on_has_not_failed_but_is_told_of(
    plan: Plan, capsys: pytest.CaptureFixture[str]
) -> None:
    ended(plan, MEMORY)
    write_json(plan.progress("student/full"), {"share": 0.5, "label": "full"})
    assert failure_of(plan, plan.jobs["student/full"]) == ""
    ending.show_tried_again(plan)
    assert capsys.readouterr().out.startswith("tried again: student/full: over its memory limit")


def test_a_killed_attempts_note_of_progress_is_no_later_attempt(plan: Plan) -> None:
    note = plan.progress("student/full")
    write_json(note, {"share": 0.5, "label": "full"})
    long_ago = time.time() - 60
    os.utime(note, (long_ago, long_ago))
    ended(plan, MEMORY)
    assert "over its memory limit" in failure_of(plan, plan.jobs["student/full"])


def test_a_new_run_forgets_what_an_earlier_one_was_told(plan: Plan) -> None:
    ended(plan, MEMORY)
    run.clear_notes(plan)
    assert failure_of(plan, plan.jobs["student/full"]) == ""


def test_the_log_of_a_task_is_a_link_that_may_lead_nowhere_yet(plan: Plan) -> None:
    log = ended(plan, TIME, number=9)
    task = log.rename(log.parent.parent / "17_2.log")
    (log.parent / "17_2.log").symlink_to("../17_2.log")
    (log.parent / "18_1.log").symlink_to("../18_1.log")  # waits for its turn
    found = ended_by_scheduler(plan, plan.jobs["student/full"])
    assert found is not None and found.attempts == 1
    assert "says SLURM job 17_2;" in found.describe("student")
    assert found.log.resolve() == task.resolve()
