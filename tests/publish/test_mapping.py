from __future__ import annotations

import dataclasses
import json
import os
import re
from pathlib import Path

import pytest
from made_up_results import IMAGES, SETTINGS, score

from tadsr.config import Experiment
from tadsr.evaluation.cost_records import CostRecord
from tadsr.files import write_text
from tadsr.plan import Plan
from tadsr.publish.artefacts import grid_name
from tadsr.publish.mapping import leaderboard, map_experiment
from tadsr.publish.records import RunRecord
from tadsr.publish.trainings import student_record
from tadsr.report.content import ReportContent, gather
from tadsr.report.costs import ModelCost


@pytest.fixture
def content(plan: Plan) -> ReportContent:
    return gather(plan.experiment, plan.root)


@pytest.fixture
def records(content: ReportContent) -> dict[str, RunRecord]:
    parent, children = map_experiment(content)
    return {record.key: record for record in (parent, *children)}


def test_one_record_per_model_and_one_above(records: dict[str, RunRecord]) -> None:
    assert {key: record.status for key, record in records.items()} == {
        "experiment": "done", "teacher": "done", "bicubic": "done", "teacher-1": "done",
        "full/seed-0": "done", "full/seed-1": "done", "no_gan/seed-0": "done",
        "no_gan/seed-1": "diverged",
    }  # fmt: skip


def test_params_are_the_dotted_keys_of_experiment_files(records: dict[str, RunRecord]) -> None:
    full, without = records["full/seed-1"].params, records["no_gan/seed-0"].params
    assert full["variant"] == "full" and full["seed"] == "1"
    assert full["student.losses.adversarial.discriminator"] == "time_aware"
    assert full["student.training.learning_rate"] == "0.0002"
    assert full["targets.pairs"] == "384"
    # What a switched-off loss would have done is no setting of this run.
    assert without["student.losses.adversarial.weight"] == "0.0"
    assert "student.losses.adversarial.discriminator" not in without


def test_a_winner_has_the_settings_that_its_search_picked(tmp_path: Path) -> None:
    key = "student.losses.adversarial.weight"
    space = {key: {"kind": "float", "low": 0.01, "high": 0.5}}
    sweep = {"space": space, "objectives": [{"metric": "lpips"}], "budget": {"trials": 2}}
    winner = {"best-of-w": {"pick": {"sweep": "w", "which": "best"}}}
    settings = {**SETTINGS, "sweeps": {"w": sweep}, "variants": {**SETTINGS["variants"], **winner}}
    experiment = Experiment.model_validate_json(json.dumps(settings))
    card = {"status": "running", "recipe_digest": "ab"}

    def weight() -> str:
        return student_record(experiment, tmp_path, ("best-of-w", 0), card, {}).params[key]

    assert weight() == "0.02"  # nothing is picked yet
    best = {"picks": {"best": {"trial": 1, "delta": {key: 0.125}, "values": [0.3]}}}
    write_text(tmp_path / "sweeps" / "w" / "best.yaml", json.dumps(best))
    assert weight() == "0.125"


def test_points_are_curves_and_final_values(records: dict[str, RunRecord]) -> None:
    points = {(p.metric, p.images): p.value for p in records["full/seed-1"].points}
    mean = sum(score("full", 1, image) for image in IMAGES) / len(IMAGES)
    assert points == {
        ("loss/regression", 8): 1.0, ("loss/regression", 16): 0.5,
        ("loss/regression", 24): 1 / 3, ("loss/regression", 32): 0.25,
        ("val/mse", 8): 0.5, ("val/mse", 24): 0.5, ("val/mse", 32): 0.5,
        ("final/seconds", 0): 9.0, ("final/val_mse", 0): 0.01,
        ("photos/lpips", 0): pytest.approx(mean),
    }  # fmt: skip


