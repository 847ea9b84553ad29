"""Publishing to a real MLflow database: complete, idempotent, resumable, never in the way."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from made_up_results import IMAGES, NAME, score, write_comparison
from mlflow.entities import Run, ViewType
from mlflow.tracking import MlflowClient

from tadsr.cli import main
from tadsr.errors import TadsrError
from tadsr.files import read_json
from tadsr.plan import Plan
from tadsr.publish import publish, tracking_uri

RUNS = {"experiment", "teacher", "bicubic", "teacher-1", "full/seed-0", "full/seed-1",
        "no_gan/seed-0", "no_gan/seed-1"}  # fmt: skip


def client_of(plan: Plan) -> MlflowClient:
    return MlflowClient(tracking_uri(plan.root.parent))


def runs_of(plan: Plan, view: int = ViewType.ACTIVE_ONLY) -> list[Run]:
    client = client_of(plan)
    experiment = client.get_experiment_by_name(NAME)
    assert experiment is not None
    return list(client.search_runs([experiment.experiment_id], "", view))


def by_key(plan: Plan) -> dict[str, Run]:
    runs = runs_of(plan)
    found = {run.data.tags["tadsr.key"]: run for run in runs}
    assert len(found) == len(runs)
    return found


def artifacts(client: MlflowClient, run_id: str, folder: str | None = None) -> list[str]:
    found = []
    for item in client.list_artifacts(run_id, folder):
        found += artifacts(client, run_id, item.path) if item.is_dir else [item.path]
    return sorted(found)


def everything(plan: Plan) -> dict[str, Any]:
    """All that MLflow knows, deleted runs too."""
    client = client_of(plan)
    state: dict[str, Any] = {"experiment": dict(client.get_experiment_by_name(NAME).tags)}
    for run in runs_of(plan, ViewType.ALL):
        history = {
            name: [(p.step, p.value, p.timestamp) for p in client.get_metric_history(
                run.info.run_id, name)]
            for name in run.data.metrics
        }  # fmt: skip
        inputs = [entry.dataset.name for entry in run.inputs.dataset_inputs]
        state[run.info.run_id] = (dict(run.info), run.data.params, run.data.tags, history, inputs,
                                  artifacts(client, run.info.run_id))  # fmt: skip
    return state


def test_everything_is_there(plan: Plan) -> None:
    outcome = publish(plan)
    assert (outcome.written, outcome.kept, outcome.removed) == (8, 0, 0)
    client, runs = client_of(plan), by_key(plan)
    assert set(runs) == RUNS
    parent = runs.pop("experiment")
    assert {run.data.tags["mlflow.parentRunId"] for run in runs.values()} == {parent.info.run_id}
    assert "mlflow.parentRunId" not in parent.data.tags
    student = runs["full/seed-1"]
    assert student.info.run_name == "full/seed-1" and student.info.status == "FINISHED"
    assert student.info.end_time - student.info.start_time == 9000
    assert student.data.params["student.losses.adversarial.weight"] == "0.02"
    mean = sum(score("full", 1, image) for image in IMAGES) / 3
    assert student.data.metrics["photos/lpips"] == pytest.approx(mean)
    curve = client.get_metric_history(student.info.run_id, "loss/regression")
    assert [(p.step, p.value) for p in curve] == [(8, 1.0), (16, 0.5), (24, 1 / 3), (32, 0.25)]
    used = {(entry.dataset.name, entry.tags[0].value) for entry in student.inputs.dataset_inputs}
    assert used == {("train", "train"), ("photos", "test")}
    pictures = [f"images/photos~{name}+step+0+timestamp+0+tadsr{end}" for name in "ab"
                for end in ("+compressed.webp", ".png")]  # fmt: skip
    assert artifacts(client, student.info.run_id) == [
        *pictures, "metrics.jsonl", "run.json", "scores/photos.parquet", "tables/scores.json",
    ]  # fmt: skip
    assert runs["no_gan/seed-1"].info.status == "KILLED"
    assert runs["no_gan/seed-1"].data.tags["tadsr.status"] == "diverged"
    assert "report/index.html" in artifacts(client, parent.info.run_id)


def test_publishing_again_changes_nothing(plan: Plan) -> None:
    first = publish(plan)
    before = everything(plan)
    second = publish(plan)
    assert (second.written, second.kept, second.content) == (0, 8, first.content)
    assert everything(plan) == before


def test_only_what_changed_is_made_again(plan: Plan) -> None:
    first = publish(plan)
    before = {key: run.info.run_id for key, run in by_key(plan).items()}
    scores = pd.read_parquet(plan.root / "comparison" / "scores.parquet")
    changed = (scores["variant"] == "full") & (scores["seed"] == 1)
    scores.loc[changed, "value"] += 0.1
    write_comparison(plan.root, scores)
    (plan.root / "report" / "index.html").write_text("<h1>new</h1>")
    (plan.root / "report" / "figures" / "effects.svg").unlink()
    outcome = publish(plan)
    assert (outcome.written, outcome.removed) == (2, 1)
    assert outcome.content != first.content
    after = by_key(plan)
    moved = {key for key, run in after.items() if run.info.run_id != before[key]}
    assert moved == {"full/seed-1"} and set(after) == RUNS
    mean = sum(score("full", 1, image) for image in IMAGES) / 3
    assert after["full/seed-1"].data.metrics["photos/lpips"] == pytest.approx(mean + 0.1)
    shown = artifacts(client_of(plan), before["experiment"])
    assert "report/index.html" in shown and "report/figures/effects.svg" not in shown
    page = Path(after["experiment"].info.artifact_uri) / "report" / "index.html"
    assert page.read_text() == "<h1>new</h1>"


@pytest.mark.parametrize("call", ["log_batch", "log_artifacts", "set_terminated"])
def test_cut_short_and_done_again(plan: Plan, call: str, monkeypatch: pytest.MonkeyPatch) -> None:
    real: Callable[..., Any] = getattr(MlflowClient, call)
    calls = 0

    def dies(*args: Any, **kwargs: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls > 4:
            raise KeyboardInterrupt
        return real(*args, **kwargs)

    with monkeypatch.context() as patched:
        patched.setattr(MlflowClient, call, dies)
        with pytest.raises(KeyboardInterrupt):
            publish(plan)
    outcome = publish(plan)
    assert outcome.kept > 0 and outcome.removed <= 1
    assert set(by_key(plan)) == RUNS
    client = client_of(plan)
    for run in by_key(plan).values():
        assert run.info.status in ("FINISHED", "KILLED")
        for name in run.data.metrics:
            steps = [point.step for point in client.get_metric_history(run.info.run_id, name)]
            assert len(steps) == len(set(steps))
    settled = everything(plan)
    assert publish(plan).written == 0 and everything(plan) == settled


def test_runs_that_are_no_more_go_and_foreign_ones_stay(plan: Plan) -> None:
    publish(plan)
    client = client_of(plan)
    number = client.get_experiment_by_name(NAME).experiment_id
    foreign = client.create_run(number, run_name="mine").info.run_id
    client.set_experiment_tag(number, "mlflow.note.content", "my words")
    frozen = read_json(plan.root / "experiment.json")
    del frozen["variants"]["no_gan"]
    (plan.root / "experiment.json").write_text(json.dumps(frozen))
    outcome = publish(Plan.load(plan.root / "experiment.json"))
    assert outcome.removed == 2
    found = {run.data.tags.get("tadsr.key"): run for run in runs_of(plan)}
    assert set(found) == {key for key in RUNS if not key.startswith("no_gan")} | {None}
    assert found[None].info.run_id == foreign
    assert client.get_experiment(number).tags["mlflow.note.content"] == "my words"


def test_taken_out_of_the_trash(plan: Plan) -> None:
    publish(plan)
    client = client_of(plan)
    client.delete_experiment(client.get_experiment_by_name(NAME).experiment_id)
    assert publish(plan).kept == 8
    client.delete_run(by_key(plan)["experiment"].info.run_id)
    publish(plan)
    runs = by_key(plan)
    parent = runs.pop("experiment").info.run_id
    assert {run.data.tags["mlflow.parentRunId"] for run in runs.values()} == {parent}


def test_moved_results_keep_their_artifacts(plan: Plan, tmp_path: Path) -> None:
    publish(plan)
    plan.root.parent.rename(tmp_path / "elsewhere")
    moved = Plan.load(tmp_path / "elsewhere" / NAME / "experiment.json")
    assert publish(moved).kept == 8
    for run in runs_of(moved):
        assert run.info.artifact_uri.startswith(str(tmp_path / "elsewhere"))
        assert artifacts(client_of(moved), run.info.run_id)


def test_values_that_are_not_finite_are_refused(plan: Plan) -> None:
    from tadsr.publish.client import publish_records
    from tadsr.publish.records import Leaderboard, Point, RunRecord

    parent = RunRecord("experiment", NAME, "experiment", "done", {})
    child = RunRecord("a", "a", "student", "done", {}, points=(Point("m", 8, float("inf")),))
    board = Leaderboard("m", True, ())
    with pytest.raises(TadsrError, match="a: m at 8 images is inf"):
        publish_records(NAME, parent, [child], board, plan.root)


def test_a_server_that_is_down_is_one_line(
    plan: Plan, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://me:secret@127.0.0.1:{port}")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    assert main(["publish", str(plan.root / "experiment.json")]) == 1
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "Connection refused" in said
    assert "tadsr publish" in said and "secret" not in said
    assert not plan.receipt("publish").exists()


def test_the_command_leaves_a_receipt_and_says_how_to_look(
    plan: Plan, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["publish", str(plan.root / "experiment.json")]
    assert main(command) == 0
    receipt = plan.receipt("publish").read_bytes()
    assert f"sqlite:///{plan.root.parent}/mlflow.db" in capsys.readouterr().out
    assert main(command) == 0
    assert plan.receipt("publish").read_bytes() == receipt
    cell = json.loads(receipt)["cells"]["publish"]
    assert cell["status"] == "done" and len(cell["content"]) == 64
