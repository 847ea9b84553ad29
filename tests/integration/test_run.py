"""The whole DAG on a small experiment: results, idempotence, change propagation, kill and resume.

The tests of a class run in order on one results folder; each says what it changes.
"""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest

from tests.workplace import Workplace, changed

pytestmark = pytest.mark.integration


@pytest.fixture(scope="class")
def place(tmp_path_factory: pytest.TempPathFactory) -> Workplace:
    return Workplace(tmp_path_factory.mktemp("run"))


class TestOneExperiment:
    """From nothing to a report, then change after change."""

    def test_first_run_makes_everything(self, place: Workplace) -> None:
        output = place.run()
        assert "PSNR-Y" in output
        assert "report: " in output
        assert "MLflow: " in output
        assert "of it process start-up" in output
        frame = pd.read_parquet(place.root / "comparison" / "scores.parquet")
        scored = set(frame["variant"])
        assert scored == {"bicubic", "teacher-4", "teacher-1", "full", "distill_only"}
        psnr = frame[(frame["metric"] == "psnr") & (frame["variant"] == "full")]
        assert len(psnr) == 2 * 4  # seeds x test photographs
        assert psnr["value"].between(10, 60).all()
        assert set(frame["metric"]) == {"psnr", "ssim"}  # no weights, no LPIPS column

    def test_the_report_is_one_file_that_names_the_missing_metric(self, place: Workplace) -> None:
        page = (place.root / "report" / "index.html").read_text()
        assert "tadsr weights fetch" in page
        assert not re.search(r'(src|href)="https?://', page)
        for variant in ("full", "distill_only"):
            assert variant in page
        assert list((place.root / "report" / "tables").glob("*.tex"))

    def test_mlflow_has_a_parent_and_a_run_per_student(self, place: Workplace) -> None:
        from mlflow import MlflowClient

        client = MlflowClient(place.environment["MLFLOW_TRACKING_URI"])
        experiment = client.get_experiment_by_name("mini")
        assert experiment is not None
        runs = client.search_runs([experiment.experiment_id])
        names = {run.info.run_name for run in runs}
        assert {"full/seed-0", "full/seed-1", "distill_only/seed-0"} <= names
        student = next(run for run in runs if run.info.run_name == "full/seed-0")
        frame = pd.read_parquet(
            place.root / "evaluations" / "full" / "seed-0" / "photos-bicubic.parquet"
        )
        psnr = frame.loc[frame["metric"] == "psnr", "value"].mean()
        assert student.data.metrics["photos-bicubic/psnr"] == pytest.approx(psnr)

    def test_a_second_run_does_nothing_and_says_so(self, place: Workplace) -> None:
        before = place.state()
        stamps = {p: p.stat().st_mtime_ns for p in place.root.glob("jobs/**/*.json")}
        assert "nothing to do" in place.run()
        assert changed(before, place.state()) == set()
        assert stamps == {p: p.stat().st_mtime_ns for p in place.root.glob("jobs/**/*.json")}

    def test_without_mlflow_nothing_is_lost_and_a_follower_catches_up(
        self, place: Workplace
    ) -> None:
        before, reachable = place.state(), place.environment
        receipt = place.root / "jobs" / "publish.json"
        published = receipt.read_bytes()
        receipt.unlink()
        place.environment = {**reachable, "MLFLOW_TRACKING_URI": "http://127.0.0.1:9"}
        output = place.run(code=1)
        place.environment = reachable
        assert "publish: MLflow at http://127.0.0.1:9: " in output and "Traceback" not in output
        assert "1 of " in output and "index.html" in output
        assert changed(before, place.state()) == set() and not receipt.exists()
        follow = place.command("publish", "--follow", str(place.experiment))
        done = subprocess.run(follow, cwd=place.folder, env=reachable, timeout=300, check=False)
        assert done.returncode == 0 and receipt.read_bytes() == published
        assert "nothing to do" in place.run()

    def test_a_comment_and_a_description_retrain_nothing(self, place: Workplace) -> None:
        before = place.state()
        place.edit("description: regression alone", "description: only regression  # a remark")
        place.run()
        assert changed(before, place.state()) == set()
        assert "only regression" in (place.root / "report" / "index.html").read_text()

    def test_a_weight_retrains_that_variant_alone(self, place: Workplace) -> None:
        before = place.state()
        scores = place.root / "evaluations" / "full" / "seed-0" / "photos-bicubic.parquet"
        untouched = scores.stat().st_mtime_ns
        place.edit("    student.losses.score_distillation.weight: 0\n",
                   "    student.losses.score_distillation.weight: 0.5\n")  # fmt: skip
        place.run()
        moved = changed(before, place.state())
        assert moved == {"students/distill_only/seed-0", "students/distill_only/seed-1"}
        assert scores.stat().st_mtime_ns == untouched
        assert len(list((place.root / "superseded").iterdir())) == 2

    def test_added_seed_variant_test_set_and_metric_run_only_what_is_new(
        self, place: Workplace
    ) -> None:
        before = place.state()
        place.edit("seeds: [0, 1]", "seeds: [0, 1, 2]")
        place.edit("variants:\n", "variants:\n  no_discriminator:\n"
                   "    student.losses.adversarial.weight: 0\n")  # fmt: skip
        place.edit("    photos-real: ", "    photos-more:\n"
                   "      {kind: photos, split: val, degradation: realesrgan, size: 64}\n"
                   "    photos-real: ")  # fmt: skip
        place.edit("[psnr, ssim, lpips]", "[psnr, ssim, lpips, niqe]")
        place.run()
        new = {f"students/{v}/seed-2" for v in ("full", "distill_only")}
        new |= {f"students/no_discriminator/seed-{seed}" for seed in range(3)}
        assert changed(before, place.state()) == new
        frame = pd.read_parquet(place.root / "comparison" / "scores.parquet")
        assert set(frame["dataset"]) == {"photos-bicubic", "photos-more"}

    def test_weights_that_arrive_later_fill_in_their_column(
        self, place: Workplace, shared: Path
    ) -> None:
        before = place.state()
        installer = shared / "weights" / "install_metric_weights.py"
        weights = place.environment["TADSR_WEIGHTS"]
        subprocess.run([sys.executable, installer, weights], check=True, capture_output=True)
        image = next((place.root / "evaluations" / "full" / "seed-0").glob("photos-bicubic/*.png"))
        drawn = image.stat().st_mtime_ns
        place.run()
        frame = pd.read_parquet(place.root / "comparison" / "scores.parquet")
        assert "lpips" in set(frame["metric"])
        assert frame.loc[frame["metric"] == "lpips", "value"].between(0, 1.5).all()
        assert changed(before, place.state()) == set()
        assert image.stat().st_mtime_ns == drawn

    def test_a_lost_model_is_made_again_with_the_same_bits(self, place: Workplace) -> None:
        folder = place.root / "students" / "full" / "seed-1"
        before = json.loads((folder / "run.json").read_text())
        shutil.rmtree(folder)
        place.run()
        after = json.loads((folder / "run.json").read_text())
        assert after["content"] == before["content"]
        assert after["key"] == before["key"]

    def test_what_is_taken_out_is_not_shown_and_what_stays_is_not_done_again(
        self, place: Workplace
    ) -> None:
        before = place.state()
        text = place.experiment.read_text()
        start, end = text.index("  distill_only:"), text.index("evaluation:")
        place.experiment.write_text(text[:start] + text[end:])
        place.edit("seeds: [0, 1, 2]", "seeds: [0, 1]")
        place.edit("[psnr, ssim, lpips, niqe]", "[psnr, lpips]")
        place.run()
        assert changed(before, place.state()) == set()
        page = (place.root / "report" / "index.html").read_text()
        for name in ("distill_only", "seed-2", "SSIM", "NIQE"):
            assert name not in page
        frame = pd.read_parquet(place.root / "comparison" / "scores.parquet")
        assert set(frame["metric"]) == {"psnr", "lpips"}


