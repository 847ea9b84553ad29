"""What MLflow's own readers and pages need: tables, the image grid, queries."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
from made_up_results import IMAGES, NAME, score
from mlflow.tracking import MlflowClient
from PIL import Image
from shown import ids_of, runs_of

from tadsr.plan import Plan
from tadsr.publish import publish, tracking_uri
from tadsr.publish.front_page import front_page
from tadsr.publish.mapping import MAX_PICTURES
from tadsr.publish.records import Leaderboard, RunRecord
from tadsr.publish.staging import TABLE_TAG, TAG_LIMIT, artefact_tags, picture_paths


@pytest.fixture
def client(plan: Plan, monkeypatch: pytest.MonkeyPatch) -> MlflowClient:
    uri = tracking_uri(plan.root.parent)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)  # load_table asks the global one
    publish(plan)
    return MlflowClient(uri)


def number(client: MlflowClient) -> str:
    return str(client.get_experiment_by_name(NAME).experiment_id)


def test_tables_are_read_by_mlflow(client: MlflowClient) -> None:
    ids = ids_of(client, NAME)
    table = client.load_table(number(client), "tables/main-photos.json")
    assert table["model"].tolist() == ["full", "other"]
    assert table["lpips"][0] == pytest.approx(0.3, rel=1e-12) and pd.isna(table["lpips"][1])
    scores = client.load_table(number(client), "tables/scores.json", extra_columns=["run_id"])
    one = scores[scores["run_id"] == ids["full/seed-1"]].sort_values("image")
    assert one["lpips"].tolist() == pytest.approx([score("full", 1, i) for i in IMAGES])
    assert set(scores["run_id"]) == {ids[key] for key in (
        "bicubic", "teacher-1", "full/seed-0", "full/seed-1", "no_gan/seed-0")}  # fmt: skip


def test_pictures_are_named_as_log_image_names_them(client: MlflowClient) -> None:
    mine = client.create_run(number(client)).info.run_id
    picture = Image.new("RGB", (512, 300))
    client.log_image(mine, picture, key="photos/a", step=0)
    theirs = sorted(Path(f.path).name for f in client.list_artifacts(mine, "images"))
    ours = sorted(Path(place).name for place in picture_paths("photos/a"))
    for one, other in zip(theirs, ours, strict=True):
        # key, step, its number, timestamp, its number, what is unique, compressed or nothing
        want, have = one.rpartition(".")[0].split("+"), other.rpartition(".")[0].split("+")
        assert one.rpartition(".")[2] == other.rpartition(".")[2]
        assert len(want) == len(have)
        assert [have[i] for i in (0, 1, 2, 3)] == [want[i] for i in (0, 1, 2, 3)]
        assert have[6:] == want[6:] and have[4].isdecimal()
    tag = client.get_run(mine).data.tags["mlflow.loggedImages"]
    run = runs_of(client, NAME)["full/seed-0"]
    assert run.data.tags["mlflow.loggedImages"] == tag
    files = [f for f in client.list_artifacts(run.info.run_id, "images") if not f.is_dir]
    assert len(files) == 4  # nothing else lies there: the page would stumble over it


def test_a_thumbnail_is_a_small_copy(client: MlflowClient, tmp_path: Path) -> None:
    run_id = ids_of(client, NAME)["bicubic"]
    full, small = picture_paths("photos/b")
    for place in (full, small):
        with Image.open(client.download_artifacts(run_id, place, str(tmp_path))) as image:
            assert image.size == (8, 8) and image.convert("RGB").getpixel((4, 4))[1] == \
                pytest.approx(80, abs=4)  # fmt: skip


@pytest.mark.parametrize(("query", "keys"), [
    ("tags.`tadsr.variant` = 'full'", {"full/seed-0", "full/seed-1"}),
    ("tags.`tadsr.variant` = 'full' and tags.`tadsr.seed` = '1'", {"full/seed-1"}),
    ("tags.`tadsr.kind` = 'student' and metrics.`photos/lpips` < 0.305", {"full/seed-0"}),
    ("tags.`tadsr.status` = 'diverged'", {"no_gan/seed-1"}),
    ("params.`student.losses.adversarial.weight` = '0.0'", {"no_gan/seed-0", "no_gan/seed-1"}),
    ("dataset.name = 'photos' and dataset.context = 'test' and tags.`tadsr.kind` = 'baseline'",
     {"bicubic", "teacher-1"}),
])  # fmt: skip
def test_documented_queries(client: MlflowClient, query: str, keys: set[str]) -> None:
    found = client.search_runs([number(client)], query)
    assert {run.data.tags["tadsr.key"] for run in found} == keys
    documented = Path(__file__).resolve().parents[2] / "docs" / "mlflow.md"
    pattern = query.split("'")[0]
    assert pattern in documented.read_text(encoding="utf-8")


def test_a_run_is_found_by_its_recipe(client: MlflowClient, plan: Plan) -> None:
    digest = plan.recipe_digest("students/full/seed-1")
    (run,) = client.search_runs([number(client)], f"tags.`tadsr.digest` = '{digest}'")
    assert run.info.run_name == "full/seed-1"


def test_a_list_of_tables_that_is_too_long_for_a_tag_is_cut_between_tables() -> None:
    tables = {f"tables/{i:04d}.json": "{}" for i in range(400)}
    tag = artefact_tags(RunRecord("a", "a", "x", "done", {}, tables=tables))[TABLE_TAG]
    assert len(tag) <= TAG_LIMIT < len(tag) + 60
    assert json.loads(tag)[0] == {"path": "tables/0000.json", "type": "table"}


def test_the_view_of_charts_is_as_mlflow_reads_it(client: MlflowClient) -> None:
    tags = client.get_experiment(number(client)).tags
    view = json.loads(tags["mlflow.sharedViewState.tadsr"])
    assert len(tags["mlflow.sharedViewState.tadsr"]) < 20000
    sections = {section["uuid"]: section["name"] for section in view["compareRunSections"]}
    for chart in view["compareRunCharts"]:
        assert chart["type"] == "IMAGE" and chart["showRunParams"] is False
        assert sections[chart["metricSectionId"]] == "images"
    assert [chart["imageKeys"] for chart in view["compareRunCharts"]] == [
        ["photos/a"],
        ["photos/b"],
    ]


def test_forty_pictures_with_long_names_fit_into_the_view() -> None:
    images = tuple(f"a-data-set-of-a-long-name/picture-{i:020d}" for i in range(MAX_PICTURES))
    board = Leaderboard("photos/lpips", True, ("photos/lpips",) * 20, images)
    tags = front_page(board, "1", "2" * 32)
    assert len(tags["mlflow.sharedViewState.tadsr"]) < 20000
