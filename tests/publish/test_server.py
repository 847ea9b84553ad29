"""A real `mlflow server`: published to, killed, started again, and filled anew from the files."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from made_up_results import NAME, write_receipts, write_training
from mlflow.tracking import MlflowClient
from shown import ids_of, runs_of, shown

from tadsr.plan import Plan
from tadsr.publish import publish, tracking_uri

pytestmark = pytest.mark.slow
REPOSITORY = Path(__file__).resolve().parents[2]
CELL = "students/full/seed-0"


class Server:
    """An MLflow server with a database and artefacts of its own, on a port of its own."""

    def __init__(self, folder: Path, database: Path) -> None:
        self.folder = folder
        folder.mkdir()
        shutil.copy(database, folder / "server.db")
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.uri = f"http://127.0.0.1:{self.port}"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1",
                   "--port", str(self.port), "--workers", "1",
                   "--backend-store-uri", f"sqlite:///{self.folder}/server.db",
                   "--artifacts-destination", str(self.folder / "artifacts")]  # fmt: skip
        environment = {**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true"}
        environment.pop("MLFLOW_TRACKING_URI", None)
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, env=environment,
                                            start_new_session=True, cwd=self.folder)  # fmt: skip
        wait_until(self.answers, 120, "the server does not answer")

    def answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.uri}/health", timeout=2) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def kill(self) -> None:
        if self.process is not None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            self.process = None


def wait_until(reached, seconds: float, otherwise: str) -> None:  # type: ignore[no-untyped-def]
    end = time.monotonic() + seconds
    while not reached():
        assert time.monotonic() < end, otherwise
        time.sleep(0.2)


@pytest.fixture
def server(template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
           plan: Plan) -> Iterator[Server]:  # fmt: skip
    """A server that is running, and that is published to."""
    found = Server(tmp_path / "server", template / "mlflow.db")
    found.start()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", found.uri)
    yield found
    found.kill()


def test_an_empty_server_is_filled_from_the_files(
    plan: Plan, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as here:  # a view that grew: a first part, then the rest
        here.delenv("MLFLOW_TRACKING_URI")
        kept = plan.root / CELL / "run.json"
        card = kept.read_bytes()
        kept.unlink()
        publish(plan, partial=True)
        kept.write_bytes(card)
        publish(plan)
        uri = tracking_uri(plan.root.parent)
        grown = shown(MlflowClient(uri), NAME, tmp_path / "grown")
    assert publish(plan).written == 8
    client = MlflowClient(server.uri)
    assert shown(client, NAME, tmp_path / "filled") == grown
    before = ids_of(client, NAME)
    again = publish(plan)
    assert (again.written, again.kept, again.removed) == (0, 8, 0)
    assert ids_of(client, NAME) == before
    assert shown(client, NAME, tmp_path / "again") == grown
    # One run changes: it alone is written, the artefacts of the others stay.
    (plan.root / "report" / "index.html").write_text("<h1>new</h1>")
    assert publish(plan).written == 1
    page = client.download_artifacts(before["experiment"], "report/index.html", str(tmp_path))
    assert Path(page).read_text() == "<h1>new</h1>"


def test_a_follower_outlives_its_server(plan: Plan, server: Server, tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as here:
        here.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/plain.db")
        publish(plan)
        wanted = shown(MlflowClient(f"sqlite:///{tmp_path}/plain.db"), NAME, tmp_path / "wanted")
    rest = {name: (plan.root / CELL / name).read_bytes() for name in ("run.json", "metrics.jsonl")}
    write_training(plan, CELL, "running", points=1)
    command = [sys.executable, "-m", "tadsr", "publish", "--follow",
               str(plan.root / "experiment.json")]  # fmt: skip
    client = MlflowClient(server.uri)
    log = tmp_path / "follow.log"
    with log.open("wb") as output:
        follower = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT,
                                    env={**os.environ, "PYTHONPATH": str(REPOSITORY)})  # fmt: skip
    try:
        wait_until(lambda: "full/seed-0: running" in log.read_text(), 120, "nothing is carried")
        first = ids_of(client, NAME)["full/seed-0"]
        server.kill()
        write_training(plan, CELL, "running", points=2)
        wait_until(lambda: "trying on" in log.read_text(), 60, "no word of the lost server")
        write_training(plan, CELL, "running", points=3)
        server.start()
        wait_until(lambda: "MLflow is back" in log.read_text(), 60, "it never came back")
        curve = client.get_metric_history(first, "loss/regression")
        assert sorted(p.step for p in curve) == [8, 16, 24]
        for name, content in rest.items():
            (plan.root / CELL / name).write_bytes(content)
        write_receipts(plan)
        assert follower.wait(120) == 0
    finally:
        follower.kill()
    assert runs_of(client, NAME)["full/seed-0"].info.run_id == first
    assert shown(client, NAME, tmp_path / "found") == wanted
    assert "Traceback" not in log.read_text()
