"""`tadsr compare` and the partial report: only what belongs to the settings of now is shown."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd

from tadsr.cli import main
from tadsr.commands.compare import compare_all
from tadsr.config.loading import freeze
from tadsr.files import write_json
from tests.plan.made_up import finish_all, finish_run, mini, write_scores_of

LOUDER = "student.losses.score_distillation.weight=2.0"


def cells(root: Path) -> dict[str, str]:
    rows = json.loads((root / "comparison" / "cells.json").read_text())
    return {f"{row['variant']}/seed-{row['seed']}": row["status"] for row in rows}


def scored(root: Path) -> set[str]:
    return set(pd.read_parquet(root / "comparison" / "scores.parquet")["variant"])


def test_results_of_an_earlier_recipe_are_missing_not_shown(tmp_path: Path) -> None:
    finish_all(mini(tmp_path))
    plan = mini(tmp_path, LOUDER)  # and its student job crashed before it began
    compare_all(plan)
    assert cells(plan.root)["full/seed-0"] == "missing"
    assert cells(plan.root)["distill_only/seed-0"] == "done"
    assert scored(plan.root) == {"bicubic", "teacher-4", "teacher-1", "distill_only"}


def test_a_student_that_was_trained_again_has_no_scores_until_it_is_measured(
    tmp_path: Path,
) -> None:
    plan = mini(tmp_path)
    finish_all(plan)
    finish_run(plan, "students/full/seed-1", content="other")
    compare_all(plan)
    assert cells(plan.root)["full/seed-0"] == "done"
    assert cells(plan.root)["full/seed-1"] == "failed"
    (row,) = [r for r in json.loads((plan.root / "comparison" / "cells.json").read_text())
              if (r["variant"], r["seed"]) == ("full", 1)]  # fmt: skip
    assert row["message"] == "not evaluated on photos-bicubic, photos-real"


def test_scores_of_other_images_do_not_stop_the_rest(tmp_path: Path) -> None:
    plan = mini(tmp_path)
    finish_all(plan)
    finish_run(plan, "data/photos-bicubic", content="other")
    compare_all(plan)
    assert scored(plan.root) == set()


def test_a_declared_variant_that_failed_everywhere_stays_in_the_family(tmp_path: Path) -> None:
    plan = mini(tmp_path)
    finish_all(plan)
    for seed in plan.experiment.seeds:
        finish_run(plan, f"students/distill_only/seed-{seed}", content="other")
    compare_all(plan)
    frame = pd.read_parquet(plan.root / "comparison" / "comparisons.parquet")
    (row,) = frame[frame["primary"]].to_dict("records")
    assert (row["variant"], row["family"], row["seeds_total"]) == ("distill_only", 1, 2)
    assert pd.isna(row["delta"])


def test_a_partial_page_takes_the_receipt_away_and_a_whole_page_stays(tmp_path: Path) -> None:
    plan = mini(tmp_path)
    finish_all(plan)
    write_json(plan.root / "experiment.json", freeze(plan.experiment), sort_keys=False)
    command = ["report", str(plan.root / "experiment.json"), "--partial"]
    compare_all(plan)
    assert main(command) == 0
    assert plan.output("report").read_text() == "the page"
    assert plan.receipt("report").is_file()
    plan.receipt("student/full").unlink()
    (plan.student("full/seed-0") / "run.json").unlink()
    assert main(command) == 0
    assert "full/seed-0" in plan.output("report").read_text()
    assert not plan.receipt("report").exists()


SCORE = "student.losses.score_distillation.weight"
IMAGES = "student.training.images"
GRID = f"grid.axes={{{SCORE}: [0, 1], {IMAGES}: [32, 64]}}"


def test_effects_of_a_grid_are_written_beside_the_comparison(tmp_path: Path) -> None:
    plan = mini(tmp_path, GRID)
    finish_all(plan)
    shift = {"score_distillation-0_images-32": 20.0, "score_distillation-0_images-64": 21.0,
             "score_distillation-1_images-32": 23.0, "full": 27.0}  # fmt: skip
    for cell in plan.experiment.cells():
        write_scores_of(plan, cell.name, shift.get(cell.variant, 0.0) + 0.5 * cell.seed)
    compare_all(plan)
    rows = pd.read_parquet(plan.root / "comparison" / "effects.parquet")
    psnr = rows[rows["metric"] == "psnr"]
    assert psnr["axis"].tolist() == [SCORE, IMAGES, SCORE]
    assert psnr["delta"].tolist() == [(3 + 6) / 2, (1 + 4) / 2, 6 - 3]
    assert psnr["n_seeds"].tolist() == [2, 2, 2]
    compare_all(mini(tmp_path))
    assert not (plan.root / "comparison" / "effects.parquet").exists()


def test_effects_need_no_score(tmp_path: Path) -> None:
    plan = mini(tmp_path, GRID)
    compare_all(plan)
    assert len(pd.read_parquet(plan.root / "comparison" / "effects.parquet")) == 0
