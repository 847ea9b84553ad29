"""`tadsr merge` and `tadsr verify` on searches: carried whole, refused where they differ."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from tadsr.cli import main
from tadsr.commands.run import stale_jobs
from tadsr.files import read_json, sha256_file, write_json
from tadsr.plan import Plan
from tests.commands.whole import make_whole, tree
from tests.commands.whole_search import SETTING, TRIED, WEIGHT, write_pick

CLOSING = ["compare", "report", "publish"]
WINNER = "students/best-of-weight/seed-0"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Two machines with a search and seeds of their own, and one without."""
    folder = tmp_path_factory.mktemp("machines")
    settings = {"first": ("seeds=[0]", SETTING), "second": ("seeds=[1]", SETTING),
                "without": ("seeds=[0]",)}  # fmt: skip
    return {name: make_whole(folder / name, *given, closing=False).root
            for name, given in settings.items()}  # fmt: skip


@pytest.fixture
def first(made: dict[str, Path], tmp_path: Path) -> Path:
    return Path(shutil.copytree(made["first"], tmp_path / "a" / "mini"))


@pytest.fixture
def second(made: dict[str, Path], tmp_path: Path) -> Path:
    return Path(shutil.copytree(made["second"], tmp_path / "b" / "mini"))


def merge(*folders: Path, out: Path) -> int:
    return main(["merge", *map(str, folders), "--out", str(out)])


