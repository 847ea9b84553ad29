"""Times of receipts after clocks that jumped, and copies that lost them."""

from __future__ import annotations

import os
import random
import time
from pathlib import Path

import pytest

from tadsr.plan import Plan
from tadsr.plan.times import is_new, settle_inputs, settle_times, stamps
from tests.plan.made_up import finish_all, mini

DAY = 86400


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    plan = mini(tmp_path)
    finish_all(plan)
    for name in ("figures", "tables"):
        (plan.root / "report" / name).mkdir()
    (plan.root / "report" / "figures" / ".snakemake_timestamp").touch()
    return plan


def in_order(plan: Plan) -> bool:
    """As Snakemake looks at it: nothing older than what it was made from, nothing to come."""
    page = plan.output("report").parent
    late = [path.stat().st_mtime for path in (page / "figures" / ".snakemake_timestamp",
                                              page / "tables")]  # fmt: skip
    late.append(plan.output("report").stat().st_mtime)
    times = {job: plan.output(job).stat().st_mtime for job in plan.jobs}
    return (
        all(times[name] <= times[job.id] for job in plan.jobs.values() for name in job.inputs)
        and min(late) >= times["compare"]
        and max(*late, *times.values()) <= time.time()
    )


def test_times_in_order_stay_as_they_are(plan: Plan) -> None:
    settle_times(plan)
    before = stamps(plan)
    settle_times(plan)
    assert stamps(plan) == before
    assert not any(is_new(plan.receipt(job), before) for job in plan.jobs)


@pytest.mark.parametrize("seed", range(5))
def test_any_disorder_is_settled_and_bytes_stay(plan: Plan, seed: int) -> None:
    chance, before = random.Random(seed), {}
    for path in [*plan.root.rglob("*.json"), *(plan.root / "report").rglob("*"),
                 *(plan.root / "report").glob("*")]:  # fmt: skip
        moment = time.time() + chance.uniform(-9 * DAY, 9 * DAY)
        os.utime(path, (moment, moment))
        if path.is_file():
            before[path] = path.read_bytes()
    assert not in_order(plan)
    settle_times(plan)
    assert in_order(plan)
    assert {path: path.read_bytes() for path in before} == before


def test_a_job_that_is_to_be_done_is_no_hindrance(plan: Plan) -> None:
    plan.receipt("student/full").unlink()
    moment = time.time() + DAY
    os.utime(plan.receipt("teacher"), (moment, moment))
    settle_times(plan)
    assert plan.receipt("teacher").stat().st_mtime <= time.time()
    assert not plan.receipt("student/full").exists()


def test_inputs_of_a_job_are_not_younger_than_what_it_wrote(plan: Plan) -> None:
    """As after a clock that was set back by a day while the job ran."""
    student, teacher = plan.jobs["student/full"], plan.receipt("teacher")
    for name in plan.jobs:
        os.utime(plan.receipt(name), (time.time() + DAY,) * 2)
    os.utime(plan.receipt(student.id), None)
    settle_inputs(plan, student)
    written = plan.receipt(student.id).stat().st_mtime_ns
    assert all(plan.output(name).stat().st_mtime_ns == written for name in student.inputs)
    assert teacher.stat().st_mtime > time.time()  # not its input: `settle_times` sees to it
    os.utime(plan.receipt(student.id), (time.time() + 2 * DAY,) * 2)
    before = stamps(plan)
    settle_inputs(plan, student)
    assert stamps(plan) == before