class TestThingsThatGoWrong:
    """Divergence is a result, a crash is a failure; both are shown, and the rest is done."""

    def test_a_diverged_student_is_marked_and_the_rest_is_done(self, place: Workplace) -> None:
        place.edit("variants:\n", "variants:\n  wild:\n    description: far too fast\n"
                   "    student.training.learning_rate: 1000000.0\n"
                   "    student.losses.score_distillation.weight: 0\n"
                   "    student.losses.adversarial.weight: 0\n")  # fmt: skip
        place.run()
        cells = json.loads((place.root / "comparison" / "cells.json").read_text())
        assert {(c["variant"], c["status"]) for c in cells} == {
            ("wild", "diverged"), ("full", "done"), ("distill_only", "done")}  # fmt: skip
        assert "diverged" in (place.root / "report" / "index.html").read_text()

    def test_a_crash_fails_its_job_and_the_report_shows_the_hole(self, place: Workplace) -> None:
        place.edit("seeds: [0, 1]", "seeds: [0, 1, 2]")
        folder = place.root / "students" / "full" / "seed-2"
        folder.parent.mkdir(parents=True, exist_ok=True)
        folder.write_text("a file where the run folder should be")
        output = place.run(code=1)
        assert "failed: student/full" in output
        assert (place.root / "students" / "distill_only" / "seed-2" / "run.json").is_file()
        page = place.root / "report" / "index.html"
        assert "missing" in page.read_text()
        status = subprocess.run(place.command("status", str(place.experiment)), cwd=place.folder,
                                env=place.environment, text=True, capture_output=True)  # fmt: skip
        assert status.returncode == 1
        assert "logs/student/full.log" in status.stdout
        folder.unlink()
        place.run()
        assert "✗" not in place.run()


def test_killed_at_random_moments_the_same_command_ends_in_the_same_bits(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """A few kills; `make test-faults` has many, in all stages."""
    whole, broken = (Workplace(tmp_path_factory.mktemp(name)) for name in ("whole", "broken"))
    whole.run()
    chance = random.Random(4)
    for _ in range(4):
        process = broken.start("run", str(broken.experiment), "--offline")
        try:
            process.communicate(timeout=chance.uniform(6, 16))
        except subprocess.TimeoutExpired:
            kill = os.killpg if chance.random() < 0.5 else os.kill  # with or without its children
            kill(process.pid, signal.SIGKILL)
            process.wait()
        time.sleep(0.2)
    broken.run()
    assert broken.results() == whole.results()
    assert broken.leftovers() == []
