"""When the cost of a model is measured, of which student, and what is not touched by it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tadsr.commands import costs
from tadsr.commands.costs import gather_costs, measured_student, update_cost
from tadsr.evaluation import Bicubic, cost
from tadsr.files import read_json, write_json
from tadsr.plan import Plan, recipes
from tests.plan.made_up import finish_all, finish_run, mini

SMALL = ("evaluation.cost.sizes=[8]", "evaluation.cost.repeats=3")


LOADED: list[str] = []
"""Names of the models that were loaded."""


def update(plan: Plan, name: str = "teacher-1") -> int:
    """How often the model was loaded while its cost was brought up to date."""
    LOADED.clear()
    update_cost(plan, name, "cpu")
    return LOADED.count(name)


@pytest.fixture(autouse=True)
def _idle(monkeypatch: pytest.MonkeyPatch) -> None:
    """Measure bicubic in place of every model, as if nothing else ran."""

    def factory(plan: Plan, name: str, dataset: str, device: str) -> Callable[[], Bicubic]:
        return lambda: LOADED.append(name) or Bicubic()

    monkeypatch.setattr(costs, "upscaler_factory", factory)
    monkeypatch.setattr(cost, "busy_seconds", lambda: None)
    monkeypatch.setattr(cost.os, "getloadavg", lambda: (0.0, 0.0, 0.0))


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    found = mini(tmp_path, *SMALL)
    finish_all(found)
    return found


def test_a_cost_is_measured_once(plan: Plan) -> None:
    assert update(plan) == 1
    stored = read_json(plan.evaluation("teacher-1") / "cost.json")
    assert [record["lr_side"] for record in stored["records"]] == [8]
    assert len(stored["records"][0]["seconds"]) == 3
    assert update(plan) == 0


def test_another_model_size_or_device_is_measured(
    plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    update(plan)
    finish_run(plan, "teacher", content="trained again")
    assert (update(plan), update(plan)) == (1, 0)
    assert update(mini(tmp_path, SMALL[1], "evaluation.cost.sizes=[8, 12]")) == 1
    update(plan)
    elsewhere = {"device": "cpu", "device_name": "another", "processor": "another"}
    monkeypatch.setattr(cost, "describe_device", lambda device: elsewhere)
    assert update(plan) == 1


def test_no_sizes_no_cost(tmp_path: Path) -> None:
    plan = mini(tmp_path, "evaluation.cost.sizes=[]")
    finish_all(plan)
    assert update(plan) == 0
    assert gather_costs(plan) == {}


def test_a_disturbed_measurement_is_repeated(plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cost.os, "getloadavg", lambda: (9.0, 0.0, 0.0))
    assert (update(plan), update(plan)) == (1, 1)
    monkeypatch.setattr(cost.os, "getloadavg", lambda: (0.0, 0.0, 0.0))
    assert (update(plan), update(plan)) == (1, 0)


def test_one_student_is_measured_for_all(plan: Plan) -> None:
    cells = [cell.name for cell in plan.experiment.cells()]
    assert measured_student(plan) == "full/seed-0"
    assert {name: update(plan, name) for name in cells} == {
        name: int(name == "full/seed-0") for name in cells
    }
    found = gather_costs(plan)
    assert set(found) == {"students"}
    assert found["students"]["measured_on"] == "full/seed-0"


def test_a_diverged_student_is_not_the_one(plan: Plan) -> None:
    def diverge(name: str) -> None:
        path = plan.root / "students" / name / "run.json"
        write_json(path, {**read_json(path), "status": "diverged"})

    diverge("full/seed-0")
    assert measured_student(plan) == "full/seed-1"
    diverge("full/seed-1")
    assert measured_student(plan) == "distill_only/seed-0"
    assert update(plan, "distill_only/seed-0") == 1
    assert gather_costs(plan)["students"]["measured_on"] == "distill_only/seed-0"


def test_finished_images_are_not_measured(plan: Plan, tmp_path: Path) -> None:
    images = f'evaluation.images={{"other": "{tmp_path}/other"}}'
    named = mini(tmp_path, *SMALL, images, 'evaluation.models=["bicubic", "other"]')
    assert update(named, "other") == 0
    update(named, "bicubic")
    assert set(gather_costs(named)) == {"bicubic"}


def test_costs_of_other_models_or_settings_are_not_gathered(plan: Plan, tmp_path: Path) -> None:
    for name in ("bicubic", "teacher-1", "full/seed-0"):
        update(plan, name)
    assert set(gather_costs(plan)) == {"bicubic", "teacher-1", "students"}
    assert gather_costs(mini(tmp_path, "evaluation.cost.sizes=[16]")) == {}
    finish_run(plan, "students/full/seed-0", content="trained again")
    assert set(gather_costs(plan)) == {"bicubic", "teacher-1"}


def test_cost_settings_reach_jobs_and_no_recipe(tmp_path: Path) -> None:
    plain, other = mini(tmp_path), mini(tmp_path, *SMALL)
    jobs = {job for job in plain.jobs if plain.jobs[job].digest != other.jobs[job].digest}
    assert {job.split("/")[0] for job in jobs} == {"evaluate", "compare", "report", "publish"}
    for name in ("bicubic", "teacher-1", "full/seed-0"):
        same = [recipes.evaluation(p.experiment, name, "photos-bicubic").digest
                for p in (plain, other)]  # fmt: skip
        assert same[0] == same[1]


def test_larger_sizes_take_longer_and_of_the_students_one_is_counted(tmp_path: Path) -> None:
    none, small, large = (
        mini(tmp_path, f"evaluation.cost.sizes={sizes}").jobs for sizes in ("[]", "[64]", "[256]")
    )
    for job in ("evaluate/baselines", "evaluate/full"):
        assert none[job].cost < small[job].cost < large[job].cost
    assert none["evaluate/distill_only"].flops == large["evaluate/distill_only"].flops
