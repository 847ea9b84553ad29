"""Numbers in the tables equal the scores they come from, computed here a second way."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from tadsr.report.card_tables import cards_table, variants_table
from tadsr.report.content import ReportContent
from tadsr.report.html import all_tables
from tadsr.report.latex import latex_table
from tadsr.report.reading import Mean
from tadsr.report.run_tables import cells_table, fidelity_table
from tadsr.report.table import GAP, Cell, Table
from tadsr.report.tables import comparison_table, main_table
from tadsr.report.wording import half_text
from tests.report.compiling import compile_latex, document, needs_latex, too_wide


def cell(table: Table, row: str, column: str) -> Cell:
    keys = [c.key for c in table.columns]
    found = next(r for r in table.rows if r[0].text.split(" ")[0] == row)
    return found[keys.index(column)]


@pytest.fixture(scope="module")
def scores(content: ReportContent) -> pd.DataFrame:
    return pd.read_parquet(content.root / "comparison" / "scores.parquet")


@pytest.mark.parametrize("variant", ["full", "no_discriminator", "distill_only"])
@pytest.mark.parametrize("metric", ["psnr", "lpips", "niqe"])
def test_means_and_intervals_are_those_of_the_scores(
    content: ReportContent, scores: pd.DataFrame, variant: str, metric: str
) -> None:
    chosen = scores.query(
        "variant == @variant and metric == @metric and dataset == 'photos-bicubic'"
    )
    seeds = chosen.groupby("seed")["value"].mean().to_numpy()
    shown = cell(main_table(content, "photos-bicubic"), variant, metric)
    assert shown.value == pytest.approx(seeds.mean())
    low, high = stats.t.interval(0.95, len(seeds) - 1, seeds.mean(), stats.sem(seeds))
    assert shown.half_value == pytest.approx((high - low) / 2)
    assert float(shown.text) == pytest.approx(seeds.mean(), abs=0.00501)


@pytest.mark.parametrize(
    ("half", "shown"),
    [(None, ""), (0.0, "0.00"), (0.0046, "0.005"), (0.00004, "0.00004"), (0.006, "0.01")],
)
def test_an_interval_is_never_shown_as_nothing(half: float | None, shown: str) -> None:
    assert half_text(half, 2) == shown


def test_baselines_have_no_interval(content: ReportContent, scores: pd.DataFrame) -> None:
    chosen = scores.query(
        "variant == 'bicubic' and metric == 'psnr' and dataset == 'photos-bicubic'"
    )
    shown = cell(main_table(content, "photos-bicubic"), "bicubic", "psnr")
    assert shown.value == pytest.approx(chosen["value"].mean())
    assert shown.half_width == ""
    assert cell(main_table(content, "photos-bicubic"), "bicubic", "seeds").text == ""


def test_a_column_without_any_score_has_a_note(content: ReportContent) -> None:
    means = {key: mean for key, mean in content.means.items() if key[2] != "ssim"}
    notes = main_table(replace(content, means=means), "photos-bicubic").notes
    assert f"{GAP} SSIM-Y: no score of it was found" in notes
    assert not any("SSIM" in note for note in main_table(content, "photos-bicubic").notes)


def test_best_is_first_by_the_metrics_direction(content: ReportContent) -> None:
    table = main_table(content, "photos-bicubic")
    for metric in ("psnr", "ssim", "lpips", "niqe"):
        names = [*content.baselines, *content.variants]
        values = {name: cell(table, name, metric).value for name in names if name != "distill_only"}
        higher = content.metric(metric).higher_is_better
        best, second = sorted(values, key=lambda n: values[n] or 0.0, reverse=higher)[:2]
        assert cell(table, best, metric).rank == 1
        assert cell(table, second, metric).rank == 2
        assert sum(row[0].text != "" and cell(table, row[0].text.split(" ")[0], metric).rank > 0
                   for row in table.rows) == 2  # fmt: skip


def test_a_mean_over_fewer_images_or_seeds_is_marked_and_not_ranked(content: ReportContent) -> None:
    fewer = {
        **content.means,
        ("photos-bicubic", "teacher-1", "niqe"): Mean(1.0, None, None, 0, 5),
        ("photos-bicubic", "no_discriminator", "lpips"): Mean(0.01, 0.0, 0.02, 2, 6),
    }
    table = main_table(replace(content, means=fewer), "photos-bicubic")
    for row, metric in (("teacher-1", "niqe"), ("no_discriminator", "lpips")):
        assert (cell(table, row, metric).rank, cell(table, row, metric).marks) == (0, "§")
    assert cell(table, "full", "niqe").marks == ""
    (note,) = (note for note in table.notes if note.startswith("§"))
    assert "teacher-1 in NIQE (5 of 6 images)" in note
    assert "no_discriminator in LPIPS (2 of 3 seeds)" in note


def test_a_column_without_some_of_the_images_says_so(content: ReportContent) -> None:
    fewer = {key: replace(mean, n_images=5) if key[2] == "niqe" else mean
             for key, mean in content.means.items()}  # fmt: skip
    table = main_table(replace(content, means=fewer), "photos-bicubic")
    assert any(note.startswith("NIQE: over 5 of 6 images") for note in table.notes)
    assert not any(note.startswith("§") for note in table.notes)


def test_survivors_of_divergence_are_not_ranked(content: ReportContent) -> None:
    key = ("photos-bicubic", "distill_only", "psnr")
    better = {**content.means, key: Mean(99.0, 98.0, 100.0, 2, 6)}
    table = main_table(replace(content, means=better), "photos-bicubic")
    assert cell(table, "distill_only", "psnr").rank == 0
    assert cell(table, "distill_only", "seeds").text == "2 (1/3 diverged)"
    assert any("surviving" in note for note in table.notes)


def test_what_looks_equal_ranks_equal(content: ReportContent) -> None:
    means = {k: v for k, v in content.means.items() if k[2] != "psnr"}
    for name, value, seeds in (("bicubic", 30.001, 0), ("full", 30.004, 3), ("teacher-1", 29.0, 0)):
        means["photos-bicubic", name, "psnr"] = Mean(value, None, None, seeds, 6)
    table = main_table(replace(content, means=means), "photos-bicubic")
    ranks = [cell(table, name, "psnr").rank for name in ("bicubic", "full", "teacher-1")]
    assert ranks == [1, 1, 2]


def test_verdicts_stand_at_primary_endpoints_alone(content: ReportContent) -> None:
    table = main_table(content, "photos-bicubic")
    assert [c.key for c in table.columns if c.key.startswith("verdict")] == ["verdict_lpips"]
    for c in content.comparisons:
        if (c.dataset, c.metric) == ("photos-bicubic", "lpips"):
            assert cell(table, c.variant, "verdict_lpips").text == c.verdict
    assert cell(table, "full", "verdict_lpips").text == "reference"
    real = main_table(content, "photos-real")
    assert not any(c.key.startswith("verdict") for c in real.columns)


def test_missing_metrics_and_unverified_weights_have_notes(content: ReportContent) -> None:
    table = main_table(content, "photos-bicubic")
    assert all(cell(table, name, "musiq").text == GAP for name in ("bicubic", "full"))
    assert any("tadsr weights fetch musiq-koniq" in note for note in table.notes)
    marks = {c.key: c.marks for c in table.columns}
    assert marks["clipiqa_unverified"] == "†"
    assert marks["psnr"] == marks["lpips"] == marks["niqe"] == ""


def test_a_set_without_hr_has_no_reference_metrics(content: ReportContent) -> None:
    table = main_table(content, "photos-real")
    assert [c.key for c in table.columns] == [
        "upscaler", "seeds", "clipiqa_unverified", "musiq", "niqe",
    ]  # fmt: skip

    assert any("no HR images" in note for note in table.notes)


def test_comparisons_are_split_into_declared_and_exploratory(content: ReportContent) -> None:
    primary = comparison_table(content, primary=True)
    exploratory = comparison_table(content, primary=False)
    assert len(primary.rows) == 2 * 4
    assert len(primary.rows) + len(exploratory.rows) == len(content.comparisons)
    assert "verdict" not in [c.key for c in exploratory.columns]
    keys = [c.key for c in primary.columns]
    for row, c in zip(primary.rows, [c for c in content.comparisons if c.primary], strict=True):
        assert row[keys.index("delta")].value == c.delta
        assert row[keys.index("p_holm")].value == c.p_adjusted
        assert c.low is not None
        assert row[keys.index("interval")].text.startswith(f"{c.low:+.4f}".replace("-", "−"))
        assert row[keys.index("interval")].bounds == (c.low, c.high)


def test_fidelity_is_the_mean_over_surviving_seeds(content: ReportContent) -> None:
    ends = np.array([c.results["val_target_mse"] for c in content.cells_of("distill_only")
                     if c.status == "done"])  # fmt: skip
    shown = cell(fidelity_table(content), "distill_only", "end_mse")
    assert len(ends) == 2
    assert shown.value == pytest.approx(ends.mean())
    assert shown.half_value == pytest.approx(stats.sem(ends) * stats.t.ppf(0.975, 1))
    assert cell(fidelity_table(content), "full", "ratio").value == pytest.approx(
        np.mean([c.results["val_target_mse"] for c in content.cells_of("full")]) / 0.0301
    )


def test_every_cell_variant_and_metric_has_its_row(content: ReportContent) -> None:
    cells = cells_table(content)
    assert [(r[0].text, r[1].value) for r in cells.rows] == [
        (variant, seed) for variant in content.variants for seed in (0, 1, 2)
    ]
    assert [r[2].text for r in cells.rows].count("diverged") == 1
    rows = {row[0].text: " | ".join(cell.text for cell in row) for row in cards_table(content).rows}
    assert list(rows) == [m.title for m in content.metrics]
    said = ["psnr (device cpu, pyiqa 0.1.15", "float32", "a network", "Y of YCbCr of 8-bit images"]
    said += ["grey pictures read as RGB", "of the reference none: pairs", "none needed"]
    for words in said:
        assert words in rows["PSNR-Y"], words
    assert "ab12ab12" in rows["LPIPS"] and rows["LPIPS"].endswith("| yes")
    assert rows["CLIPIQA (unverified)"].endswith("| no: unverified")
    assert "tadsr weights fetch" in rows["MUSIQ"]
    assert "student.losses.adversarial.weight = 0.0" in variants_table(content).rows[1][1].text


@needs_latex
def test_every_table_compiles_within_the_line(content: ReportContent, tmp_path: Path) -> None:
    path = tmp_path / "document.tex"
    path.write_text(document(*(latex_table(table) for table in all_tables(content).values())))
    log = compile_latex(path, 2)
    assert max(too_wide(log), default=0.0) < 5
    assert "multiply defined" not in log


def test_captions_say_how_many_seeds_and_images_and_which_interval(content: ReportContent) -> None:
    tables = all_tables(content)
    main = tables["main-photos-bicubic"].caption
    assert "6 images" in main and "3 seeds" in main and "Student t" in main
    assert "3 seeds" in tables["fidelity"].caption
    for name in ("primary", "exploratory"):
        assert "Student" in tables[name].caption
        assert {"n_seeds", "n_images"} <= {column.key for column in tables[name].columns}