def test_a_finished_search_and_its_winners_are_merged_and_nothing_is_left_to_train(
    made: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "mini"
    before = {name: tree(made[name]) for name in ("first", "second")}
    assert merge(made["first"], made["second"], out=out) == 0
    assert "note:" not in capsys.readouterr().out
    plan = Plan.load(out / "experiment.json")
    assert stale_jobs(plan) == CLOSING
    assert (out / WINNER / "run.json").is_file()
    assert (out / "students/best-of-weight/seed-1/run.json").is_file()
    assert main(["verify", str(out / "experiment.json"), "--fast"]) == 1  # not compared yet
    said = capsys.readouterr().out
    assert "✓ sweep      1 search, 2 trials" in said
    assert "sweeps/weight" in read_json(out / "merged.json")["sources"][0]["runs"]
    assert {name: tree(made[name]) for name in before} == before


def test_what_a_search_writes_in_place_is_not_shared_with_the_merged_folder(
    first: Path, second: Path, tmp_path: Path
) -> None:
    (first / "sweeps/weight/search.lock").write_text("process 1 on host")
    (first / "sweeps/weight/trials/.x.lock").touch()
    (first / "sweeps/weight/workers").mkdir()
    (first / "sweeps/weight/workers/x.lock").touch()
    out = tmp_path / "mini"
    assert merge(first, second, out=out) == 0
    found = out / "sweeps" / "weight"
    assert not list(found.rglob("*.lock")) and not (found / "workers").exists()
    assert not (found / "journal.log").samefile(first / "sweeps/weight/journal.log")
    assert sha256_file(found / "journal.log") == sha256_file(first / "sweeps/weight/journal.log")
    assert (found / "best.yaml").samefile(first / "sweeps/weight/best.yaml")


def test_a_machine_without_the_search_joins_one_that_has_it(
    made: dict[str, Path], first: Path, tmp_path: Path
) -> None:
    for folders in ((first, made["without"]), (made["without"], first)):
        out = tmp_path / folders[0].parent.parent.name
        assert merge(*folders, out=out) == 0
        plan = Plan.load(out / "experiment.json")
        assert list(plan.experiment.sweeps) == ["weight"]
        assert set(plan.experiment.variants) == {"full", "distill_only", "best-of-weight"}
        assert stale_jobs(plan) == CLOSING


def refusal(capsys: pytest.CaptureFixture[str], *folders: Path, out: Path) -> str:
    capsys.readouterr()
    assert merge(*folders, out=out) == 1
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert not out.exists()
    return said


def test_one_search_that_ended_in_two_ways_is_refused(
    first: Path, second: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_pick(Plan.load(second / "experiment.json"), "weight", {WEIGHT: TRIED[0]})
    said = refusal(capsys, first, second, out=tmp_path / "out")
    assert "sweeps/weight is " in said and "--set sweeps=[]" in said


def test_a_winner_of_another_pick_is_refused(
    first: Path, second: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A student that was trained with what the search had found before."""
    write_pick(Plan.load(first / "experiment.json"), "weight", {WEIGHT: TRIED[0]})
    shutil.rmtree(first / "students" / "best-of-weight")
    shutil.rmtree(first / "evaluations" / "best-of-weight")
    shutil.rmtree(second / "sweeps")
    said = refusal(capsys, first, second, out=tmp_path / "out")
    assert "students/best-of-weight/seed-1" in said
    assert "was made from sweeps/weight best" in said


def test_another_space_is_another_experiment(
    first: Path, second: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = read_json(second / "experiment.json")
    settings["sweeps"]["weight"]["space"][WEIGHT]["high"] = 2.0
    write_json(second / "experiment.json", settings, sort_keys=False)
    said = refusal(capsys, first, second, out=tmp_path / "out")
    assert f"sweeps.weight: space.{WEIGHT}.high is 1.0 in {first}, 2.0 in {second}" in said


def test_a_search_that_is_finished_nowhere_is_left_out_with_its_winners_in_one_line(
    first: Path, second: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for root in (first, second):
        (root / "jobs" / "sweep" / "weight.json").unlink()
    out = tmp_path / "out"
    assert merge(first, second, out=out) == 0
    said = capsys.readouterr().out
    assert said.count("search weight is finished in none of them") == 1
    assert not (out / "sweeps").exists()
    assert not (out / "students" / "best-of-weight").exists()
    stale = stale_jobs(Plan.load(out / "experiment.json"))
    assert "sweep/weight" in stale and "student/best-of-weight" in stale
    assert "student/full" not in stale


@pytest.mark.parametrize(("place", "words"), [
    ("best.yaml", "sweeps/weight: .* expected"),
    ("trials/*/looks.json", "sweeps/weight/trials/.*: .* expected"),
    ("trials/*/run.json", "its digests are not those of its recipe|not what its checksum says"),
])  # fmt: skip
def test_a_damaged_search_is_found_and_not_merged(
    first: Path, second: Path, tmp_path: Path, place: str, words: str,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    path = sorted((first / "sweeps" / "weight").glob(place))[0]
    path.write_text(path.read_text().replace("5", "6", 1))
    assert main(["verify", str(first / "experiment.json"), "--fast"]) == 1
    found = [line for line in capsys.readouterr().out.splitlines() if line.startswith("wrong")]
    assert len(found) == 1
    assert re.search(words, found[0])
    assert "sweeps/weight" in refusal(capsys, first, second, out=tmp_path / "out")


def test_scores_of_a_trial_that_its_run_does_not_have_are_found(
    first: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plan = Plan.load(first / "experiment.json")
    path = first / "sweeps" / "weight" / "trials.json"
    trials = read_json(path)
    trials[0]["scores"]["psnr"]["camera"] = 99.0
    write_json(path, trials)
    write_pick(plan, "weight", {WEIGHT: TRIED[1]})  # with digests that agree
    assert main(["verify", str(first / "experiment.json"), "--fast"]) == 1
    assert "not the scores of trial 0 in trials.json" in capsys.readouterr().out


def test_a_winner_that_was_trained_with_another_pick_is_outdated(
    first: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_pick(Plan.load(first / "experiment.json"), "weight", {WEIGHT: TRIED[0]})
    assert main(["verify", str(first / "experiment.json"), "--fast"]) == 1
    assert f"outdated  {WINNER}: made from pick" in capsys.readouterr().out
