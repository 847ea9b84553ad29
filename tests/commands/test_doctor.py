"""`tadsr doctor`: each finding follows from something that is made to be so."""

from __future__ import annotations

import fcntl
import json
import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path

import pytest
from sqlalchemy import create_engine

from tadsr.cli import main
from tadsr.commands.checkup import Finding, inputs, machine, searches, services, software
from tadsr.commands.checkup.leftovers import leftovers
from tadsr.files import write_json
from tadsr.locks import Lock
from tadsr.plan import Plan
from tadsr.publish.database import create_database
from tadsr.publish.state import tracking_state
from tadsr.sweeps import state
from tadsr.sweeps.study import SweepStudy
from tests.conftest import REPOSITORY
from tests.sweeps import made_up

DEMO = REPOSITORY / "ablations" / "demo.yaml"


def about(findings: Iterable[Finding], subject: str) -> list[Finding]:
    return [finding for finding in findings if finding.subject == subject]


def test_this_environment_meets_the_lock_or_says_what_differs() -> None:
    found = list(software.software(REPOSITORY))
    assert about(found, "python")[0].level == "ok"
    assert not [f for f in found if f.level == "problem"]


def test_a_lock_is_read_as_pip_reads_it() -> None:
    lines = ["# a comment", "numpy==2.4.0", 'nothing==1.0; sys_platform == "amiga"',
             'scipy==1.2.3 ; python_version > "3"']  # fmt: skip
    text = "\n".join(lines)
    assert software.locked_versions(text) == {"numpy": "2.4.0", "scipy": "1.2.3"}
    whole = (REPOSITORY / "requirements.lock").read_text()
    lines = [line for line in whole.splitlines() if line and not line.startswith("#")]
    kept = software.locked_versions(whole)
    assert len(kept) + whole.count("sys_platform") * (sys.platform != "linux") == len(lines)


def test_another_version_of_what_makes_numbers_is_a_warning(tmp_path: Path) -> None:
    (tmp_path / "requirements.lock").write_text("numpy==0.1\npytest==0.1\n")
    (finding,) = about(software.software(tmp_path), "packages")
    assert finding.level == "warning"
    assert "numpy" in finding.text and "(locked: 0.1)" in finding.text
    (tmp_path / "requirements.lock").write_text("pytest==0.1\n")
    (finding,) = about(software.software(tmp_path), "packages")
    assert finding.level == "note"


def test_limits_of_a_container_are_read(tmp_path: Path) -> None:
    assert machine.cpu_share(tmp_path) is None
    (tmp_path / "cpu.max").write_text("150000 100000\n")
    (tmp_path / "memory.max").write_text("2147483648\n")
    assert machine.cpu_share(tmp_path) == 1.5
    assert machine.memory_limit(tmp_path) == 2**31
    (tmp_path / "cpu.max").write_text("max 100000\n")
    (tmp_path / "memory.max").write_text("max\n")
    assert machine.cpu_share(tmp_path) is None
    assert machine.memory_limit(tmp_path) is None


def test_a_folder_that_cannot_be_written_is_a_problem(tmp_path: Path) -> None:
    blocked = tmp_path / "file" / "results"
    (tmp_path / "file").write_text("")
    (finding,) = machine.folder("results", blocked, 0)
    assert finding.level == "problem"
    assert str(blocked) in finding.text
    (fine,) = machine.folder("results", tmp_path / "not" / "yet", 0)
    assert fine.level == "ok"
    assert not list(tmp_path.glob(".tmp-*"))
    (full,) = machine.folder("results", tmp_path, 2**80)
    assert full.level == "warning"


def test_locks_that_do_not_lock_are_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fcntl, "flock", lambda *_: None)  # as NFS does with nolock
    found = list(machine.folder("results", tmp_path, 0))
    assert found[0].level == "problem"
    assert "locks do not work" in found[0].text


