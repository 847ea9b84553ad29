from __future__ import annotations

from pathlib import Path

import pytest

from tadsr.cli import main
from tests.plan.made_up import MINI, finish_all, mini


def test_a_pool_that_is_not_what_its_card_says_teaches_nobody(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plan = mini(tmp_path)
    finish_all(plan)  # cards of a pool without its files
    (plan.student("full/seed-0") / "run.json").unlink()
    code = main(["student", str(MINI), "full", "--results", str(plan.root.parent)])
    assert code != 0
    error = capsys.readouterr().err
    assert f"{plan.pool(plan.experiment.cell('full', 0))}: its content" in error
    assert "delete the folder to make it again" in error


def test_stages_that_several_processes_cannot_share_say_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("LOCAL_RANK", "0")
    assert main(["targets", str(MINI), "--results", str(tmp_path)]) == 2
    assert "run this stage without accelerate launch" in capsys.readouterr().err
