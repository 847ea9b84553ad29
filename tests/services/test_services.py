"""What deploy/compose.yaml starts, started here from the same file: publishers at once, faults.

Real servers and many of them: `make test-services` runs this, with as many cold starts as
`TADSR_SERVICE_ROUNDS` says.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from mlflow.tracking import MlflowClient

from tests.conftest import REPOSITORY
from tests.postgresql import PostgreSQL, postgresql

sys.path.insert(0, str(REPOSITORY / "tests" / "publish"))
from made_up_results import NAME, make_results

COMPOSE = REPOSITORY / "deploy" / "compose.yaml"
ROUNDS = int(os.environ.get("TADSR_SERVICE_ROUNDS", "1"))
WRITERS, RUNS = 8, 8
PASSWORD = "a long made-up password"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif("TADSR_TEST_SERVICES" not in os.environ,
                       reason="real servers, minutes of them: make test-services"),
]  # fmt: skip


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def command_of(service: str, database: PostgreSQL, folder: Path, port: int) -> list[str]:
    """The service's command in compose.yaml, its host, ports and folders those of the test."""
    words = yaml.safe_load(COMPOSE.read_text())["services"][service]["command"]
    places = {
        "0.0.0.0": "127.0.0.1",
        "--port=5000": f"--port={port}", "--port=8080": f"--port={port}",
        "@postgres/": f"@127.0.0.1:{database.port}/",
        "=/artifacts": f"={folder}/artifacts",
        "${MLFLOW_HOSTS:-localhost:5000,127.0.0.1:5000}": f"127.0.0.1:{port}",
    }  # fmt: skip
    for old, new in places.items():
        words = [word.replace(old, new) for word in words]
    return [str(Path(sys.executable).parent / words[0]), *words[1:]]


