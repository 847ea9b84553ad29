"""`tadsr merge`: what belongs together becomes one results folder, all else is refused."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from tadsr.cli import main
from tadsr.commands.run import stale_jobs
from tadsr.evaluation.scores import read_scores, write_scores
from tadsr.files import list_files, read_json, sha256_file, with_checksum, write_json
from tadsr.locks import Lock
from tadsr.plan import Plan
from tadsr.plan.artefacts import comparison_files, model_content, pool_content
from tadsr.plan.status import grid_status
from tests.commands.whole import make_whole, stage, tree

CLOSING = ["compare", "report", "publish"]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Results of seeds 0 and 1, of seeds 2 and 3, and of all in one folder."""
    folder = tmp_path_factory.mktemp("machines")
    seeds = {"first": "[0,1]", "second": "[2,3]", "together": "[0,1,2,3]"}
    return {name: make_whole(folder / name, f"seeds={value}", closing=name == "together").root
            for name, value in seeds.items()}  # fmt: skip


@pytest.fixture
def first(made: dict[str, Path], tmp_path: Path) -> Path:
    return Path(shutil.copytree(made["first"], tmp_path / "a" / "mini"))


@pytest.fixture
def second(made: dict[str, Path], tmp_path: Path) -> Path:
    return Path(shutil.copytree(made["second"], tmp_path / "b" / "mini"))


def merge(*folders: Path, out: Path) -> int:
    return main(["merge", *map(str, folders), "--out", str(out)])


def edit_card(path: Path, **changes: Any) -> None:
    write_json(path, with_checksum({**read_json(path), **changes}))


def remake(root: Path, run: str, text: str) -> None:
    """Another outcome of the same recipe, with digests that agree."""
    folder = root / run
    content = pool_content if run.startswith("targets/") else model_content
    (tensors,) = folder.glob("**/*.safetensors")
    tensors.write_text(text)
    files = read_json(folder / "run.json")["files"]
    files[tensors.relative_to(folder).as_posix()] = sha256_file(tensors)
    edit_card(folder / "run.json", content=content(folder), files=files)