def test_costs_are_metrics_of_each_model_and_the_students_share_one(
    content: ReportContent,
) -> None:
    def record(side: int, seconds: tuple[float, ...], busy: float) -> CostRecord:
        return CostRecord(
            lr_side=side, parameters={"denoiser": 5, "codec": 2}, macs=100 * side, seconds=seconds,
            peak_bytes=1000, device="cpu", device_name="X", processor="X", threads=2, torch="2",
            dtype="float32", busy_elsewhere=busy,
        )  # fmt: skip

    measured = ModelCost("full/seed-0", (record(8, (0.1, 0.2, 0.3), 0.0),
                                         record(16, (0.4,) * 20, 1.0)))  # fmt: skip
    changed = dataclasses.replace(content, costs={"students": measured})
    found = {record.key: record for record in map_experiment(changed)[1]}
    costs = {p.metric: p.value for p in found["no_gan/seed-0"].points if p.metric[:5] == "cost/"}
    assert costs == {
        "cost/parameters": 7, "cost/lr8/macs": 800, "cost/lr16/macs": 1600,
        "cost/lr8/latency_median_seconds": 0.2, "cost/lr8/latency_slowest_seconds": 0.3,
        "cost/lr16/latency_median_seconds": 0.4, "cost/lr16/latency_p95_seconds": 0.4,
        "cost/lr16/latency_slowest_seconds": 0.4,
        "cost/lr8/peak_memory_bytes": 1000, "cost/lr16/peak_memory_bytes": 1000,
    }  # fmt: skip
    tags = found["full/seed-1"].tags
    assert tags["tadsr.cost_of"] == "full/seed-0"
    assert tags["tadsr.cost_on"] == "X, 2 threads, float32, torch 2"
    assert tags["tadsr.cost_disturbed_at"] == "16"
    for without in ("no_gan/seed-1", "bicubic"):  # diverged; not measured
        assert not any(p.metric.startswith("cost/") for p in found[without].points)
        assert "tadsr.cost_of" not in found[without].tags


def test_what_is_missing_is_named_and_has_no_value(records: dict[str, RunRecord]) -> None:
    for key in ("bicubic", "full/seed-0"):
        assert records[key].tags["tadsr.missing"] == "musiq"
    assert "musiq" in records["experiment"].tags["tadsr.missing"]
    lost = records["no_gan/seed-1"]
    assert lost.tags["tadsr.message"] == "loss became nan"
    assert {p.metric for p in lost.points} == {"loss/regression", "val/mse", "final/seconds"}
    assert set(lost.files) == {"run.json", "metrics.jsonl"}


def test_images_have_the_same_place_in_each_run(records: dict[str, RunRecord]) -> None:
    for key in ("bicubic", "teacher-1", "full/seed-0", "no_gan/seed-0"):
        assert list(records[key].images) == ["photos/a", "photos/b"]
        assert "scores/photos.parquet" in records[key].files
    assert not records["no_gan/seed-1"].images  # diverged


def test_names_of_pictures_are_in_letters_that_mlflow_allows_and_stay_apart() -> None:
    assert grid_name("set5", "img_001.x 2") == "set5/img_001.x 2"
    odd = [grid_name("set5", name) for name in ("a+b", "a#b", "a_b", "ä~b", "50%")]
    assert len(set(odd)) == len(odd)
    for name in odd:
        assert re.fullmatch(r"[a-zA-Z0-9_\-./ ]+", name)  # MlflowClient.log_image's own rule


def test_scores_of_images_are_a_table_with_a_line_per_image(records: dict[str, RunRecord]) -> None:
    table = json.loads(records["full/seed-1"].tables["tables/scores.json"])
    assert table["columns"] == ["image", "lpips", "dataset"]
    assert table["data"] == [[f"photos/{image}", score("full", 1, image), "photos"]
                             for image in IMAGES]  # fmt: skip
    assert not records["no_gan/seed-1"].tables


def test_scores_belong_to_their_test_set(records: dict[str, RunRecord]) -> None:
    for key in ("bicubic", "full/seed-0"):
        sets = {point.metric: point.dataset for point in records[key].points}
        assert sets["photos/lpips"] == "photos"
        assert {name for name, dataset in sets.items() if dataset} == {"photos/lpips"}


def test_runs_can_be_found_by_variant_seed_and_digest(
    records: dict[str, RunRecord], plan: Plan
) -> None:
    tags = records["full/seed-1"].tags
    assert (tags["tadsr.variant"], tags["tadsr.seed"]) == ("full", "1")
    assert tags["tadsr.digest"] == plan.recipe_digest("students/full/seed-1")
    assert records["bicubic"].tags["tadsr.variant"] == "bicubic"


def test_the_parent_carries_report_and_words(records: dict[str, RunRecord]) -> None:
    parent = records["experiment"]
    assert {"report/index.html", "report/figures/effects.svg", "report/tables/main-photos.md",
            "comparison/scores.parquet", "experiment.json"} <= set(parent.files)  # fmt: skip
    assert "report/images/a.png" not in parent.files  # the page could not load it there
    assert json.loads(parent.tables["tables/main-photos.json"]) == {
        "columns": ["model", "lpips"], "data": [["full", 0.3], ["other", None]]}  # fmt: skip
    assert "| 1 | 2 |" in parent.tags["mlflow.note.content"]
    assert r"no\_gan" in parent.tags["mlflow.note.content"]


