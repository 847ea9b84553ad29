"""`tadsr run` before and after the DAG: what is stale, what failed, and mistakes."""

from __future__ import annotations

from pathlib import Path

import pytest

from tadsr.cli import main
from tadsr.commands import run
from tadsr.commands.ending import fail, failed_jobs
from tadsr.errors import ConfigError, TadsrError
from tadsr.files import sha256_file, with_checksum, write_json, write_text
from tadsr.plan import Plan
from tadsr.plan.receipts import write_receipt
from tadsr.plan.times import stamps
from tests.plan.made_up import MINI, finish_all, finish_run, mini, write_scores_of

CLOSING = ["compare", "report", "publish"]


@pytest.fixture
def plan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Plan:
    """The small experiment, finished; no metric weights are needed or found."""
    monkeypatch.setattr(run, "weights_state", lambda plan: {})
    plan = mini(tmp_path)
    finish_all(plan)
    return plan


def snapshot(root: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in root.rglob("*")}


def test_nothing_is_stale_when_all_is_there(plan: Plan) -> None:
    assert run.stale_jobs(plan) == []


def test_a_lost_student_is_stale_with_all_that_follows_from_it(plan: Plan) -> None:
    (plan.student("full/seed-1") / "run.json").unlink()
    assert run.stale_jobs(plan) == ["student/full", "evaluate/full", *CLOSING]


def test_a_retrained_student_of_other_content_is_measured_again(plan: Plan) -> None:
    finish_run(plan, "students/full/seed-0", content="other")
    assert "evaluate/full" in run.stale_jobs(plan)


def test_a_report_is_made_again_where_a_file_changed_or_an_image_is_gone(plan: Plan) -> None:
    page = plan.output("report")
    files = {"index.html": page, "images/a.png": page.parent / "images" / "a.png"}
    write_text(files["images/a.png"], "an image")
    write_receipt(plan, "report", {
        name: {"status": "done", "content": sha256_file(path)} for name, path in files.items()
    })  # fmt: skip
    assert run.stale_jobs(plan) == ["publish"]
    write_receipt(plan, "publish", {})
    assert run.stale_jobs(plan) == []
    files["images/a.png"].unlink()
    assert run.stale_jobs(plan) == ["report", "publish"]
    write_text(files["images/a.png"], "an image")
    write_text(page, "another page")
    assert run.stale_jobs(plan) == ["report", "publish"]


def by_hand(plan: Plan, job: str, cells: list[str]) -> None:
    """Have a stage's command write the receipt of what is there."""
    stage = plan.jobs[job].stage
    write_receipt(plan, job, {
        cell: {"status": "done", "content": str(run.cell_content(plan, stage, cell))}
        for cell in cells
    })  # fmt: skip


def test_what_was_made_again_by_hand_reaches_all_that_follows(plan: Plan) -> None:
    students = ["full/seed-0", "full/seed-1"]
    scores = [f"{name}@{test}" for name in students for test in plan.experiment.data.test]
    by_hand(plan, "evaluate/full", scores)
    assert run.stale_jobs(plan) == []
    write_scores_of(plan, "full/seed-0", 25.0)
    by_hand(plan, "evaluate/full", scores)
    assert run.stale_jobs(plan) == CLOSING
    finish_all(plan)
    finish_run(plan, "students/full/seed-0", content="other")
    by_hand(plan, "student/full", students)
    assert run.stale_jobs(plan) == ["evaluate/full", *CLOSING]


def test_a_comparison_of_holes_is_made_again(plan: Plan) -> None:
    scores = list(run.read_receipt(plan, "evaluate/full")["cells"])
    plan.receipt("evaluate/full").unlink()
    by_hand(plan, "compare", [])
    by_hand(plan, "evaluate/full", scores)
    assert run.stale_jobs(plan) == CLOSING


def test_receipts_of_versions_that_noted_no_inputs_are_good(plan: Plan) -> None:
    for job in plan.jobs:
        receipt = run.read_receipt(plan, job)
        del receipt["inputs"]
        write_json(plan.receipt(job), with_checksum(receipt))
    assert run.stale_jobs(plan) == []


@pytest.mark.parametrize("made", [False, True])
def test_images_that_are_not_there_stop_a_run_before_it_touches_results(
    plan: Plan, tmp_path: Path, capsys: pytest.CaptureFixture[str], made: bool
) -> None:
    folder = tmp_path / "photos"
    if made:
        folder.mkdir()  # such as where a disk was to be mounted
    before = snapshot(plan.root.parent)
    photos = f"data.test.mine={{kind: lr_only, path: {folder}}}"
    assert main(["run", str(MINI), "--results", str(plan.root.parent), "--set", photos]) == 1
    said = capsys.readouterr().err
    why = "is empty; put the images there" if made else "no such folder; check 'path'"
    assert said.count("\n") == 1 and f"data.test.mine: {folder}" in said and why in said
    assert snapshot(plan.root.parent) == before
    known = Plan.load(MINI, ["evaluation.metrics=[psnr]", photos], plan.root.parent)
    finish_all(known)  # as in a folder that was merged elsewhere
    run.require_data(known)


