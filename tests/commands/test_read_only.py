"""Results that may be read and not written, and a second person at the same folder."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tadsr.cli import main
from tadsr.commands import run
from tadsr.locks import Lock
from tests.plan.made_up import MINI, finish_all, mini
from tests.workplace import read_only

Said = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Results of the small experiment, in a folder that may not be written to."""
    plan = mini(tmp_path_factory.mktemp("finished"))
    finish_all(plan)
    run.freeze_experiment(plan)
    with read_only(plan.root.parent):
        yield plan.root


@pytest.fixture
def tadsr(finished: Path, capsys: pytest.CaptureFixture[str]) -> Said:
    def call(command: str, *arguments: str) -> tuple[int, str, str]:
        capsys.readouterr()
        code = main([*command.split(), str(finished / "experiment.json"), *arguments])
        said = capsys.readouterr()
        return code, said.out, said.err

    return call


@pytest.mark.parametrize("command", ["status", "plan", "run --dry-run"])
def test_what_only_looks_works(tadsr: Said, command: str) -> None:
    code, said, complaint = tadsr(command)
    assert (code, complaint) == (0, "")
    assert said


@pytest.mark.parametrize(
    "command", ["run --offline", "data", "teacher", "targets", "student", "evaluate", "compare"]
)
def test_what_has_to_write_is_one_line(tadsr: Said, command: str) -> None:
    code, said, complaint = tadsr(command)
    assert code == 1
    assert complaint.count("\n") == 1, complaint
    assert complaint.startswith("tadsr: error: ") and "Traceback" not in said
    assert "read-only" in complaint or "permission denied" in complaint
    assert "mini/" in complaint and "work on a copy elsewhere" in complaint


def test_a_second_person_is_told_who_is_at_work(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    results = ["--results", str(tmp_path)]
    with Lock(tmp_path / "mini" / ".lock", "experiment mini"):
        assert main(["run", str(MINI), "--offline", *results]) == 1
    complaint = capsys.readouterr().err
    assert complaint.count("\n") == 1
    who = f"process {os.getpid()} on {os.uname().nodename} since 20"
    assert f"experiment mini is already under way by {who}" in complaint
    assert "wait for it or stop it, then run the same command again" in complaint