class Server:
    """One of the services, as a process."""

    def __init__(self, service: str, database: PostgreSQL, folder: Path) -> None:
        self.port, self.folder = free_port(), folder
        self.uri = f"http://127.0.0.1:{self.port}"
        self.command = command_of(service, database, folder, self.port)
        auth = (REPOSITORY / "deploy" / "services" / "auth.ini").read_text()
        (folder / "auth.ini").write_text(auth.replace("@postgres/", f"@127.0.0.1:{database.port}/"))
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        environment = {
            **os.environ, "MLFLOW_AUTH_ADMIN_PASSWORD": PASSWORD,
            "MLFLOW_FLASK_SERVER_SECRET_KEY": "made up", "MLFLOW_DISABLE_TELEMETRY": "true",
            "MLFLOW_AUTH_CONFIG_PATH": str(self.folder / "auth.ini"),
        }  # fmt: skip
        environment.pop("MLFLOW_TRACKING_URI", None)
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(self.command, stdout=log, stderr=log, cwd=self.folder,
                                            env=environment, start_new_session=True)  # fmt: skip
        end = time.monotonic() + 180
        while not self.answers():
            assert self.process.poll() is None, (self.folder / "log").read_text()[-3000:]
            assert time.monotonic() < end, (self.folder / "log").read_text()[-3000:]
            time.sleep(0.3)

    def answers(self) -> bool:
        try:
            with urllib.request.urlopen(self.uri, timeout=2):
                return True
        except urllib.error.HTTPError as error:
            return error.code in (401, 403)
        except OSError:
            return False

    def kill(self) -> None:
        if self.process is not None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            self.process = None


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The made-up experiment under eight names, each in a results folder of its own."""
    template = tmp_path_factory.mktemp("template") / NAME
    make_results(template)
    found = []
    for number in range(WRITERS):
        root = tmp_path_factory.mktemp(f"results-{number}") / f"small-{number}"
        shutil.copytree(template, root)
        frozen = json.loads((root / "experiment.json").read_text())
        (root / "experiment.json").write_text(json.dumps({**frozen, "name": root.name}))
        found.append(root)
    return found


@pytest.fixture
def database() -> Iterator[PostgreSQL]:
    """A PostgreSQL on which nothing ever ran, with the databases that compose.yaml makes."""
    import psycopg

    for server in postgresql():
        statements = (REPOSITORY / "deploy" / "services" / "databases.sql").read_text()
        with psycopg.connect(server.url, autocommit=True) as connection:
            for statement in re.findall(r"^CREATE .*;$", statements, re.M):
                connection.execute(statement)
        yield server


@pytest.fixture
def mlflow(
    database: PostgreSQL, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Server]:
    (tmp_path / "mlflow").mkdir()
    server = Server("mlflow", database, tmp_path / "mlflow")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.uri)
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "admin")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", PASSWORD)
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY))
    server.start()
    yield server
    server.kill()


def publisher(root: Path, *flags: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tadsr", "publish", str(root / "experiment.json"), *flags]
    return subprocess.Popen(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def finished(processes: list[subprocess.Popen[str]]) -> None:
    for process in processes:
        output, _ = process.communicate(timeout=600)
        assert process.returncode == 0, output


def state(server: Server) -> dict[str, dict[str, tuple[str, int, int]]]:
    """Of each MLflow experiment, its runs: status, number of metrics, of parameters."""
    client = MlflowClient(server.uri)
    found = {}
    for experiment in client.search_experiments():
        runs = client.search_runs([experiment.experiment_id], max_results=1000)
        names = {run.info.run_name: (run.info.status, len(run.data.metrics), len(run.data.params))
                 for run in runs}  # fmt: skip
        assert len(names) == len(runs), "a run is there twice"
        found[experiment.name] = names
    return found


@pytest.mark.parametrize("round_number", range(ROUNDS))
def test_eight_writers_from_a_cold_start_lose_nothing(
    mlflow: Server, results: list[Path], round_number: int
) -> None:
    finished([publisher(root) for root in results])
    found = state(mlflow)
    assert found.pop("Default") == {}
    assert set(found) == {root.name for root in results}
    first = found[results[0].name]
    assert len(first) == RUNS
    for root in results:
        assert {len(runs) for runs in found.values()} == {RUNS}
        assert {name: value for name, value in found[root.name].items() if "/" in name} == {
            name: value for name, value in first.items() if "/" in name}  # fmt: skip


def test_without_a_password_nothing_is_shown_and_nothing_is_written(
    mlflow: Server, results: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "wrong")
    process = publisher(results[0])
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 1
    assert "Traceback" not in output
    assert "wrong" not in output.lower().replace("credentials are wrong", "")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", PASSWORD)
    assert set(state(mlflow)) == {"Default"}


@pytest.mark.parametrize("victim", ["server", "database"])
def test_what_is_killed_for_a_while_is_caught_up_with(
    mlflow: Server, database: PostgreSQL, results: list[Path], victim: str
) -> None:
    finished([publisher(results[0])])
    wanted = state(mlflow)[results[0].name]
    process = publisher(results[1])
    deadline = time.monotonic() + 120
    while len(state(mlflow).get(results[1].name, {})) < 3:  # in the middle of it
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.1)
    mlflow.kill() if victim == "server" else database.kill()
    output, _ = process.communicate(timeout=600)
    assert process.returncode == 1, output
    assert "Traceback" not in output
    assert "publish` again" in output
    if victim == "server":
        mlflow.start()
    else:
        database.start()
    finished([publisher(results[1])])
    found = state(mlflow)[results[1].name]
    assert {n: v for n, v in found.items() if "/" in n} == {
        n: v for n, v in wanted.items() if "/" in n}  # fmt: skip
    assert len(found) == len(wanted)


def test_the_dashboard_shows_a_search_of_the_database(database: PostgreSQL, tmp_path: Path) -> None:
    import optuna

    url = database.url.replace("postgresql:", "postgresql+psycopg:")
    url = f"{url.removesuffix('postgres')}optuna"
    optuna.create_study(study_name="made up", storage=url)
    server = Server("optuna-dashboard", database, tmp_path)
    server.start()
    try:
        with urllib.request.urlopen(f"{server.uri}/api/studies", timeout=10) as answer:
            studies = json.load(answer)
    finally:
        server.kill()
    assert "made up" in json.dumps(studies)