def test_merged_seeds_are_what_one_machine_would_have_made(
    made: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "results" / "mini"
    before = {name: tree(made[name]) for name in ("first", "second")}
    assert merge(made["first"], made["second"], out=out) == 0
    said = capsys.readouterr().out
    assert f"next: tadsr run {out / 'experiment.json'}" in said
    assert "note:" not in said
    note = (out / "merged.json").read_text()
    (out / "merged.json").write_text(note.replace("students/full/seed-2", "students/full/seed-3"))
    assert main(["verify", str(out / "experiment.json"), "--fast"]) == 1
    assert "wrong     merged.json" in capsys.readouterr().out
    (out / "merged.json").write_text(note)
    plan = Plan.load(out / "experiment.json")
    assert plan.experiment.seeds == (0, 1, 2, 3)
    assert stale_jobs(plan) == CLOSING
    assert {row.state for row in grid_status(plan) if row.stage not in CLOSING} == {"done"}
    for command in CLOSING[:2]:
        stage(command, out / "experiment.json")
    assert comparison_files(out / "comparison") == comparison_files(made["together"] / "comparison")
    tables = [list_files(root / "report" / "tables", ("main-*", "primary.*", "exploratory.*"))
              for root in (out, made["together"])]  # fmt: skip
    assert tables[0] == tables[1]
    assert "Merged from 2 results folders" in (out / "report" / "index.html").read_text()
    assert stale_jobs(plan) == ["publish"]
    stage("verify", out / "experiment.json")
    assert {name: tree(made[name]) for name in before} == before
    tensors = "teacher/model/unet/net.safetensors"
    assert (out / tensors).samefile(made["first"] / tensors)
    assert list(out.parent.iterdir()) == [out]


def test_a_job_split_between_machines_is_done_when_merged(
    first: Path, made: dict[str, Path], tmp_path: Path
) -> None:
    """The same experiment file on both: one has the students of a variant, one the others."""
    other = Path(shutil.copytree(made["first"], tmp_path / "b" / "mini"))
    for root, variant in ((first, "full"), (other, "distill_only")):
        shutil.rmtree(root / "students" / variant)
        shutil.rmtree(root / "evaluations" / variant)
        for kind in ("student", "evaluate"):
            (root / "jobs" / kind / f"{variant}.json").unlink()
    shutil.rmtree(other / "evaluations" / "bicubic")
    out = tmp_path / "out"
    assert merge(other, first, out=out) == 0
    assert stale_jobs(Plan.load(out / "experiment.json")) == CLOSING
    stage("compare", out / "experiment.json")
    whole = made["first"] / "experiment.json"
    stage("compare", whole)
    assert comparison_files(out / "comparison") == comparison_files(whole.parent / "comparison")


def test_variants_of_their_own_and_what_is_in_none_is_told(
    first: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    frozen = first / "experiment.json"
    settings = read_json(frozen)
    other = Path(shutil.copytree(first, tmp_path / "b" / "mini"))
    settings["variants"]["sds"] = {"description": "", "delta": {
        "student.losses.score_distillation.reference": "noise"}}  # fmt: skip
    del settings["variants"]["distill_only"]
    write_json(other / "experiment.json", settings, sort_keys=False)
    out = tmp_path / "out"
    assert merge(first, other, out=out) == 0
    said = capsys.readouterr().out
    assert "not trained in any of them: sds/seed-0, sds/seed-1" in said
    plan = Plan.load(out / "experiment.json")
    assert list(plan.experiment.variants) == ["full", "distill_only", "sds"]
    assert stale_jobs(plan) == ["student/sds", "evaluate/sds", *CLOSING]


def test_other_versions_are_noted_and_the_report_says_so(
    first: Path, second: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for path in second.glob("students/*/*/run.json"):
        card = read_json(path)
        edit_card(path, environment={**card["environment"], "torch": "9.9"})
    out = tmp_path / "out"
    assert merge(first, second, out=out) == 0
    assert "note: torch differs: " in capsys.readouterr().out
    stage("compare", out / "experiment.json")
    stage("report", out / "experiment.json")
    assert "The folders differ in torch" in (out / "report" / "index.html").read_text()


def test_scores_of_one_model_that_differ_between_machines_are_noted(
    first: Path, second: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = second / "evaluations" / "bicubic" / "photos-bicubic.parquet"
    frame, meta = read_scores(path)
    frame.loc[0, "value"] += 0.125
    write_scores(path, frame, meta)
    receipt = read_json(second / "jobs" / "evaluate" / "baselines.json")
    receipt["cells"]["bicubic@photos-bicubic"]["content"] = sha256_file(path)
    write_json(second / "jobs" / "evaluate" / "baselines.json", with_checksum(receipt))
    out = tmp_path / "out"
    assert merge(first, second, out=out) == 0
    said = capsys.readouterr().out
    assert f"bicubic was measured twice; kept is that of {first}" in said
    assert "psnr 0.12" in said
    kept = out / "evaluations" / "bicubic" / "photos-bicubic.parquet"
    assert kept.samefile(first / "evaluations" / "bicubic" / "photos-bicubic.parquet")


def refusal(capsys: pytest.CaptureFixture[str], *folders: Path, out: Path, code: int = 1) -> str:
    """What a refused merge says, in one line; nothing is made."""
    capsys.readouterr()
    assert merge(*folders, out=out) == code
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert not out.exists()
    return said


@pytest.mark.parametrize(("run", "words"), [
    ("teacher", "teacher is .* students of two teachers cannot be compared"),
    ("targets/d*", "targets/.* is .* copy targets/"),
    ("students/full/seed-0", "students/full/seed-0 is .* the same cell was trained twice"),
])  # fmt: skip
def test_the_same_thing_with_another_content_is_refused(
    first: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], run: str, words: str
) -> None:
    other = Path(shutil.copytree(first, tmp_path / "b" / "mini"))
    (folder,) = other.glob(run)
    remake(other, folder.relative_to(other).as_posix(), "another outcome")
    said = refusal(capsys, first, other, out=tmp_path / "out")
    assert re.search(words, said)
    assert str(other) in said


def test_students_of_a_teacher_that_is_not_there_are_refused(
    first: Path, second: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Only students were copied, and theirs was another teacher than the one of the others."""
    remake(first, "teacher", "another teacher")
    shutil.rmtree(second / "teacher")
    said = refusal(capsys, first, second, out=tmp_path / "out")
    assert "students/full/seed-2" in said and "was made from teacher" in said
    assert "scores of teacher-1 on photos-bicubic" in said


@pytest.mark.parametrize(("key", "value"), [
    ("teacher.schedule.kappa", 1.5), ("evaluation.threads", 2), ("reference", "distill_only"),
    ("data.val.crop", 64), ("student.training.images", 72), ("name", "other"),
])  # fmt: skip
def test_other_settings_are_named(
    first: Path, second: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    key: str, value: Any,
) -> None:  # fmt: skip
    settings = read_json(second / "experiment.json")
    *path, last = key.split(".")
    place = settings
    for part in path:
        place = place[part]
    place[last] = value
    write_json(second / "experiment.json", settings, sort_keys=False)
    said = refusal(capsys, first, second, out=tmp_path / "out")
    assert f"{key} is" in said and f"{value} in {second}" in said


def test_a_variant_of_the_same_name_with_another_delta_is_named(
    first: Path, second: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = read_json(second / "experiment.json")
    settings["variants"]["full"]["delta"]["student.training.images"] = 72
    write_json(second / "experiment.json", settings, sort_keys=False)
    said = refusal(capsys, first, second, out=tmp_path / "out")
    assert "variants.full: student.training.images is not there" in said


def test_where_data_lies_and_how_the_work_is_cut_may_differ(
    first: Path, second: Path, tmp_path: Path
) -> None:
    settings = read_json(second / "experiment.json")
    settings["execution"]["cells_per_job"] = "cell"
    write_json(second / "experiment.json", settings, sort_keys=False)
    assert merge(first, second, out=tmp_path / "out") == 0


def change_meta(root: Path, name: str, **changes: Any) -> None:
    """Rewrite a score file with other metadata, and forget what receipts said of it."""
    path = root / "evaluations" / name / "photos-bicubic.parquet"
    frame, meta = read_scores(path)
    write_scores(path, frame, {**meta, **changes})
    shutil.rmtree(root / "jobs" / "evaluate", ignore_errors=True)


def test_metrics_that_were_computed_differently_are_refused(
    first: Path, second: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = second / "evaluations" / "full" / "seed-2" / "photos-bicubic.parquet"
    cards = read_scores(path)[1]["cards"]
    students = [f"{variant}/seed-{s}" for variant in ("full", "distill_only") for s in (2, 3)]
    other = {"psnr": {**cards["psnr"], "libraries": {"pyiqa": "0.2"}}}
    for name in ("bicubic", "teacher-1", "teacher-4", *students):
        change_meta(second, name, cards=other)
    said = refusal(capsys, first, second, out=tmp_path / "out")
    assert f"metric card of {first} and {second}: psnr: libraries differs" in said


def test_a_metric_that_one_machine_lacks_is_refused_with_the_way_out(
    first: Path, second: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    change_meta(second, "full/seed-2", missing={"psnr": "weights are not here; get them"})
    said = refusal(capsys, first, second, out=tmp_path / "out")
    assert "psnr is measured in" in said and "weights are not here; get them" in said


def test_damage_a_run_under_way_and_mistakes_are_refused(
    first: Path, second: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert "two or more" in refusal(capsys, first, out=out, code=2)
    assert "two or more" in refusal(capsys, first, first, out=out, code=2)
    assert "no experiment.json" in refusal(capsys, first, tmp_path, out=out, code=2)
    with Lock(second / ".lock", "a run"):
        assert "a run is under way" in refusal(capsys, first, second, out=out)
    image = sorted((second / "evaluations").glob("**/*.png"))[0]
    image.write_bytes(image.read_bytes()[:-60])
    said = refusal(capsys, first, second, out=out)
    assert image.name in said and "tadsr verify" in said
    image.unlink()
    assert image.name in refusal(capsys, first, second, out=out)
    out.mkdir()
    capsys.readouterr()
    assert merge(first, second, out=out) == 2
    assert "is there already" in capsys.readouterr().err
