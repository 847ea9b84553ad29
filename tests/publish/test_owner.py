"""Two results folders of one name, published to one place."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from made_up_results import NAME
from mlflow.tracking import MlflowClient
from shown import ids_of

from tadsr.cli import main
from tadsr.errors import TadsrError
from tadsr.plan import Plan
from tadsr.publish import publish


@pytest.fixture
def shared_place(plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MlflowClient:
    """A database that several results folders are published to, `plan`'s first."""
    uri = f"sqlite:///{tmp_path}/team.db"
    shutil.copy(plan.root.parent / "mlflow.db", tmp_path / "team.db")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    publish(plan)
    return MlflowClient(uri)


@pytest.fixture
def other(template: Path, tmp_path: Path) -> Plan:
    """Results of the same name, made elsewhere by someone else."""
    shutil.copytree(template, tmp_path / "other")
    return Plan.load(tmp_path / "other" / NAME / "experiment.json")


def test_results_of_another_folder_are_not_replaced_unawares(
    shared_place: MlflowClient, plan: Plan, other: Plan, capsys: pytest.CaptureFixture[str]
) -> None:
    before = ids_of(shared_place, NAME)
    command = ["publish", str(other.root / "experiment.json")]
    assert main(command) == 1
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "--replace" in said
    assert str(plan.root) in said and str(other.root) in said
    assert ids_of(shared_place, NAME) == before
    assert main([*command, "--replace"]) == 0
    assert main(command) == 0  # from now on it is theirs
    with pytest.raises(TadsrError, match="--replace"):
        publish(plan)


def test_a_copy_on_another_machine_is_the_same_results(
    shared_place: MlflowClient, plan: Plan, tmp_path: Path
) -> None:
    shutil.copytree(plan.root, tmp_path / "copy" / NAME)
    assert publish(Plan.load(tmp_path / "copy" / NAME / "experiment.json")).kept == 8


def test_results_made_anew_in_the_same_place_are_welcome(
    shared_place: MlflowClient, plan: Plan
) -> None:
    (plan.root / "identity.json").unlink()  # as after `rm -r results/<name>`
    assert publish(plan).kept == 8


def test_what_was_published_before_there_were_owners_is_taken_over(
    shared_place: MlflowClient, other: Plan
) -> None:
    number = shared_place.get_experiment_by_name(NAME).experiment_id
    for tag in ("tadsr.results", "tadsr.origin"):
        shared_place.delete_experiment_tag(number, tag)
    assert publish(other).kept == 8
