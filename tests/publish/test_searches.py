"""A search in MLflow: a run of its own, a run per trial below it, and growing without loss."""

from __future__ import annotations

import json

import pytest
from made_up_results import NAME
from mlflow.tracking import MlflowClient
from shown import ids_of, runs_of

from tadsr.files import write_text
from tadsr.plan import Plan
from tadsr.publish import publish, tracking_uri
from tadsr.publish.mapping import map_experiment
from tadsr.publish.records import RunRecord
from tadsr.report.content import gather
from tests.report import made_up_sweeps
from tests.report.made_up_sweeps import HSD, KIND, WEIGHT, with_sweeps, write_sweeps

NAMES = ("weight", "losses")
TRIALS = {f"sweep/{name}/trial-{n}" for name in NAMES for n in range(made_up_sweeps.TRIALS[name])}


@pytest.fixture
def searched(plan: Plan) -> Plan:
    """The made-up experiment with two searches, and what the report left of them."""
    write_sweeps(plan.root, NAMES)
    report = plan.root / "report"
    for name in ("sweep-weight-history", "sweep-weight-more-history", "sweep-losses-slice"):
        write_text(report / "figures" / f"{name}.png", name)
    write_text(report / "tables" / "sweep-weight-trials.csv", "trial,psnr\n0,28.1\n1,\n")
    return Plan(with_sweeps(plan.experiment, NAMES), plan.root)


def records_of(plan: Plan) -> dict[str, RunRecord]:
    return {record.key: record for record in map_experiment(gather(plan.experiment, plan.root))[1]}


def client_of(plan: Plan) -> MlflowClient:
    return MlflowClient(tracking_uri(plan.root.parent))


def test_a_trial_is_a_record_below_its_search(searched: Plan) -> None:
    records = records_of(searched)
    found = [record for record in records.values() if record.kind == "trial"]
    assert {record.key for record in found} == TRIALS
    assert {record.parent for record in found} == {"sweep/weight", "sweep/losses"}
    order = list(records)
    assert all(order.index(record.parent) < order.index(record.key) for record in found)
    status = {n: records[f"sweep/weight/trial-{n}"].status for n in (0, 3, 5, 6, 12)}
    assert status == {0: "done", 3: "pruned", 5: "diverged", 6: "failed", 12: "done"}
    assert records["sweep/weight/trial-12"].tags["tadsr.repeats"] == "6"
    assert records["sweep/weight/trial-5"].tags["tadsr.message"] == "the loss became nan"
    assert records["sweep/weight/trial-0"].tags["tadsr.picked"] == "best"
    assert records["sweep/losses/trial-0"].tags["tadsr.feasible"] == "yes"


def test_settings_are_params_and_looks_are_curves(searched: Plan) -> None:
    records = records_of(searched)
    trials = json.loads((searched.root / "sweeps" / "losses" / "trials.json").read_text())
    with_weight = next(t for t in trials if WEIGHT in t["settings"])
    params = records[f"sweep/losses/trial-{with_weight['number']}"].params
    numbers = {k: json.dumps(v) for k, v in with_weight["settings"].items() if k != KIND}
    assert params == {"sweep": "losses", "base": "full", "seed": "1000", KIND: "time_aware",
                      **numbers}  # fmt: skip
    assert float(params[HSD]) == with_weight["settings"][HSD]
    points = {(p.metric, p.images): p.value for p in records["sweep/weight/trial-0"].points}
    assert set(points) == {("val/psnr", 106), ("val/psnr", 320), ("val/psnr", 960),
                           ("objective/psnr", 0)}  # fmt: skip
    assert points["val/psnr", 960] == pytest.approx(points["objective/psnr", 0])
    pruned = {(p.metric, p.images) for p in records["sweep/weight/trial-3"].points}
    assert pruned == {("val/psnr", 106), ("val/psnr", 320)}, "no objective: it is not at its end"
    assert records["sweep/weight/trial-6"].points == ()
    broken = {p.metric: p.value for p in records["sweep/losses/trial-1"].points}
    assert broken["violation/psnr"] == trials[1]["violations"]["psnr against the teacher"]


def test_a_search_tells_what_it_is_and_found(searched: Plan) -> None:
    records = records_of(searched)
    sweep = records["sweep/weight"]
    assert (sweep.kind, sweep.status, sweep.parent) == ("sweep", "done", "")
    assert {n: sweep.tags[f"tadsr.{n}"] for n in ("trials", "complete", "pruned", "failed")} == {
        "trials": "13", "complete": "9", "pruned": "2", "failed": "1"}  # fmt: skip
    assert sweep.tags["tadsr.budget"] == "12 trials"
    assert sweep.tags["tadsr.picked"] == "best: trial 0"
    assert "In the search" in sweep.tags["mlflow.note.content"]
    assert json.loads(sweep.params[f"space.{WEIGHT}"])["log"] is True
    best = {p.images: p.value for p in records["sweep/losses"].points if p.metric == "best/lpips"}
    assert sorted(best.values(), reverse=True) == list(best.values())
    places = set(sweep.files)
    assert {"trials.json", "best.yaml", "figures/sweep-weight-history.png"} <= places
    assert "figures/sweep-weight-more-history.png" not in places, "of another search"
    assert set(sweep.tables) == {"tables/sweep-weight-trials.json"}