def test_tables_of_another_mlflow_are_a_problem(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert "does not exist yet" in tracking_state(tmp_path)[0]
    create_database(tmp_path / "mlflow.db")
    assert tracking_state(tmp_path)[1] == ""
    with sqlite3.connect(tmp_path / "mlflow.db") as connection:
        connection.execute("UPDATE alembic_version SET version_num = '181f10493468'")
    text, remedy = tracking_state(tmp_path)
    assert "181f10493468" in text
    assert "mlflow db upgrade" in remedy


@pytest.mark.parametrize("address", ["me:geheim@host/x", "host/x?user=me&password=geheim"])
def test_what_a_database_is_called_holds_no_password(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"postgresql://{address}")
    monkeypatch.setattr("tadsr.publish.state.create_engine", lambda _: create_engine("sqlite://"))
    text, _ = tracking_state(tmp_path)
    assert "is empty" in text and "host/x" in text and "geheim" not in text


def test_a_server_that_is_down_is_a_problem_and_its_password_stays_secret(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://me:geheim@127.0.0.1:9")
    (finding,) = services.tracking(tmp_path)
    assert finding.level == "problem"
    assert finding.remedy
    assert "geheim" not in finding.text + finding.remedy


def test_a_database_without_a_driver_is_a_problem(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "postgresql://me:geheim@127.0.0.1/x")
    monkeypatch.setitem(sys.modules, "psycopg2", None)
    (finding,) = services.tracking(tmp_path)
    assert (finding.level, "no driver" in finding.text) == ("problem", True)
    assert "postgresql+psycopg://" in finding.remedy
    assert "geheim" not in finding.text + finding.remedy


def test_a_profile_that_is_not_there_is_a_problem_that_names_the_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert services.profiles("local") == ("local", [])
    _, (finding,) = services.profiles("slurn")
    assert finding.level == "problem"
    assert "slurm" in finding.remedy
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    _, (finding,) = services.profiles("slurm")
    assert finding.remedy == "pip install 'tadsr[cluster]'"


def test_searches_of_an_experiment_are_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(state, "WATCH", 0.0)
    plan = Plan.load(str(DEMO), [], str(tmp_path))
    (fresh, begun) = searches.searches(plan)
    assert (fresh.level, begun.level) == ("ok", "ok")
    name = next(iter(plan.experiment.sweeps))
    study = SweepStudy.open(made_up.spec(), f"demo/{name}", "key", where="journal",
                            folder=plan.sweep(name), images=90)  # fmt: skip
    study.fill()
    assert study.claim()
    with (plan.sweep(name) / "journal.log").open("ab") as stream:
        stream.write(b"cut")
    found = {finding.level: finding.text for finding in searches.searches(plan)}
    assert "was cut" in found["note"]
    assert "gave no sign" in found["warning"]
    (plan.sweep(name) / "journal.log").write_text("nonsense\n")
    (broken,) = searches.searches(plan)
    assert broken.level == "problem"


@pytest.mark.parametrize("address", ["127.0.0.1:port", "127.0.0.1:9"])
def test_a_storage_that_is_no_url_or_away_is_one_problem(address: str) -> None:
    plan = Plan.load(str(DEMO), [f"execution.sweep_storage=postgresql://me@{address}/x"])
    (finding,) = searches.searches(plan)
    assert finding.level == "problem"
    assert finding.remedy


def test_signs_of_workers_are_waited_for_only_where_there_is_one_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(state, "watch", lambda: pytest.fail("waited for nothing"))
    plan = Plan.load(str(DEMO), [], str(tmp_path))
    assert [finding.level for finding in searches.searches(plan)] == ["ok", "ok"]


@pytest.mark.parametrize(
    ("code", "profile", "level"),
    [(0, "", "ok"), (1, "local", "note"), (1, "tadsr-slurm", "problem"), (0, "tadsr-slurm", "ok")],
)
def test_a_cluster_is_asked_and_matters_to_its_profile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, profile: str, level: str
) -> None:
    program = tmp_path / "sinfo"
    program.write_text(f"#!/bin/sh\necho 'debug* up 1 nodes idle'\necho refused >&2\nexit {code}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    (finding,) = about(services.clusters(profile), "SLURM")
    assert finding.level == level
    assert ("refused" if code else "idle") in finding.text


def test_a_cluster_whose_program_is_missing_matters_to_its_profile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert [finding.level for finding in services.clusters("")] == ["note", "note"]
    assert [finding.level for finding in services.clusters("tadsr-slurm")] == ["problem", "note"]
    levels = [finding.level for finding in services.clusters("shared-kubernetes")]
    assert levels == ["note", "problem"]


def test_images_and_models_that_are_not_there_are_problems(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    missing = {"one": tmp_path / "none", "two": tmp_path / "empty"}
    sets = [f"data.test.{name}={{kind: lr_only, path: {path}}}" for name, path in missing.items()]
    models = ["evaluation.checkpoints={other: no.pth}", "evaluation.models=[bicubic, other]"]
    found = list(inputs.inputs(Plan.load(DEMO, [*sets, *models], tmp_path)))
    assert [finding.level for finding in found] == ["problem"] * 3
    told = [f"{finding.text} -> {finding.remedy}" for finding in found]
    assert told[0] == f"data.test.one: {tmp_path / 'none'}: no such folder -> check 'path'"
    assert told[1].startswith(f"data.test.two: {tmp_path / 'empty'} is empty -> ")
    assert told[2] == "evaluation.checkpoints.other: no.pth: no such file -> check the path"
    found = list(inputs.inputs(Plan.load(DEMO, [], tmp_path)))
    assert [finding.level for finding in found] == ["ok", "ok"]


def test_leftovers_of_killed_processes_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    plan = Plan.load(str(DEMO), [], str(tmp_path / "results"))
    (only,) = leftovers(plan)
    assert "does not exist yet" in only.text
    write_json(plan.root / "students" / "full" / "seed-0" / "run.json", {"status": "running"})
    old = plan.root / "data" / ".tmp-x.png"
    old.parent.mkdir()
    old.write_bytes(b"12")
    os.utime(old, (time.time() - 3600,) * 2)
    (tmp_path / ".snakemake" / "locks").mkdir(parents=True)
    (tmp_path / ".snakemake" / "locks" / "0.input.lock").write_text("")
    with Lock(plan.root / "students" / "full" / ".seed-1.lock", "training"):
        found = list(leftovers(plan))
    texts = {finding.subject: finding.text for finding in found}
    assert texts["runs"] == "students/full/seed-0 was interrupted"
    assert texts["temporary files"].startswith("1 of killed")
    held = about(found, "locks")
    assert f"process {os.getpid()}" in held[0].text and held[0].remedy.endswith(f"{os.getpid()}")
    assert "snakemake --unlock" in held[1].remedy
    assert about(leftovers(plan), "locks")[0].level == "ok"


def test_the_command_tells_programs_and_people_and_its_exit_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TADSR_WEIGHTS", str(tmp_path / "weights"))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    arguments = ["doctor", str(DEMO), "--results", str(tmp_path / "results")]
    assert main(arguments) == 0
    text = capsys.readouterr().out
    assert "weights 'musiq-koniq' are not here -> tadsr weights fetch" in text
    assert main([*arguments, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert {"subject", "level", "text", "remedy"} == set(found[0])
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    assert main(arguments) == 1
    assert "1 problems" in capsys.readouterr().out
    assert not (tmp_path / "results").exists()


def test_a_wrong_experiment_is_one_line(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-m", "tadsr", "doctor", "nowhere.yaml"],
                          capture_output=True, text=True, cwd=REPOSITORY)  # fmt: skip
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
