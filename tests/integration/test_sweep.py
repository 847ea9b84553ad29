"""A search within an experiment: its trials, its winner in the grid, and what it never reads.

The tests of a class run in order on one results folder; each says what it changes.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from tadsr.cli import main
from tests.workplace import Workplace, changed

pytestmark = pytest.mark.integration

SWEEP = """
sweeps:
  weight:
    space:
      student.losses.adversarial.weight: {kind: float, low: 0.002, high: 0.5, log: true}
    objectives: [{metric: psnr}]
    constraints: [{metric: ssim, margin: 0.2}]
    references: {no_adversary: {student.losses.adversarial.weight: 0}}
    sampler: {kind: random}
    budget: {trials: 3}
    workers: 2
"""


@pytest.fixture(scope="class")
def place(tmp_path_factory: pytest.TempPathFactory) -> Workplace:
    place = Workplace(tmp_path_factory.mktemp("sweep"))
    fewer = "models: [bicubic]\n  cost: {sizes: [16]}"
    text = place.experiment.read_text()
    text = text.replace("models: [bicubic, teacher-4, teacher-1]", fewer)
    start, end = text.index("  distill_only:"), text.index("evaluation:")
    place.experiment.write_text(text[:start] + text[end:] + SWEEP)
    return place


def results(place: Workplace, name: str) -> Any:
    return json.loads((place.root / "sweeps" / "weight" / name).read_text())


class TestOneSearch:
    """From nothing to a confirmed winner, then more trials."""

    def test_the_trials_that_were_asked_for_are_student_runs(self, place: Workplace) -> None:
        place.run()
        trials = results(place, "trials.json")
        assert len(trials) == 3
        assert {trial["state"] for trial in trials} <= {"complete", "pruned"}
        for trial in trials:
            folder = place.root / "sweeps" / "weight" / "trials" / trial["run"]
            card = json.loads((folder / "run.json").read_text())
            settings = card["recipe"]["settings"]
            assert settings["seed"] == 1000
            weight = trial["settings"]["student.losses.adversarial.weight"]
            assert settings["losses"]["adversarial"]["weight"] == weight
            assert card["status"] == {"complete": "done"}.get(trial["state"], trial["state"])
            assert not (folder / "model").exists()
            assert not (folder / "state").exists()

    def test_values_are_means_over_validation_images(self, place: Workplace) -> None:
        val = {path.stem for path in (place.root / "data" / "val" / "hr").glob("*.png")}
        for trial in results(place, "trials.json"):
            scores = trial["scores"]["psnr"]
            assert set(scores) == val
            if trial["state"] == "complete":
                assert trial["values"]["psnr"] == pytest.approx(sum(scores.values()) / len(val))
        assert set(results(place, "study.json")["teacher"]["scores"]["ssim"]) == val
        assert set(results(place, "references.json")["no_adversary"]["scores"]["psnr"]) == val

    def test_the_winner_is_trained_anew_on_other_seeds(self, place: Workplace) -> None:
        best = yaml.safe_load((place.root / "sweeps" / "weight" / "best.yaml").read_text())
        pick = best["picks"]["best"]
        complete = [t for t in results(place, "trials.json") if t["state"] == "complete"]
        assert pick["values"]["psnr"] == max(t["values"]["psnr"] for t in complete)
        [entry] = json.loads((place.root / "comparison" / "sweeps.json").read_text())
        [told] = entry["picks"]
        assert told["delta"] == pick["delta"]
        assert set(told["confirmed"]) == {"0", "1"}
        for scores in told["confirmed"].values():
            assert abs(scores["psnr"] - told["search"]["psnr"]) < 1
            assert scores["psnr"] != told["search"]["psnr"]
        page = (place.root / "report" / "index.html").read_text()
        assert "best-of-weight" in page

    def test_a_second_run_does_nothing(self, place: Workplace) -> None:
        before = place.state()
        assert "nothing to do" in place.run()
        assert changed(before, place.state()) == set()

    def test_more_trials_go_on_and_retrain_a_new_winner_alone(self, place: Workplace) -> None:
        before, first = place.state(), results(place, "trials.json")
        chosen = yaml.safe_load((place.root / "sweeps" / "weight" / "best.yaml").read_text())
        place.edit("trials: 3", "trials: 4")
        place.run()
        after = results(place, "trials.json")
        assert after[:3] == first
        assert len(after) == 4
        moved = {name for name in changed(before, place.state()) if name.startswith("students/")}
        now = yaml.safe_load((place.root / "sweeps" / "weight" / "best.yaml").read_text())
        winners = {f"students/best-of-weight/seed-{seed}" for seed in (0, 1)}
        same = now["picks"]["best"]["delta"] == chosen["picks"]["best"]["delta"]
        assert moved == (set() if same else winners)


def test_a_search_reads_no_test_image_and_survives_a_kill(
    place: Workplace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TADSR_WEIGHTS", str(tmp_path))
    (tmp_path / "mini.yaml").write_text(place.experiment.read_text())
    for stage in ("data", "teacher", "targets"):
        assert main([stage, "mini.yaml"]) == 0
    root = tmp_path / "results" / "mini"
    for path in root.glob("data/photos-*/*/*.png"):
        path.write_bytes(b"not a picture")
    command = place.command("sweep", "mini.yaml")
    victim = subprocess.Popen(command, cwd=tmp_path, env=place.environment, text=True,
                              stdout=subprocess.PIPE)  # fmt: skip
    assert victim.stdout is not None
    for line in victim.stdout:
        if line.startswith("trial 1:"):
            break
    time.sleep(0.1)
    os.kill(victim.pid, signal.SIGKILL)
    victim.wait()
    capfd.readouterr()
    assert main(["sweep", "mini.yaml"]) == 0
    assert "trial 1: its worker is dead, it is done again" in capfd.readouterr().out
    trials = json.loads((root / "sweeps" / "weight" / "trials.json").read_text())
    ended = [trial for trial in trials if trial["state"] in ("complete", "pruned")]
    assert len(ended) == 3
    assert [t["retry_of"] for t in trials if t["retry_of"] is not None] == [1]


def test_validation_images_that_are_test_images_are_refused(
    place: Workplace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    text = place.experiment.read_text()
    (tmp_path / "mini.yaml").write_text(text.replace("split: val,", "split: test,"))
    assert main(["data", "mini.yaml"]) == 0
    (tmp_path / "mini.yaml").write_text(
        text.replace("split: val,", "split: test,").replace(", size: 64}", "}")
    )
    assert main(["data", "mini.yaml"]) == 0
    assert main(["sweep", "mini.yaml"]) == 1
    assert "is in test set 'photos-bicubic' too" in capfd.readouterr().err
