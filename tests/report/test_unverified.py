"""Numbers of unverified weights: in no verdict, and marked wherever they stand."""

from __future__ import annotations

import csv
import io
import json
import re
import shutil
from pathlib import Path

import pandas as pd
import pytest
from matplotlib.text import Text

from tadsr.compare import UNVERIFIED, Comparison, compare, to_frame
from tadsr.config import Experiment
from tadsr.files import write_json
from tadsr.publish.mapping import leaderboard, map_experiment
from tadsr.report import build_report, main_tables_text
from tadsr.report.content import ReportContent, gather
from tadsr.report.figures import all_figures
from tadsr.report.grids import build_grids
from tadsr.report.html import all_tables
from tadsr.report.latex import latex_table
from tadsr.report.wording import endpoints, headline
from tests.report.conftest import DIVERGED
from tests.report.test_factorial_tables import with_grid, write_effects

SPOILT = ("lpips", "niqe")
"""The declared endpoints' metric and the next perceptual one; CLIPIQA is unverified already."""
BARE = re.compile(r"\b(LPIPS|CLIPIQA|NIQE)\b(?! \(unverified\))")
"""A title without its mark."""
MAY_BE_BARE = ("lpips", "niqe", "clipiqa")
"""Ids in settings, cards and run cards name what was asked for, and hold no score."""


