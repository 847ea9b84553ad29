from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tadsr.errors import ConfigError
from tadsr.publish.location import open_command, tracking_uri


@pytest.fixture(autouse=True)
def _nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.chdir(tmp_path)


def test_default_is_a_file_in_the_results_folder(tmp_path: Path) -> None:
    assert tracking_uri() == f"sqlite:///{tmp_path}/results/mlflow.db"
    assert tracking_uri("/data/out") == "sqlite:////data/out/mlflow.db"


@pytest.mark.parametrize("uri", ["http://mlflow:5000", "postgresql+psycopg2://a:b@c/d"])
def test_the_environment_wins(uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    assert tracking_uri() == uri


@pytest.mark.parametrize("uri", ["./mlruns", "file:///tmp/mlruns", "/tmp/mlruns", "mlruns"])
def test_a_folder_is_refused_with_the_remedy(uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    with pytest.raises(ConfigError, match="unset it"):
        tracking_uri()


def test_open_command_can_be_pasted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / ".venv" / "bin" / "mlflow"
    program.parent.mkdir(parents=True)
    program.write_text('#!/bin/sh\necho called-with "$@"\n')
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(program.with_name("python")))
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    said = subprocess.run(open_command("my results"), shell=True, capture_output=True, text=True)
    expected = "ui --host 127.0.0.1 --port 5000 --backend-store-uri sqlite:///my results/mlflow.db"
    assert said.stdout.strip() == f"called-with {expected}"
    assert open_command().startswith(".venv/bin/mlflow ui ")
    assert "sqlite:////elsewhere/mlflow.db" in open_command("/elsewhere")
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")
    assert open_command().startswith("mlflow ui ")


def test_open_command_shows_no_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://user:secret@host:5000/x")
    assert open_command() == "https://host:5000/x"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "postgresql://user:secret@host/x")
    assert open_command().startswith('MLFLOW_BACKEND_STORE_URI="$MLFLOW_TRACKING_URI" ')
    assert "--backend-store-uri" not in open_command()  # which `ps` shows to everybody


def test_mlflow_is_not_imported_to_say_where_it_is() -> None:
    code = "import sys, tadsr.publish as p; p.open_command(); sys.exit('mlflow' in sys.modules)"
    repository = Path(__file__).resolve().parents[2]
    subprocess.run([sys.executable, "-c", code], check=True, cwd=repository)
