"""Other methods in the table: folders of finished images, foreign checkpoints, saved pipelines.

All stages on the smallest experiment, each called in this process. The tests run in order on one
results folder; each says what it changes.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

from tadsr.cli import main
from tadsr.config import Experiment
from tadsr.files import sha256_file
from tadsr.publish.mapping import map_experiment
from tadsr.report.content import gather
from tests.foreign import built, compact, saved, swinir

pytestmark = pytest.mark.integration

EXPERIMENT = """
name: tiny
seeds: [0]
primary: [{dataset: photos, metric: psnr}]
data:
  train: {kind: photos, split: train, degradation: bicubic, crop: 32}
  val:   {kind: photos, split: val, degradation: bicubic, crop: 32}
  test:
    photos: {kind: photos, split: test, degradation: bicubic, size: 64, limit: 2}
    others: {kind: photos, split: val, degradation: bicubic, size: 64, limit: 1}
teacher:
  network: {model_channels: 16, channel_mult: [1], num_res_blocks: 1, attention_resolutions: [],
            num_head_channels: 8, swin_depth: 1, swin_embed_dim: 8, window_size: 8, mlp_ratio: 1.0}
  schedule: {num_train_timesteps: 4}
  training: {images: 16, batch_size: 8, threads: 1}
targets: {pairs: 8, val_pairs: 2, threads: 1}
student: {training: {images: 16, batch_size: 8}}
variants: {full: }
evaluation:
  models: [bicubic, teacher-4]
  metrics: [psnr, ssim]
  cost: {sizes: [8], repeats: 3}
"""

OTHERS = [
    "evaluation.pipelines={saved: {path: models/teacher, steps: 4}}",
    "evaluation.checkpoints={compact: weights/compact.safetensors, swinir: weights/swinir.pth}",
    'evaluation.images={folder: finished/bicubic, pattern: "finished/full/{dataset}/{image}_x4"}',
    "evaluation.models=[bicubic, teacher-4, saved, compact, swinir, folder, pattern]",
]


class Place:
    """A folder with the experiment, in which `tadsr` runs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.root = folder / "results" / "tiny"
        (folder / "tiny.yaml").write_text(EXPERIMENT)

    def tadsr(self, command: str, *arguments: str, sets: list[str] | None = None) -> int:
        overrides = [part for override in sets or [] for part in ("--set", override)]
        return main([command, "tiny.yaml", *arguments, *overrides])

    def scores(self) -> pd.DataFrame:
        frame = pd.read_parquet(self.root / "comparison" / "scores.parquet")
        return frame.set_index(["variant", "dataset", "image", "metric"])["value"].sort_index()


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("models")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("TADSR_WEIGHTS", str(folder / "metric-weights"))
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder}/mlflow.db")
        place = Place(folder)
        for command in ("data", "teacher", "targets", "student", "evaluate"):
            assert place.tadsr(command) == 0
        evaluations = place.root / "evaluations"
        shutil.copytree(evaluations / "bicubic", folder / "finished" / "bicubic")
        for image in (evaluations / "full" / "seed-0").glob("*/*.png"):
            copy = folder / "finished" / "full" / image.parent.name / f"{image.stem}_x4.png"
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(image, copy)
        shutil.copytree(place.root / "teacher" / "model", folder / "models" / "teacher")
        (folder / "weights").mkdir()
        saved(built(compact), folder / "weights" / "compact.safetensors")
        saved(built(swinir), folder / "weights" / "swinir.pth")
        yield place