@pytest.fixture(scope="module")
def root(made: tuple[Experiment, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The made-up results as if LPIPS and NIQE had been computed with weights of unknown origin."""
    copy = tmp_path_factory.mktemp("unverified") / "synthetic"
    shutil.copytree(made[1], copy)
    folder = copy / "comparison"
    cards = json.loads((folder / "cards.json").read_text())
    for name in SPOILT:
        cards[name]["verified"] = False
    write_json(folder / "cards.json", cards)
    found = compare(
        pd.read_parquet(folder / "scores.parquet"), "full",
        [(e.dataset, e.metric) for e in made[0].primary],
        diverged={DIVERGED[0]: [DIVERGED[1]]}, unverified=[*SPOILT, "clipiqa"], resamples=50,
    )  # fmt: skip
    to_frame(found, Comparison).to_parquet(folder / "comparisons.parquet", index=False)
    write_effects(with_grid(), copy)
    return copy


@pytest.fixture(scope="module")
def content(root: Path) -> ReportContent:
    return gather(with_grid(), root)


def test_no_verdict_word_rests_on_them(content: ReportContent) -> None:
    assert headline(content) == "Of 8 declared comparisons with full: 8 unverified."
    statements = [s for endpoint in endpoints(content) for s in endpoint.statements]
    assert {s.word for s in statements} == {UNVERIFIED}
    assert all("Holm" not in s.text and "official" in s.text for s in statements)
    table = all_tables(content)["primary"]
    keys = [column.key for column in table.columns]
    for row in table.rows:
        assert row[keys.index("verdict")].text == UNVERIFIED
        assert row[keys.index("p_holm")].value is None
    perceptual = [a for a in content.alarms if a["kind"] == "perception_up_fidelity_down"]
    assert perceptual == []


def test_no_number_of_theirs_is_ranked(content: ReportContent) -> None:
    table = all_tables(content)["main-photos-bicubic"]
    for index, column in enumerate(table.columns):
        ranked = any(row[index].rank for row in table.rows)
        assert ranked == (column.key in ("psnr", "ssim")), column.key


def test_every_table_marks_them_in_every_format(content: ReportContent) -> None:
    marked = set()
    for name, table in all_tables(content).items():
        texts = (table.to_markdown(), latex_table(table), table.to_csv(), table.to_html(),
                 table.to_text())  # fmt: skip
        for text in texts:
            # "vs full" headings, notes and rows alike
            assert not BARE.search(re.sub(r"\\([()_])", r"\1", str(text))), (name, text)
        if UNVERIFIED in texts[0]:
            marked.add(name)
            assert all(UNVERIFIED in str(text) for text in texts), name
    assert marked == {
        "main-photos-bicubic", "main-photos-realesrgan", "main-photos-real", "primary",
        "exploratory", "factorial-effects", "factorial-interactions", "metrics",
    }  # fmt: skip


def test_csv_columns_of_theirs_are_not_called_as_verified_ones(content: ReportContent) -> None:
    table = all_tables(content)["main-photos-bicubic"]
    rows = list(csv.DictReader(io.StringIO(table.to_csv())))
    assert not set(MAY_BE_BARE) & set(rows[0])
    assert float(rows[0]["lpips_unverified"]) > 0
    assert "lpips_unverified_half_width" in rows[0]


def test_each_number_has_the_mark_that_a_note_explains(content: ReportContent) -> None:
    table = all_tables(content)["main-photos-bicubic"]
    places = [i for i, column in enumerate(table.columns) if column.key.endswith("unverified")]
    numbers = [row[i] for row in table.rows for i in places if row[i].value is not None]
    assert len(numbers) == 3 * 8
    assert all(cell.marks == "†" for cell in numbers)
    assert any(note.startswith("† ") and "official" in note for note in table.notes)


def test_every_figure_of_theirs_is_stamped(content: ReportContent) -> None:
    figures = {figure.name: figure for figure in all_figures(content)}
    for name in ("perception-distortion", "quality-cost", "components", "effects"):
        figure = figures[name].figure
        for axes in (axes for axes in figure.axes if axes.axison):  # not a table in words
            assert any(text.get_text() == UNVERIFIED for text in axes.findobj(Text)), name
        for text in [*figure.findobj(Text), figures[name].caption, figures[name].alternative]:
            words = text if isinstance(text, str) else text.get_text()
            assert not BARE.search(words), (name, words)
    for name in ("training", "teacher"):
        assert not any(t.get_text() == UNVERIFIED for t in figures[name].figure.findobj(Text))


def test_figures_of_verified_metrics_are_not_stamped(
    made: tuple[Experiment, Path],
) -> None:
    for figure in all_figures(gather(*made)):
        assert not any(UNVERIFIED in text.get_text() for text in figure.figure.findobj(Text))


def test_grids_show_verified_scores_first_and_mark_the_others(content: ReportContent) -> None:
    scores = {
        score.rpartition(" ")[0]
        for grid in build_grids(content)
        for row in grid.rows
        for panel in row.panels
        for score in panel.scores
        if " " in score
    }
    assert scores == {"PSNR-Y", "LPIPS (unverified)", "CLIPIQA (unverified)", "NIQE (unverified)"}


def test_the_page_the_terminal_and_the_files_beside_it(root: Path) -> None:
    build_report(with_grid(), root)
    page = (root / "report" / "index.html").read_text()
    assert not BARE.search(re.sub(r"<[^>]*>", "", page))
    assert "no verdict rests on them" in page
    assert not BARE.search(main_tables_text(root, with_grid()))
    for path in (root / "report" / "tables").iterdir():
        assert not BARE.search(path.read_text().replace("\\", "")), path.name


def test_mlflow_keeps_them_under_a_name_of_their_own(content: ReportContent) -> None:
    parent, children = map_experiment(content)
    assert parent.tags["tadsr.unverified"] == "clipiqa, lpips, niqe"
    scored = [record for record in children if record.kind == "baseline" or "photos-bicubic/psnr"
              in {point.metric for point in record.points}]  # fmt: skip
    assert len(scored) == 3 + 14
    for record in scored:
        names = {point.metric for point in record.points}
        assert record.tags["tadsr.unverified"] == "clipiqa, lpips, niqe"
        assert "photos-bicubic/lpips_unverified" in names
        assert not {f"photos-bicubic/{name}" for name in MAY_BE_BARE} & names
    board = leaderboard(content)
    assert board.order == "photos-bicubic/lpips_unverified"
    assert "photos-bicubic/psnr" in board.columns
    assert set(board.columns) <= {point.metric for record in scored for point in record.points} | {
        f"{name}/musiq" for name in ("photos-bicubic", "photos-realesrgan")
    }


def test_verified_numbers_bear_no_mark(made: tuple[Experiment, Path]) -> None:
    content = gather(*made)
    text = all_tables(content)["main-photos-bicubic"].to_markdown()
    assert "LPIPS (unverified)" not in text
    parent, children = map_experiment(content)
    assert parent.tags["tadsr.unverified"] == "clipiqa"
    assert any(p.metric == "photos-bicubic/lpips" for r in children for p in r.points)