def test_mlflow_shows_trials_below_their_search_and_again_the_same(searched: Plan) -> None:
    first = publish(searched)
    client = client_of(searched)
    runs, ids = runs_of(client, NAME), ids_of(client, NAME)
    assert {key for key in runs if key.startswith("sweep/")} == {
        *TRIALS, *(f"sweep/{name}" for name in NAMES)}  # fmt: skip
    above = {key: run.data.tags.get("mlflow.parentRunId") for key, run in runs.items()}
    assert above["sweep/weight"] == ids["experiment"]
    assert {above[key] for key in TRIALS if "weight" in key} == {ids["sweep/weight"]}
    states = {n: runs[f"sweep/weight/trial-{n}"].info.status for n in (0, 3, 5, 6)}
    assert states == {0: "FINISHED", 3: "KILLED", 5: "KILLED", 6: "FAILED"}
    used = runs["sweep/weight/trial-0"].inputs.dataset_inputs
    assert {(u.dataset.name, u.tags[0].value) for u in used} == {("train", "train"),
                                                                 ("val", "validation")}  # fmt: skip
    models = client.search_logged_models([runs["experiment"].info.experiment_id], max_results=100)
    assert not {m.source_run_id for m in models} & {ids[key] for key in TRIALS}
    again = publish(searched)
    assert (again.written, again.removed, again.content) == (0, 0, first.content)


def test_trials_are_found_by_tags_and_by_their_objective(searched: Plan) -> None:
    publish(searched)
    client = client_of(searched)
    number = client.get_experiment_by_name(NAME).experiment_id
    mine = "tags.`tadsr.kind` = 'trial' and tags.`tadsr.sweep` = 'weight'"

    def found(query: str, order: str = "") -> list[str]:
        by = [order] if order else None
        runs = client.search_runs([number], query, order_by=by)
        return [run.data.tags["tadsr.trial"] for run in runs]

    assert sorted(found(f"{mine} and tags.`tadsr.state` = 'pruned'")) == ["3", "8"]
    assert found(f"{mine} and tags.`tadsr.picked` LIKE '%best%'") == ["0"]
    complete = f"{mine} and tags.`tadsr.state` = 'complete'"
    assert found(complete, "metrics.`objective/psnr` DESC")[0] == "0"
    tags = client.get_experiment(number).tags
    view = json.loads(tags["mlflow.sharedViewState.tadsr"])["searchFilter"]
    shown = {run.data.tags["tadsr.kind"] for run in client.search_runs([number], view)}
    assert shown == {"teacher", "baseline", "student"}


def test_more_trials_join_those_that_are_there(
    searched: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setitem(made_up_sweeps.TRIALS, "losses", 5)
        write_sweeps(searched.root, NAMES)
        publish(searched)
        before = ids_of(client_of(searched), NAME)
        picked = runs_of(client_of(searched), NAME)["sweep/losses"].data.tags["tadsr.picked"]
    write_sweeps(searched.root, NAMES)
    outcome = publish(searched)
    after = ids_of(client_of(searched), NAME)
    assert {key: after[key] for key in before} == before, "no run was replaced"
    assert set(after) - set(before) == {f"sweep/losses/trial-{n}" for n in range(5, 14)}
    assert outcome.removed == 0
    now = runs_of(client_of(searched), NAME)["sweep/losses"].data.tags
    assert (picked, now["tadsr.picked"]) == ("best: trial 4", "best: trial 13")
    assert now["tadsr.trials"] == "14"


def test_a_search_that_was_lost_is_made_again_with_its_trials(searched: Plan) -> None:
    publish(searched)
    client = client_of(searched)
    client.delete_run(ids_of(client, NAME)["sweep/weight"])
    publish(searched)
    runs, ids = runs_of(client, NAME), ids_of(client, NAME)
    above = {runs[key].data.tags["mlflow.parentRunId"] for key in TRIALS if "weight" in key}
    assert above == {ids["sweep/weight"]}


def test_a_search_that_is_no_longer_asked_for_goes(searched: Plan) -> None:
    publish(searched)
    without = Plan(with_sweeps(searched.experiment, ("weight",)), searched.root)
    outcome = publish(without)
    assert outcome.removed == 1 + made_up_sweeps.TRIALS["losses"]
    assert not any(key.startswith("sweep/losses") for key in ids_of(client_of(searched), NAME))
