"""The grid's section: there where there is a grid, with the numbers of the scores."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import pandas as pd
import pytest

from tadsr.compare import Effect, effects, to_frame
from tadsr.config import Experiment
from tadsr.errors import TadsrError
from tadsr.report import build_report
from tadsr.report.content import ReportContent, gather
from tadsr.report.factorial_tables import factorial_tables
from tests.report.conftest import DIVERGED, experiment_settings
from tests.report.test_page import WholePage

SCORE = "student.losses.score_distillation.weight"
KIND = "student.losses.adversarial.discriminator"
POINTS = [("distill_only", "0", "plain"), ("no_score_distillation", "0", "aware"),
          ("vanilla_discriminator", "0.5", "plain"), ("full", "0.5", "aware")]  # fmt: skip


def with_grid(points: list[tuple[str, str, str]] = POINTS) -> Experiment:
    """The made-up experiment as if four of its variants were the cells of a grid."""
    grid = {
        "axes": {SCORE: {"0": 0, "0.5": 0.5}, KIND: {"plain": "vanilla", "aware": "time_aware"}},
        "points": [{"variant": name, "levels": {SCORE: a, KIND: b}} for name, a, b in points],
    }
    return Experiment.model_validate_json(json.dumps({**experiment_settings(), "grid": grid}))


def write_effects(experiment: Experiment, root: Path) -> None:
    assert experiment.grid is not None
    folder = root / "comparison"
    found = effects(
        pd.read_parquet(folder / "scores.parquet"),
        {axis: list(levels) for axis, levels in experiment.grid.axes.items()},
        [(point.variant, point.levels) for point in experiment.grid.points],
        diverged={DIVERGED[0]: [DIVERGED[1]]},
    )
    to_frame(found, Effect).to_parquet(folder / "effects.parquet", index=False)


@pytest.fixture(scope="module")
def root(made: tuple[Experiment, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    copy = tmp_path_factory.mktemp("grid") / "synthetic"
    shutil.copytree(made[1], copy)
    write_effects(with_grid(), copy)
    return copy


def test_numbers_are_those_of_the_scores(root: Path) -> None:
    main, both = factorial_tables(gather(with_grid(), root))
    assert (main.name, both.name) == ("factorial-effects", "factorial-interactions")
    scores = pd.read_parquet(root / "comparison" / "scores.parquet")
    chosen = scores.query("metric == 'lpips' and dataset == 'photos-bicubic' and seed != 1")
    mean = chosen.groupby("variant")["value"].mean()
    first = dict(zip([c.key for c in main.columns], main.rows[0], strict=True))
    assert first["change"].text == "score_distillation 0.5 vs 0"
    assert first["delta"].value == pytest.approx(
        ((mean["full"] - mean["no_score_distillation"])
         + (mean["vanilla_discriminator"] - mean["distill_only"])) / 2)  # fmt: skip
    assert (first["n_combinations"].text, first["n_seeds"].text) == ("2", "2 (1 diverged)")
    row = dict(zip([c.key for c in both.columns], both.rows[0], strict=True))
    assert row["by"].text == "discriminator aware vs plain"
    assert row["delta"].value == pytest.approx(
        (mean["full"] - mean["no_score_distillation"])
        - (mean["vanilla_discriminator"] - mean["distill_only"]))  # fmt: skip
    assert [c.key for c in both.columns].count("verdict") == 0
    # The declared endpoints first: LPIPS on two test sets, two axes each.
    assert [r[1].text for r in main.rows[:4]] == ["LPIPS ↓"] * 4
    assert main.notes[1] == f"discriminator is {KIND} (plain = vanilla, aware = time_aware)."
    assert any("diverged" in note for note in main.notes)


def test_the_very_same_student_is_counted_and_explained(root: Path, tmp_path: Path) -> None:
    copy = tmp_path / "synthetic"
    shutil.copytree(root, copy)
    experiment = with_grid([(n if a != "0" else "distill_only", a, b) for n, a, b in POINTS])
    write_effects(experiment, copy)
    main, both = factorial_tables(gather(experiment, copy))
    kinds = [row for row in main.rows if row[2].text.startswith("discriminator")]
    assert {row[6].text for row in kinds} == {"1 (1 same)"}
    assert {(row[4].text, row[7].text) for row in both.rows} == {("–", "0 (1 same)")}
    assert any(note.startswith("same: ") for note in both.notes)


def test_a_section_on_the_page_and_files_beside_it(root: Path) -> None:
    page = build_report(with_grid(), root).read_text()
    parser = WholePage()
    parser.feed(page)
    assert parser.open == []
    assert 'href="#factorial"' in page
    assert "score_distillation 0.5 vs 0" in page
    folder = root / "report" / "tables"
    rows = list(csv.DictReader((folder / "factorial-effects.csv").open()))
    assert rows[0]["n_combinations"] == "2"
    assert float(rows[0]["delta_half_width"]) > 0
    assert "look at the interactions" in (folder / "factorial-effects.tex").read_text()
    assert "0 means that the two add up" in (folder / "factorial-interactions.md").read_text()


def test_no_grid_no_section(content: ReportContent, root: Path) -> None:
    assert list(factorial_tables(content)) == []
    plain = Experiment.model_validate_json(json.dumps(experiment_settings()))
    page = build_report(plain, root).read_text()
    assert "factorial" not in page
    assert not (root / "report" / "tables" / "factorial-effects.csv").exists()


def test_effects_that_are_not_there_are_a_hole(root: Path, tmp_path: Path) -> None:
    copy = tmp_path / "synthetic"
    shutil.copytree(root, copy)
    (copy / "comparison" / "effects.parquet").unlink()
    with pytest.raises(TadsrError, match=r"effects\.parquet is missing"):
        gather(with_grid(), copy)
