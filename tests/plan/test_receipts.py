"""What is done and what is not, told from files that another recipe may have left."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from tadsr.errors import TadsrError
from tadsr.files import write_json, write_text
from tadsr.plan.receipts import content_of, current_card, fresh_jobs
from tadsr.plan.status import grid_status
from tests.plan.made_up import finish_all, mini

LOUDER = "student.losses.score_distillation.weight=2.0"


def states(folder: Path, *overrides: str) -> dict[str, str]:
    return {f"{r.stage} {r.name}": r.state for r in grid_status(mini(folder, *overrides))}


def test_all_is_done_and_an_edited_weight_makes_its_variant_wait(tmp_path: Path) -> None:
    finish_all(mini(tmp_path))
    assert set(states(tmp_path).values()) == {"done"}
    edited = states(tmp_path, LOUDER)
    assert edited["student full/seed-0"] == "waiting"
    assert edited["student distill_only/seed-0"] == "done"


def test_the_page_is_done_only_with_a_receipt_of_its_own(tmp_path: Path) -> None:
    plan = mini(tmp_path)
    finish_all(plan)
    assert {"report", "publish"} <= fresh_jobs(plan)
    plan.receipt("report").unlink()  # as a partial page leaves it
    assert not {"report", "publish"} & fresh_jobs(plan)
    assert "report" not in fresh_jobs(mini(tmp_path, "evaluation.visual_images=1"))


SEARCH = (
    "sweeps.weight.space={student.losses.adversarial.weight: {kind: float, low: 0.1, high: 1}}",
    "sweeps.weight.objectives=[{metric: psnr}]",
)


def test_more_trials_are_compared_and_shown_even_if_the_winner_stays(tmp_path: Path) -> None:
    plan = mini(tmp_path, *SEARCH, "sweeps.weight.budget={trials: 3}")
    finish_all(plan)
    assert {"sweep/weight", "compare", "report"} <= fresh_jobs(plan)
    more = mini(tmp_path, *SEARCH, "sweeps.weight.budget={trials: 4}")
    assert more.jobs["compare"].digest == plan.jobs["compare"].digest
    assert not {"sweep/weight", "compare", "report"} & fresh_jobs(more)
    other = mini(tmp_path, *SEARCH, "sweeps.weight.budget={trials: 3}", "sweeps.weight.seed=7")
    assert other.jobs["compare"].digest != plan.jobs["compare"].digest


def test_what_other_settings_made_is_not_taken_for_this_recipe(tmp_path: Path) -> None:
    plan = mini(tmp_path)
    finish_all(plan)
    assert content_of(plan, "teacher") == "made teacher"
    other = mini(tmp_path, "teacher.schedule.kappa=1.0")
    assert current_card(other, "teacher") is None
    with pytest.raises(TadsrError, match=r"teacher: not made with the settings of now.*teacher`"):
        content_of(other, "teacher")
    with pytest.raises(TadsrError, match="tadsr student`"):
        content_of(other, "students/full/seed-0")
    with pytest.raises(TadsrError, match="seed-1: not finished"):
        write_json(plan.root / "students/full/seed-1/run.json", {
            "recipe_digest": plan.recipe_digest("students/full/seed-1"), "status": "failed",
        })  # fmt: skip
        content_of(plan, "students/full/seed-1")
    with pytest.raises(TadsrError, match="teacher: not made yet"):
        content_of(mini(tmp_path / "elsewhere"), "teacher")


def test_a_job_that_failed_as_a_whole_did_so_for_all_its_cells(tmp_path: Path) -> None:
    plan = mini(tmp_path)
    failure = plan.log("student/full").with_suffix(".failed")
    write_text(failure, "no device")
    rows = {row.name: row for row in grid_status(plan)}
    assert (rows["full/seed-1"].state, rows["full/seed-1"].detail) == ("failed", "no device")
    write_text(plan.log("student/full"), "")
    write_text(failure, "1 of 2 students failed; full/seed-0: no device")
    rows = {row.name: row for row in grid_status(plan)}
    assert rows["full/seed-1"].state == "waiting"
    assert rows["full/seed-0"].detail.endswith(f"(log: {plan.log('student/full')})")


def test_a_killed_job_does_not_run_for_ever(tmp_path: Path) -> None:
    plan = mini(tmp_path)
    note = plan.progress("evaluate/full")
    write_json(note, {"share": 0.5, "label": "full"})
    assert states(tmp_path)["evaluate full"] == "running"
    long_ago = time.time() - 3600
    os.utime(note, (long_ago, long_ago))
    assert states(tmp_path)["evaluate full"] == "interrupted"
    write_text(plan.log("evaluate/full").with_suffix(".failed"), "no more memory")
    assert states(tmp_path)["evaluate full"] == "failed"
