"""`tadsr verify`: one changed byte anywhere is named, and nothing else is."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tadsr.cli import main
from tadsr.data.images import read_rgb, write_png
from tadsr.files import read_json, sha256_file, with_checksum, write_json
from tadsr.plan import Plan
from tadsr.plan.artefacts import model_content
from tests.commands.whole import MINI, SETTINGS, make_whole, tree

STUDENT = "students/full/seed-0"
SCORES = "evaluations/full/seed-0/photos-bicubic.parquet"


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_whole(tmp_path_factory.mktemp("whole")).root


@pytest.fixture
def root(template: Path, tmp_path: Path) -> Path:
    """A copy, on which each test does its damage."""
    return Path(shutil.copytree(template, tmp_path / "results" / "mini"))


@pytest.fixture
def verify(root: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., list[tuple[str, str]]]:
    """Word and path of all findings but remarks on what a version left out."""

    def run(*flags: str, experiment: Path = root / "experiment.json") -> list[tuple[str, str]]:
        overrides = [f"--set={setting}" for setting in SETTINGS] if experiment == MINI else []
        results = ["--results", str(root.parent)]
        capsys.readouterr()
        code = main(["verify", str(experiment), "--json", *results, *overrides, *flags])
        said = json.loads(capsys.readouterr().out)
        failed = [f for f in said["findings"] if f["word"] in ("wrong", "missing", "outdated")]
        assert code == int(bool(failed)) == int(not said["ok"])
        return [(f["word"], f["path"]) for f in said["findings"]]

    return run


def flip(path: Path, at: float = 0.5) -> None:
    """Change one bit of one byte, in the middle or elsewhere."""
    data = bytearray(path.read_bytes())
    data[int(at * (len(data) - 1))] ^= 1
    path.write_bytes(data)


def test_intact_results_have_no_finding_and_are_not_touched(
    root: Path, verify: Callable[..., list[tuple[str, str]]], capsys: pytest.CaptureFixture[str]
) -> None:
    before = tree(root)
    assert verify() == []
    assert verify("--fast") == []
    assert verify(experiment=MINI) == []
    assert tree(root) == before
    assert main(["verify", str(root / "experiment.json")]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[-1] == "all digests match"
    assert {line.split()[1] for line in said[1:-1]} >= {"data", "student", "evaluate", "report"}


@pytest.mark.parametrize("file", [
    "data/val/manifest.parquet", "data/train/run.json", "teacher/run.json",
    "teacher/metrics.jsonl", "teacher/model/unet/net.safetensors", f"{STUDENT}/run.json",
    f"{STUDENT}/model/unet/net.safetensors", f"{STUDENT}/metrics.jsonl", SCORES,
    "evaluations/bicubic/photos-real/identity.json", "jobs/student/full.json",
    "jobs/evaluate/full.json", "jobs/compare.json", "jobs/report.json",
    "comparison/scores.parquet", "comparison/means.parquet", "comparison/alarms.json",
    "comparison/cards.json", "comparison/cells.json", "comparison/models.json",
    "report/index.html", "report/tables/main-photos-bicubic.csv",
])  # fmt: skip
def test_a_flipped_bit_is_named_and_nothing_else(
    root: Path, verify: Callable[..., list[tuple[str, str]]], file: str
) -> None:
    flip(root / file)
    undigested = file in ("comparison/cells.json", "comparison/models.json")
    found = verify(*([] if undigested else ["--fast"]))
    assert [finding for finding in found if finding[0] != "unchecked"] == [("wrong", file)]


@pytest.mark.parametrize("at", [0.02, 0.3, 0.7, 0.98])
@pytest.mark.parametrize("pattern", ["targets/*/val.safetensors", "report/figures/*.svg",
                                     "report/figures/*.png"])  # fmt: skip
def test_wherever_the_bit_is(
    root: Path, verify: Callable[..., list[tuple[str, str]]], pattern: str, at: float
) -> None:
    path = sorted(root.glob(pattern))[0]
    flip(path, at)
    failures = [finding for finding in verify("--fast") if finding[0] != "unchecked"]
    assert failures == [("wrong", path.relative_to(root).as_posix())]


@pytest.mark.parametrize("folder", ["data/photos-bicubic/hr", "data/photos-real/lr",
                                    "evaluations/full/seed-0/photos-bicubic",
                                    "evaluations/teacher-4/photos-real"])  # fmt: skip
def test_a_pixel_of_an_image_and_a_torn_and_a_lost_image_are_named(
    root: Path, verify: Callable[..., list[tuple[str, str]]], folder: str
) -> None:
    image = sorted((root / folder).glob("*.png"))[0]
    name = image.relative_to(root).as_posix()
    pixels = read_rgb(image)
    write_png(image, pixels)  # the same pixels, whoever compressed them
    assert verify("--fast") == []
    pixels[3, 4, 1] ^= 1
    write_png(image, pixels)
    assert verify("--fast") == [("wrong", name)]
    image.write_bytes(image.read_bytes()[:-30])
    assert verify("--fast") == [("wrong", name)]
    image.unlink()
    assert verify("--fast") == [("missing", name)]


def test_a_changed_setting_of_the_frozen_experiment_is_told_from_an_edited_file(
    root: Path, verify: Callable[..., list[tuple[str, str]]], tmp_path: Path
) -> None:
    edited = tmp_path / "edited.yaml"
    edited.write_text(MINI.read_text().replace("seeds: [0, 1]", "seeds: [0, 1, 2]")
                      .replace("[psnr, ssim, lpips]", "[psnr]"))  # fmt: skip
    assert verify("--fast", experiment=edited) == [("outdated", "experiment.json")]
    path = root / "experiment.json"
    frozen = read_json(path)
    frozen["evaluation"]["visual_images"] = 3
    write_json(path, frozen, sort_keys=False)
    assert verify("--fast", experiment=MINI) == [("wrong", "experiment.json")]
    path.write_text("{")
    assert verify("--fast", experiment=MINI) == [("wrong", "experiment.json")]
    path.unlink()
    assert verify("--fast", experiment=MINI) == [("missing", "experiment.json")]


def test_missing_things_are_missing(
    root: Path, verify: Callable[..., list[tuple[str, str]]]
) -> None:
    (root / SCORES).unlink()
    assert ("missing", SCORES) in verify("--fast")
    shutil.rmtree(root / STUDENT)
    found = verify("--fast")
    assert ("missing", STUDENT) in found
    assert {word for word, _ in found} == {"missing"}
    (root / "jobs" / "data.json").unlink()
    assert ("missing", "jobs/data.json") in verify("--fast")


def test_what_another_teacher_made_is_outdated(
    root: Path, verify: Callable[..., list[tuple[str, str]]]
) -> None:
    """A whole run in its place, whose content is another: cards, not files, tell of it."""
    path = root / "teacher" / "run.json"
    card = read_json(path)
    tensors = root / "teacher" / "model" / "unet" / "net.safetensors"
    tensors.write_text("another teacher")
    card["content"] = model_content(root / "teacher")
    card["files"]["model/unet/net.safetensors"] = sha256_file(tensors)
    write_json(path, with_checksum(card))
    found = verify("--fast")
    assert {word for word, _ in found} == {"outdated"}
    assert {STUDENT, "evaluations/teacher-4/photos-bicubic.parquet", "jobs/teacher.json"} <= {
        path for _, path in found
    }


def test_scores_that_were_changed_with_their_receipt_do_not_fit_the_comparison(
    root: Path, verify: Callable[..., list[tuple[str, str]]]
) -> None:
    """The comparison is computed again, so consistent digests alone do not pass."""
    means = root / "comparison" / "means.parquet"
    frame = pd.read_parquet(means)
    frame.loc[0, "mean"] += 0.25
    frame.to_parquet(means, index=False)
    path = root / "jobs" / "compare.json"
    receipt = read_json(path)
    receipt["cells"]["means.parquet"]["content"] = sha256_file(means)
    write_json(path, with_checksum(receipt))
    assert verify("--fast") == []
    assert ("wrong", "comparison/means.parquet") in verify()


def test_another_way_to_write_the_same_numbers_is_no_damage(
    root: Path, verify: Callable[..., list[tuple[str, str]]]
) -> None:
    means = root / "comparison" / "means.parquet"
    pd.read_parquet(means).to_parquet(means, index=False, compression="gzip")
    path = root / "jobs" / "compare.json"
    receipt = read_json(path)
    receipt["cells"]["means.parquet"]["content"] = sha256_file(means)
    write_json(path, with_checksum(receipt))
    assert verify() == []


def test_a_report_of_another_matplotlib_is_not_called_damaged(
    root: Path, verify: Callable[..., list[tuple[str, str]]]
) -> None:
    path = root / "jobs" / "report.json"
    receipt = read_json(path)
    receipt["versions"]["matplotlib"] = "2.0.0"
    write_json(path, with_checksum(receipt))
    assert verify() == [("unchecked", "report")]


def test_a_report_of_other_settings_is_outdated_and_not_called_damaged(
    root: Path, verify: Callable[..., list[tuple[str, str]]]
) -> None:
    assert main(["report", str(root / "experiment.json"),
                 "--set=evaluation.visual_images=1"]) == 0  # fmt: skip
    assert verify() == [("outdated", "jobs/report.json")]


def test_a_paper_pack_is_held_against_its_crate_and_is_no_part_of_the_report(
    root: Path, verify: Callable[..., list[tuple[str, str]]]
) -> None:
    experiment = str(root / "experiment.json")
    assert main(["report", "paper", experiment]) == 0
    assert verify("--fast") == []
    assert main(["report", experiment]) == 0
    assert not [name for name in read_json(root / "jobs" / "report.json")["cells"]
                if name.startswith("paper")]  # fmt: skip
    pack = root / "report" / "paper"
    assert verify("--fast") == []
    flip(pack / "paper-pack.tex")
    assert verify("--fast") == [("wrong", "report/paper/paper-pack.tex")]
    (pack / "paper-pack.tex").unlink()
    assert verify("--fast") == [("missing", "report/paper/paper-pack.tex")]


def test_files_that_no_digest_tells_of_are_mentioned(
    root: Path, verify: Callable[..., list[tuple[str, str]]]
) -> None:
    strange = ["report/figures/mine.svg", "data/val/hr/mine.png", f"{STUDENT}/notes.txt",
               "evaluations/bicubic/photos-real/mine.png"]  # fmt: skip
    for name in strange:
        (root / name).write_text("mine")
    assert sorted(verify("--fast")) == sorted(("unknown", name) for name in strange)


def test_results_may_be_read_only_and_elsewhere(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "archive" / "mini"
    shutil.move(root, other)
    folders = [other, *(path for path in other.rglob("*") if path.is_dir())]
    for folder in folders:
        folder.chmod(0o555)
    before = tree(other)
    monkeypatch.chdir(tmp_path)
    assert main(["verify", "archive/mini/experiment.json"]) == 0
    assert "all digests match" in capsys.readouterr().out
    assert tree(other) == before
    for folder in folders:
        folder.chmod(0o755)
    assert list(other.parent.iterdir()) == [other]


def test_a_remedy_is_told(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flip(root / STUDENT / "model" / "unet" / "net.safetensors")
    capsys.readouterr()
    assert main(["verify", str(root / "experiment.json"), "--fast"]) == 1
    (line,) = [x for x in capsys.readouterr().out.splitlines() if x.startswith("wrong")]
    assert f"delete {root / STUDENT} and run `tadsr run`" in line
    assert "expected " in line


def test_results_of_a_version_without_checksums_are_whole_as_far_as_can_be_told(
    root: Path, verify: Callable[..., list[tuple[str, str]]]
) -> None:
    for path in (*root.glob("*/run.json"), *root.glob("*/*/run.json"), *root.glob("*/*/*/run.json"),
                 *root.glob("jobs/**/*.json")):  # fmt: skip
        card = read_json(path)
        write_json(
            path, {k: v for k, v in card.items() if k not in ("checksum", "files", "inputs")}
        )
    assert {word for word, _ in verify("--fast")} == {"unchecked"}
    flip(root / STUDENT / "model" / "unet" / "net.safetensors")
    assert ("wrong", STUDENT) in verify("--fast")


def test_a_receipt_whose_checksum_lost_its_name_is_wrong(
    root: Path, verify: Callable[..., list[tuple[str, str]]]
) -> None:
    path = root / "jobs" / "student" / "full.json"
    path.write_bytes(path.read_bytes().replace(b'"checksum"', b'"chgcksum"'))
    assert verify("--fast") == [("wrong", "jobs/student/full.json")]


def test_what_lies_on_another_machine_is_unchecked_and_not_called_missing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Training images in a folder of the user's, and a model of theirs."""
    photos, theirs = tmp_path / "photos", tmp_path / "theirs"
    for number in range(2):
        pixels = np.full((48, 48, 3), 90 + number, np.uint8)
        write_png(photos / f"{number}.png", pixels)
    plan = make_whole(
        tmp_path, "evaluation.models=[bicubic, theirs]",
        f'evaluation.images={{theirs: {{path: "{theirs}/{{dataset}}"}}}}',
        f'data.train={{kind: folder, path: "{photos}", degradation: bicubic, crop: 32}}',
        before_evaluation=lambda plan: _copy_hr(plan, theirs), closing=False,
    )  # fmt: skip

    def findings() -> set[tuple[str, str]]:
        capsys.readouterr()
        main(["verify", str(plan.root / "experiment.json"), "--json", "--fast"])
        found = json.loads(capsys.readouterr().out)["findings"]
        return {(f["word"], f["path"]) for f in found if not f["path"].startswith(CLOSING)}

    assert findings() == set()
    first = sorted(photos.iterdir())[0]
    pixels = read_rgb(first)
    first.unlink()
    assert findings() == {("missing", str(first)), ("unchecked", "jobs/data.json")}
    write_png(first, pixels ^ 1)
    assert ("wrong", str(first)) in findings()
    shutil.move(photos, tmp_path / "gone")
    shutil.move(theirs, tmp_path / "gone too")
    assert findings() == {
        ("unchecked", "data/train"), ("unchecked", "jobs/data.json"),
        ("unchecked", "evaluations/theirs"), ("unchecked", "jobs/evaluate/baselines.json"),
    }  # fmt: skip


CLOSING = ("jobs/compare", "jobs/report", "jobs/publish")


def _copy_hr(plan: Plan, folder: Path) -> None:
    """Finished images of another method: those of the test set itself."""
    for dataset in plan.experiment.data.test:
        for path in (plan.dataset(dataset) / "lr").glob("*.png"):
            pixels = read_rgb(path).repeat(4, axis=0).repeat(4, axis=1)
            write_png(folder / dataset / path.name, pixels)
