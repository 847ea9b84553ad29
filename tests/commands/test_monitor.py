"""What `tadsr run` says of a DAG under way."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tadsr.commands.monitor import MOST_DESCRIBED, Monitor
from tadsr.files import write_json
from tests.plan.made_up import mini

COMMAND = [sys.executable, "-c", "pass"]


def test_jobs_with_receipts_are_done_unless_they_are_at_work_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plan = mini(tmp_path)
    done = ["data", "teacher", *(job.id for job in plan.stage("targets")), "student/full"]
    for job in done:
        write_json(plan.receipt(job), {})
    write_json(plan.progress("student/full"), {"share": 0.25, "label": "full/seed-1", "pace": ""})
    write_json(plan.root / "jobs" / "student" / "of-an-earlier-file.json", {})
    assert Monitor(plan).run(COMMAND, {}) == 0
    last = capsys.readouterr().out.strip().splitlines()[-1]
    count = f"[{len(done) - 1}/{len(plan.jobs)} jobs]"
    assert last.startswith(f"{count} student full/seed-1 25%")


def test_many_jobs_at_work_take_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plan = mini(tmp_path, f"seeds={list(range(MOST_DESCRIBED))}", "execution.cells_per_job=cell")
    students = plan.stage("student")
    for job in students:
        write_json(plan.progress(job.id), {"share": 0.5, "label": job.name, "pace": ""})
    Monitor(plan).run(COMMAND, {})
    last = capsys.readouterr().out.strip().splitlines()[-1]
    assert last.count("50%") == MOST_DESCRIBED
    assert f"and {len(students) - MOST_DESCRIBED} more" in last