def test_the_same_images_have_the_same_numbers(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    assert place.tadsr("evaluate", "baselines", sets=OTHERS) == 0
    assert place.tadsr("compare", sets=OTHERS) == 0
    scores = place.scores()
    assert len(scores) == 8 * 3 * 2  # upscalers x images x metrics
    for copy, original in (("folder", "bicubic"), ("pattern", "full"), ("saved", "teacher-4")):
        assert scores[copy].equals(scores[original]), copy
    assert not scores["compact"].equals(scores["swinir"])
    assert "evaluate compact on photos: psnr" in capsys.readouterr().out


def test_report_and_records_say_what_each_is(place: Place) -> None:
    assert place.tadsr("report", sets=OTHERS) == 0
    page = (place.root / "report" / "index.html").read_text()
    for word in ("RealESRGAN Compact", "SwinIR", "compact.safetensors", "swinir.pth", "folder",
                 "pattern"):  # fmt: skip
        assert word in page, word
    assert str(place.folder) not in page
    models = json.loads((place.root / "comparison" / "models.json").read_text())
    kinds = {model["name"]: model["kind"] for model in models}
    assert kinds == {"bicubic": "bicubic", "teacher-4": "teacher", "saved": "pipeline",
                     "compact": "checkpoint", "swinir": "checkpoint", "folder": "images",
                     "pattern": "images"}  # fmt: skip
    content = gather(Experiment.load("tiny.yaml", OTHERS), place.root)
    tags = {record.name: record.tags for record in map_experiment(content)[1]}
    assert tags["swinir"]["tadsr.architecture"].startswith("SwinIR (")
    assert sha256_file("weights/swinir.pth").startswith(tags["swinir"]["tadsr.model_content"])
    assert tags["folder"]["mlflow.note.content"] == "finished images of another method"
    costs = json.loads((place.root / "comparison" / "costs.json").read_text())
    parameters = sum(value.numel() for value in built(compact).parameters())
    (record,) = costs["compact"]["records"]
    assert record["parameters"] == {"network": parameters}
    assert record["macs"] > 0
    assert not {"folder", "pattern"} & set(costs), "nobody measured what these cost"


def test_what_is_there_is_not_done_again(place: Place) -> None:
    kept = [*place.root.glob("evaluations/compact/**/*.png"),
            *place.root.glob("evaluations/**/*.parquet")]  # fmt: skip
    before = {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in kept}
    assert place.tadsr("evaluate", "baselines", sets=OTHERS) == 0
    for path in kept:
        assert path.read_bytes() == before[path][1]
        if path.suffix == ".png":
            assert path.stat().st_mtime_ns == before[path][0]


def test_a_changed_image_is_noticed_and_measured(place: Place) -> None:
    from tadsr.plan import Plan

    def digest() -> str:
        return Plan.load("tiny.yaml", OTHERS).jobs["evaluate/baselines"].digest

    before, planned = place.scores(), digest()
    folder = place.folder / "finished" / "bicubic" / "photos"
    first, second = sorted(folder.glob("*.png"))
    original = first.read_bytes()
    shutil.copy(second, first)  # both are 64x64
    assert digest() != planned
    assert place.tadsr("evaluate", "baselines", sets=OTHERS) == 0
    assert place.tadsr("compare", sets=OTHERS) == 0
    after = place.scores()
    assert (
        after["folder", "photos", first.stem, "psnr"]
        < before["folder", "photos", first.stem, "psnr"]
    )
    assert after.drop("folder").equals(before.drop("folder"))
    first.write_bytes(original)


def test_where_they_lie_is_no_part_of_what_they_are(place: Place) -> None:
    from tadsr.commands.evaluate import score_identity
    from tadsr.plan import Plan

    shutil.copytree(place.folder / "finished", place.folder / "moved")
    shutil.copytree(place.folder / "weights", place.folder / "moved" / "weights")
    moved = [text.replace("finished/", "moved/").replace("weights/", "moved/weights/")
             for text in OTHERS]  # fmt: skip
    for name in ("folder", "pattern", "compact"):
        here, there = (score_identity(Plan.load("tiny.yaml", sets), name, "photos")
                       for sets in (OTHERS, moved))  # fmt: skip
        assert here == there


def test_a_method_with_images_of_one_test_set(place: Place) -> None:
    some = "evaluation.images={some: {path: finished/bicubic, datasets: [others]}}"
    sets = [some, "evaluation.models=[bicubic, some]"]
    for command in ("evaluate", "compare", "report"):
        assert place.tadsr(command, sets=sets) == 0
    frame = place.scores().reset_index()
    assert set(frame[frame["variant"] == "some"]["dataset"]) == {"others"}
    assert set(frame[frame["variant"] == "bicubic"]["dataset"]) == {"photos", "others"}


def test_one_bad_model_fails_alone_and_says_why(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    (place.folder / "finished" / "partial" / "photos").mkdir(parents=True)
    (place.folder / "finished" / "partial" / "others").mkdir()
    for image in (place.folder / "finished" / "bicubic" / "others").glob("*.png"):
        shutil.copy(image, place.folder / "finished" / "partial" / "others")
    saved(built(lambda: compact(scale=2)), place.folder / "weights" / "half.pth")
    sets = [
        "evaluation.checkpoints={half: weights/half.pth, gone: weights/gone.pth}",
        "evaluation.images={partial: finished/partial}",
        "evaluation.models=[half, gone, partial, bicubic]",
    ]
    assert place.tadsr("evaluate", "baselines", sets=sets) == 1
    said = capsys.readouterr()
    assert "half.pth: RealESRGAN Compact enlarges 2 times, and data.scale is 4" in said.out
    assert "evaluation.checkpoints.gone: weights/gone.pth: no such file" in said.out
    assert "2 of 2 images are not there" in said.out
    assert "3 of 4 models failed" in said.err
    assert "evaluate bicubic on photos: psnr" in said.out
    assert (place.root / "evaluations" / "partial" / "others.parquet").is_file()


def test_plan_and_run_say_before_all_work_what_is_not_there(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    assert place.tadsr("plan", sets=[*OTHERS, "evaluation.checkpoints.gone=a.pth"]) == 0
    said = capsys.readouterr().out
    assert "models of your own: saved (here), compact (here)" in said
    assert "in no table: gone" in said
    sets = ["evaluation.images={gone: nowhere}", "evaluation.models=[gone]"]
    assert place.tadsr("run", "--offline", sets=sets) == 1
    assert "evaluation.images.gone: nowhere/photos: no such folder" in capsys.readouterr().err