def test_digest_is_of_content_not_of_times(content: ReportContent) -> None:
    before = {record.key: record.content for record in map_experiment(content)[1]}
    for path in Path(content.root).rglob("*"):
        os.utime(path, (1_000_000, 1_000_000))
    after = {record.key: record for record in map_experiment(content)[1]}
    assert {key: record.content for key, record in after.items()} == before
    assert after["teacher"].ended_ms == 1_000_000_000
    assert after["teacher"].ended_ms - after["teacher"].started_ms == 9000
    (content.root / "evaluations" / "bicubic" / "photos" / "a.png").write_bytes(b"other")
    changed = {record.key: record.content for record in map_experiment(content)[1]}
    assert [key for key in before if before[key] != changed[key]] == ["bicubic"]


def test_values_that_are_not_finite_are_left_out(content: ReportContent) -> None:
    means = {**content.seed_means, ("full", 0, "photos", "musiq"): float("nan")}
    card = {**content.runs["students/full/seed-0"], "results": {"x": float("inf"), "y": 1.0}}
    broken = dataclasses.replace(
        content, seed_means=means, runs={**content.runs, "students/full/seed-0": card}
    )
    record = next(r for r in map_experiment(broken)[1] if r.key == "full/seed-0")
    names = {point.metric for point in record.points}
    assert "final/y" in names and not {"final/x", "photos/musiq"} & names
    assert record.tags["tadsr.missing"] == "musiq"


def test_a_partial_experiment_has_what_there_is(plan: Plan) -> None:
    for name in ("comparison/scores.parquet", "comparison/means.parquet",
                 "comparison/comparisons.parquet", "students/full/seed-1/run.json"):  # fmt: skip
        (plan.root / name).unlink()
    card = plan.root / "students" / "full" / "seed-0" / "run.json"
    card.write_text(json.dumps({**json.loads(card.read_text()), "status": "running"}))
    parent, children = map_experiment(gather(plan.experiment, plan.root, partial=True))
    assert {record.key: record.status for record in children} == {
        "teacher": "done", "full/seed-0": "running", "no_gan/seed-0": "done",
        "no_gan/seed-1": "diverged",
    }  # fmt: skip
    assert parent.status == "running"
    assert "scores.parquet is missing" in parent.tags["tadsr.holes"]


def test_leaderboard_is_sorted_by_the_declared_endpoint(content: ReportContent) -> None:
    board = leaderboard(content)
    assert (board.order, board.ascending) == ("photos/lpips", True)
    assert board.columns == ("photos/lpips", "photos/musiq")
    # Curves first, then pictures, the declared test set, the others.
    assert board.sections[:5] == ("loss", "val", "images", "photos", "real")
    pictured = leaderboard(content, map_experiment(content)[1])
    assert pictured.images == ("photos/a", "photos/b")
    undeclared = content.experiment.model_copy(update={"primary": ()})
    assert leaderboard(dataclasses.replace(content, experiment=undeclared)) == board


def test_leaderboard_passes_over_a_test_set_that_has_no_metric(content: ReportContent) -> None:
    undeclared = content.experiment.model_copy(update={"primary": ()})
    lpips = tuple(metric for metric in content.metrics if metric.id == "lpips")
    real_first = tuple(reversed(content.datasets))
    assert real_first[0].name == "real"
    changed = dataclasses.replace(
        content, experiment=undeclared, datasets=real_first, metrics=lpips
    )
    assert leaderboard(changed).columns == ("photos/lpips",)


def test_descriptions_are_text_and_no_markup(content: ReportContent) -> None:
    full = content.experiment.variants["full"]
    hostile = full.model_copy(update={"description": "<img src=x onerror=alert(1)> [a](b)\n# c"})
    variants = {**content.experiment.variants, "full": hostile}
    experiment = content.experiment.model_copy(update={"variants": variants})
    _, children = map_experiment(dataclasses.replace(content, experiment=experiment))
    note = next(r for r in children if r.key == "full/seed-0").tags["mlflow.note.content"]
    assert note == r"\<img src=x onerror=alert(1)\> \[a\](b) # c"


def test_what_others_wrote_is_no_markup_of_a_note(content: ReportContent) -> None:
    evil = "<img src=x onerror=alert(1)> [here](https://x)"
    first = dataclasses.replace(content.comparisons[0], primary=True, text=f"{evil} is better")
    foreign = dataclasses.replace(content, comparisons=[first, *content.comparisons[1:]])
    parent, _ = map_experiment(foreign)
    note = parent.tags["mlflow.note.content"]
    assert "alert(1)" in note
    assert "<img" not in note.replace("\\<", "") and "[here](" not in note.replace("\\[", "")
