"""A run is added to where that is possible, and replaced where MLflow cannot change it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from made_up_results import NAME
from mlflow.tracking import MlflowClient
from shown import ids_of, runs_of

from tadsr.plan import Plan
from tadsr.publish import tracking_uri
from tadsr.publish.client import Outcome, opened, publish_records
from tadsr.publish.records import DatasetUse, Leaderboard, Point, RunRecord

PARENT = RunRecord("experiment", NAME, "experiment", "done", {})
CHILD = RunRecord(
    "a", "a", "student", "done", {"tadsr.digest": "1"}, {"lr": "0.1"},
    points=(Point("loss", 8, 1.0), Point("loss", 16, 0.5)),
    datasets=(DatasetUse("train", "ab" * 32, "train"),),
)  # fmt: skip
SCORED = replace(
    CHILD,
    points=(*CHILD.points, Point("photos/lpips", 0, 0.25, "photos")),
    datasets=(*CHILD.datasets, DatasetUse("photos", "cd" * 32, "test")),
)


def put(plan: Plan, record: RunRecord) -> Outcome:
    board = Leaderboard("photos/lpips", True, ("photos/lpips",))
    return publish_records(NAME, PARENT, [record], board, plan.root)


def client_of(plan: Plan) -> MlflowClient:
    return MlflowClient(tracking_uri(plan.root.parent))


def curve(client: MlflowClient, run_id: str, name: str = "loss") -> list[tuple[int, float]]:
    return sorted((p.step, p.value) for p in client.get_metric_history(run_id, name))


def test_what_was_measured_later_is_added_to_the_same_run(plan: Plan) -> None:
    put(plan, CHILD)
    before = ids_of(client_of(plan), NAME)
    outcome = put(plan, SCORED)
    client = client_of(plan)
    assert (outcome.written, outcome.removed) == (1, 0) and ids_of(client, NAME) == before
    run = runs_of(client, NAME)["a"]
    assert run.data.metrics == {"loss": 0.5, "photos/lpips": 0.25}
    assert curve(client, run.info.run_id) == [(8, 1.0), (16, 0.5)]
    assert {i.dataset.name for i in run.inputs.dataset_inputs} == {"train", "photos"}


@pytest.mark.parametrize("other", [
    replace(SCORED, params={"lr": "0.2"}),
    replace(SCORED, points=(Point("loss", 8, 1.0), Point("loss", 16, 0.4))),
    replace(SCORED, points=SCORED.points[1:]),
    replace(SCORED, datasets=(*CHILD.datasets, DatasetUse("photos", "ef" * 32, "test"))),
])  # fmt: skip
def test_what_contradicts_a_run_replaces_it(plan: Plan, other: RunRecord) -> None:
    put(plan, SCORED)
    before = ids_of(client_of(plan), NAME)
    outcome = put(plan, other)
    client = client_of(plan)
    after = ids_of(client, NAME)
    assert (outcome.written, outcome.removed) == (1, 1)
    assert after["a"] != before["a"] and after["experiment"] == before["experiment"]
    run = runs_of(client, NAME)["a"]
    assert run.data.params == dict(other.params)
    assert curve(client, after["a"]) == [(p.images, p.value) for p in other.points
                                         if p.metric == "loss"]  # fmt: skip
    # The old run's model went with it.
    models = client.search_logged_models([run.info.experiment_id])
    assert {model.source_run_id for model in models} <= {after["a"]}


def test_scores_are_tied_to_their_test_set(plan: Plan) -> None:
    put(plan, SCORED)
    client = client_of(plan)
    run = runs_of(client, NAME)["a"]
    (model,) = client.search_logged_models([run.info.experiment_id])
    assert [(m.key, m.value, m.dataset_name, m.dataset_digest) for m in model.metrics] == [
        ("photos/lpips", 0.25, "photos", ("cd" * 32)[:36])]  # fmt: skip
    assert (model.name, model.source_run_id, model.tags["tadsr.digest"]) == (
        "a", run.info.run_id, "1")  # fmt: skip
    query = [{"dataset_name": "photos"}]
    best = client.search_logged_models([run.info.experiment_id], "metrics.`photos/lpips` < 0.3",
                                       datasets=query)  # fmt: skip
    assert len(best) == 1


def test_points_ahead_of_a_training_that_was_resumed_are_kept(plan: Plan) -> None:
    put(plan, replace(CHILD, status="running"))
    before = ids_of(client_of(plan), NAME)
    rewound = replace(CHILD, status="running", points=CHILD.points[:1])
    put(plan, rewound)
    client = client_of(plan)
    assert ids_of(client, NAME) == before
    assert curve(client, before["a"]) == [(8, 1.0), (16, 0.5)]
    put(plan, CHILD)  # it came to the same point again
    assert ids_of(client, NAME) == before
    assert curve(client, before["a"]) == [(8, 1.0), (16, 0.5)]


def test_a_resumed_training_that_went_another_way_gets_a_new_run(plan: Plan) -> None:
    put(plan, replace(CHILD, status="running"))
    before = ids_of(client_of(plan), NAME)
    put(plan, replace(CHILD, status="running", points=CHILD.points[:1]))
    put(plan, replace(CHILD, points=(CHILD.points[0], Point("loss", 16, 0.4))))
    client = client_of(plan)
    after = ids_of(client, NAME)
    assert after["a"] != before["a"]
    assert curve(client, after["a"]) == [(8, 1.0), (16, 0.4)]


def test_points_that_another_publisher_sent_meanwhile_are_not_doubled(plan: Plan) -> None:
    put(plan, replace(CHILD, status="running", points=CHILD.points[:1]))
    with opened(NAME, plan.root) as runs:
        found = runs.existing()
        run_id = found["a"][0].info.run_id
        runs.sent[run_id] = set()  # what a follower knows that was not there
        runs.bring(CHILD, found["a"], found["experiment"][0].info.run_id)
    assert curve(client_of(plan), run_id) == [(8, 1.0), (16, 0.5)]


def test_artefacts_that_are_no_more_go(plan: Plan, tmp_path: Path) -> None:
    file = tmp_path / "x.txt"
    file.write_text("x")
    put(plan, replace(CHILD, files={"old/x.txt": file, "x.txt": file}))
    put(plan, replace(CHILD, files={"x.txt": file}, tables={"tables/t.json": "{}"}))
    client = client_of(plan)
    run = runs_of(client, NAME)["a"]
    assert [f.path for f in client.list_artifacts(run.info.run_id, "old")] == []
    assert [f.path for f in client.list_artifacts(run.info.run_id, "tables")] == ["tables/t.json"]