def test_a_dry_run_lists_the_jobs_and_changes_nothing(
    plan: Plan, capsys: pytest.CaptureFixture[str]
) -> None:
    before = snapshot(plan.root.parent)
    results = ["--results", str(plan.root.parent), "--set", "evaluation.metrics=[psnr]"]
    assert main(["run", str(MINI), *results, "--set", "evaluation.visual_images=1", "-n"]) == 0
    said = capsys.readouterr().out
    assert said.splitlines()[:2] == ["would run: report", "would run: publish"]
    assert snapshot(plan.root.parent) == before


def test_a_job_that_was_killed_is_named_with_its_log(plan: Plan) -> None:
    write_text(plan.log("student/distill_only"), "of an earlier run")
    plan.receipt("student/distill_only").unlink()
    before = stamps(plan)
    write_text(plan.log("student/full"), "")
    plan.receipt("student/full").unlink()
    write_text(plan.log("evaluate/baselines").with_suffix(".failed"), "no such thing")
    lines = failed_jobs(plan, before)
    assert [line.split(":")[0] for line in lines] == ["student/full", "evaluate/baselines"]
    assert "killed" in lines[0] and "logs/student/full.log" in lines[0]
    run.clear_notes(plan)
    assert len(failed_jobs(plan, before)) == 1


def test_a_job_that_a_clock_made_fail_is_told_from_one_that_was_killed(plan: Plan) -> None:
    before = stamps(plan)
    for job in ("student/full", "student/distill_only"):
        write_text(plan.log(job), "")
        plan.receipt(job).unlink()
    said = f"Output {plan.receipt('student/full')} has older modification time (2026) than input x"
    write_text(plan.root / "logs" / "snakemake.log", f"WorkflowError:\n{said}.\n")
    clock, killed = sorted(failed_jobs(plan, before), key=lambda line: "killed" in line)
    assert clock.startswith("student/full: the clock was set back")
    assert killed.startswith("student/distill_only: it ended without a word")


def test_a_rule_that_is_misspelt_is_named_with_the_nearest(plan: Plan) -> None:
    said = (
        "MissingRuleException:\nNo rule to produce teachr (if you use input functions make sure)."
    )
    write_text(plan.root / "logs" / "snakemake.log", said)
    with pytest.raises(ConfigError, match="no rule 'teachr': did you mean 'teacher'"):
        fail(plan, 1, {})


@pytest.mark.parametrize(("code", "error"), [(1, TadsrError), (2, ConfigError)])
def test_what_snakemake_says_is_passed_on(
    plan: Plan, capsys: pytest.CaptureFixture[str], code: int, error: type[TadsrError]
) -> None:
    log = plan.root / "logs" / "snakemake.log"
    write_text(log, "usage: ...\nsnakemake: error: unrecognized arguments: --ofline\n")
    with pytest.raises(error) as caught:
        fail(plan, code, {})
    assert caught.value.exit_code == code
    assert "unrecognized arguments: --ofline" in str(caught.value) + capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["--cores", "0"], "'0' is not a whole number"),
        (["--cores", "two"], "'two' is not a whole number"),
        (["--profile", "nope"], "--profile nope"),
        (["--profile", ""], "--profile"),
        (["--set"], "--set"),
        (["--results", "a-file"], "--results: a-file is no folder"),
    ],
)
def test_a_mistake_on_the_command_line_is_one_line_and_starts_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    arguments: list[str], part: str,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    Path("a-file").write_text("")
    assert main(["run", str(MINI), *arguments]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and part in said
    assert [path.name for path in tmp_path.iterdir()] == ["a-file"]


def test_an_unknown_command_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["rnu"]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_a_json_file_of_another_name_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="experiment files are YAML"):
        Plan.load(tmp_path / "mine.json")


def test_cores_reach_every_profile_that_is_told_a_number(plan: Plan, tmp_path: Path) -> None:
    import argparse

    def command(cores: int | None, executor: str) -> list[str]:
        args = argparse.Namespace(cores=cores, snakemake=[])
        return run.snakemake_command(plan, args, tmp_path, executor)

    assert "--cores" in command(None, "local")
    assert "--cores" not in command(None, "slurm")
    told = command(3, "slurm")
    assert told[told.index("--cores") + 1] == "3"


@pytest.mark.parametrize("command", ["report", "publish"])
def test_what_other_settings_compared_is_neither_reported_nor_published_as_of_now(
    plan: Plan, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    settings = ["--set", "evaluation.metrics=[psnr]", "--set", "reference=distill_only"]
    page = plan.output("report").read_text()
    assert main([command, str(MINI), "--results", str(plan.root.parent), *settings]) == 1
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "is not finished with the settings of now; run" in said
    assert plan.output("report").read_text() == page
