"""Passwords in addresses reach no message, no log, no card and no experiment file."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tadsr.cli import main
from tadsr.commands.common import job_context
from tadsr.errors import TadsrError, without_secrets
from tadsr.files import read_json, write_json
from tadsr.plan import Plan
from tadsr.runs import Run
from tests.conftest import REPOSITORY
from tests.security.test_hostile_input import MINI

SECRET = "ge:he/im@9"
ADDRESSES = [
    f"postgresql://me:{SECRET}@host/x", f"postgresql://:{SECRET}@host/x",
    f"mysql://me:{SECRET}@host/x", f"postgresql://me@host/x?password={SECRET}",
    f"postgresql://host/x?user=me&sslpassword={SECRET}", f"http://me:{SECRET}@host:5000",
]  # fmt: skip


@pytest.mark.parametrize("address", ADDRESSES)
def test_a_password_is_masked_wherever_it_stands_in_a_text(address: str) -> None:
    text = f"cannot reach '{address}': refused"
    assert "im@9" not in without_secrets(text) and "ge:he" not in without_secrets(text)
    assert without_secrets(text).endswith(": refused")
    assert str(TadsrError(text)) == without_secrets(text)


@pytest.mark.parametrize("text", [
    "postgresql://me@host:5432/x", "sqlite:////tmp/m.db", "http://host:5000/#/experiments/1",
    "https://a.b/c?page=2", "see https://a.b or write to me@host", "12:30 me@host",
])  # fmt: skip
def test_addresses_without_a_password_stay(text: str) -> None:
    assert without_secrets(text) == text


@pytest.mark.parametrize("address", ADDRESSES)
def test_a_search_takes_no_address_with_a_password_and_does_not_repeat_it(
    tmp_path: Path, address: str, capsys: pytest.CaptureFixture[str]
) -> None:
    values = {**yaml.safe_load(MINI.read_text()), "execution": {"sweep_storage": address}}
    (tmp_path / "mini.yaml").write_text(yaml.safe_dump(values))
    frozen = tmp_path / "experiment.json"
    for arguments in ([str(tmp_path / "mini.yaml")],
                      [str(MINI), "--set", f"execution.sweep_storage={address}"]):  # fmt: skip
        for command in ("plan", "doctor", "run"):
            assert main([command, *arguments, "--results", str(tmp_path / "results")]) == 2
            said = "".join(capsys.readouterr())
            assert "~/.pgpass" in said
            assert "he/im" not in said
    assert not frozen.exists() and not (tmp_path / "results").exists()


def test_cards_and_reasons_of_failures_hold_no_password(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["tadsr", "teacher", ADDRESSES[0]])
    with (
        pytest.raises(ValueError, match="refused"),
        Run.open(tmp_path / "x", {}, {}, root=tmp_path, content=lambda _: ""),
    ):
        raise ValueError(f"{ADDRESSES[0]} refused")
    card = read_json(tmp_path / "x" / "run.json")
    assert card["message"] == "ValueError: postgresql://me:***@host/x refused"
    assert card["command"] == "tadsr teacher postgresql://me:***@host/x"
    plan = Plan.load(MINI, [], tmp_path)
    (job,) = plan.stage("teacher")
    with pytest.raises(ValueError, match="refused"), job_context(plan, job):
        raise ValueError(f"{ADDRESSES[0]} refused")
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert any("***@host/x refused" in path.read_text() for path in files)
    assert not any("he/im" in path.read_text() for path in files)


SHOWS = "print(open(__file__ + '.json').read())"


def audit(
    tmp_path: Path, packages: object, *arguments: str, program: str = SHOWS
) -> subprocess.CompletedProcess[str]:
    """`make audit`'s script, with a pip-audit that finds what it is told to."""
    module = tmp_path / "pip_audit"
    module.mkdir(exist_ok=True)
    (module / "__init__.py").touch()
    (module / "__main__.py").write_text(program)
    write_json(module / "__main__.py.json", {"dependencies": packages})
    command = [sys.executable, str(REPOSITORY / ".ci" / "audit"), *arguments]
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    return subprocess.run(command, text=True, capture_output=True, env=environment)


def test_the_audit_calls_nothing_safe_that_it_could_not_look_up(tmp_path: Path) -> None:
    fine = {"name": "a", "version": "1", "vulns": []}
    unknown = {"name": "b", "skip_reason": "not found"}
    bad = {"name": "c", "version": "2", "vulns": [{"id": "CVE-1", "fix_versions": ["3"]}]}
    done = audit(tmp_path, [fine, fine])
    assert (done.returncode, done.stderr) == (0, "")
    assert "2 of 2 packages looked up" in done.stdout
    done = audit(tmp_path, [fine, unknown])
    assert done.returncode == 0
    assert "NOT AUDITED: 1 packages could not be looked up: b" in done.stderr
    assert audit(tmp_path, [fine, unknown], "--require").returncode == 2
    done = audit(tmp_path, [fine, unknown, bad])
    assert done.returncode == 1
    assert "VULNERABLE c 2: CVE-1, fixed in 3" in done.stdout
    done = audit(tmp_path, [], program="raise SystemExit('no network')")
    assert (done.returncode, "NOT AUDITED" in done.stderr) == (0, True)
    assert "no network" in done.stderr


def test_what_listens_listens_on_loopback() -> None:
    """Every server that is started by a file of this repository, or that its pages tell to start.

    In a container a server listens to its network; there the ports are bound to loopback.
    """
    places = [
        REPOSITORY / "Makefile",
        *REPOSITORY.glob("docs/*.md"),
        *REPOSITORY.glob("tadsr/**/*.py"),
    ]
    for path in places:
        assert "0.0.0.0" not in path.read_text(), path
    compose = yaml.safe_load((REPOSITORY / "deploy" / "compose.yaml").read_text())
    ports = [port for service in compose["services"].values() for port in service.get("ports", ())]
    assert ports and all(str(port).startswith("127.0.0.1:") for port in ports), json.dumps(ports)
