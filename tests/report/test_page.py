"""The page: self-contained, escaped, equal for equal inputs, and honest about holes."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import get_args

import pytest

from tadsr.cli import COMMANDS
from tadsr.config import Experiment
from tadsr.errors import TadsrError
from tadsr.files import write_json
from tadsr.report import build_report, main_tables_text
from tadsr.report.content import ReportContent, gather
from tadsr.report.drawing import ONE_COLUMN, save
from tadsr.report.figures import Section, all_figures
from tadsr.report.html import all_tables, render
from tadsr.report.images import image_sets
from tadsr.report.wording import conditions, endpoints, headline, meanings, reproduce
from tests.report.conftest import MISSING
from tests.report.test_table import Page

EVIL = "<script>alert('x')</script>\"&"


@pytest.fixture(scope="module")
def built(made: tuple[Experiment, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the results folder with its report."""
    experiment, root = made
    copy = tmp_path_factory.mktemp("copy") / "elsewhere"
    shutil.copytree(root, copy)
    stale = copy / "report" / "figures" / "old.svg"
    stale.parent.mkdir(parents=True, exist_ok=True)
    stale.write_text("an earlier report's")
    assert build_report(experiment, copy) == copy / "report" / "index.html"
    return copy


class WholePage(Page):
    """As `Page`, for tags that are never closed too."""

    VOID = ("meta", "img", "br", "wbr", "input", "link")

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        super().handle_starttag(tag, attrs)
        if tag in self.VOID:
            self.open.pop()

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))


def test_equal_inputs_give_equal_bytes(made: tuple[Experiment, Path], built: Path) -> None:
    """Built again, in another folder: no path, date or order of files gets in."""
    experiment, root = made
    build_report(experiment, root)
    names = {p.relative_to(built) for p in (built / "report").rglob("*") if p.is_file()}
    again = {p.relative_to(root) for p in (root / "report").rglob("*") if p.is_file()}
    assert names == again
    assert [n for n in sorted(names) if (built / n).read_bytes() != (root / n).read_bytes()] == []


def test_files_beside_the_page(built: Path) -> None:
    figures = {p.name for p in (built / "report" / "figures").iterdir()}
    assert {"effects.svg", "effects.png", "grid-photos-real.png"} <= figures
    assert "old.svg" not in figures
    tables = {p.name for p in (built / "report" / "tables").iterdir()}
    assert {"main-photos-bicubic.csv", "primary.tex", "cost.md"} <= tables


def test_page_is_well_formed_and_loads_nothing(built: Path) -> None:
    text = (built / "report" / "index.html").read_text()
    page = WholePage()
    page.feed(text)
    assert page.open == []
    for tag, attributes in page.tags:
        for name in ("src", "href", "xlink:href", "data", "action"):
            value = attributes.get(name)
            assert not value or value.startswith(("data:", "#")), (tag, value)
    assert "@import" not in text
    assert not re.search(r"url\((?!#)", text)
    ids = [attributes["id"] for _, attributes in page.tags if attributes.get("id")]
    assert len(ids) == len(set(ids))
    links = [a["href"] for tag, a in page.tags if tag == "a" and str(a["href"]).startswith("#")]
    assert {link[1:] for link in links if link} <= set(ids)


def test_page_is_accessible(built: Path) -> None:
    page = WholePage()
    page.feed((built / "report" / "index.html").read_text())
    assert dict(page.tags)["html"] == {"lang": "en"}
    images = [a for tag, a in page.tags if tag == "img" and a.get("src")]
    assert images
    assert all(a.get("alt") for a in images)
    labels = [a.get("aria-label") for tag, a in page.tags if tag == "svg"]
    assert len(labels) == len(list((built / "report" / "figures").glob("*.svg")))
    assert all(labels)
    assert all(a.get("scope") in ("col", "row") for tag, a in page.tags if tag == "th")


def test_foreign_text_is_escaped(content: ReportContent) -> None:
    variants = dict(content.experiment.variants)
    variants["full"] = variants["full"].model_copy(update={"description": EVIL})
    hostile = replace(
        content,
        experiment=content.experiment.model_copy(update={"variants": variants}),
        cells=tuple(replace(c, message=EVIL) for c in content.cells),
        comparisons=tuple(replace(c, verdict=EVIL) for c in content.comparisons),
        missing={"musiq": EVIL},
        cards={"psnr": {"pyiqa": EVIL, "options": {EVIL: EVIL}}},
        alarms=({"kind": "x", "text": EVIL},),
        runs={EVIL: {EVIL: EVIL, "environment": {EVIL: EVIL}}},
        holes=(EVIL,),
    )
    sets = [
        replace(
            entry,
            images=(EVIL,),
            chosen=(),
            sources=tuple(replace(source, label=EVIL, folder=EVIL) for source in entry.sources),
        )
        for entry in image_sets(content)
    ]
    text = render(hostile, all_tables(hostile), [], [], sets)
    assert text.count("<script>") == 1  # ours
    assert text.count("&lt;script&gt;") > 15
    assert "alert('x')</script>" not in text


def test_summary_says_what_was_found_and_on_what(content: ReportContent, built: Path) -> None:
    primary = [c for c in content.comparisons if c.primary]
    worse = sum(c.verdict == "worse" for c in primary)
    assert worse
    assert headline(content).startswith(f"Of 8 declared comparisons with full: {worse} worse")
    told = [s for e in endpoints(content) for s in e.statements]
    assert [(s.variant, s.word) for s in told] == [(c.variant, c.verdict) for c in primary]
    assert "worth knowing from 0.01 on" in endpoints(content)[0].title
    assert "1 of 3 seeds diverged" in told[3].caveats
    words = " ".join(conditions(content))
    for fact in ("3 seeds", "384 stored teacher answers", "2.5 times", "c0ffeec0ffee"):
        assert fact in words
    assert "seed 0), shared by the seeds" in words
    assert "Models without seeds have the sampling noise of seed 0" in words
    pools = {f"targets/{n}": {"content": f"{n}" * 64} for n in range(5)}
    pooled = " ".join(conditions(replace(content, runs={**content.runs, **pools})))
    first = ", ".join(f"{n}" * 12 for n in range(3))
    assert f"5 pools of 384 stored teacher answers (content {first} and 2 more" in pooled
    assert "every verdict is conditional on it" in words
    targets = content.experiment.targets.model_copy(update={"per_seed": True})
    own = content.experiment.model_copy(update={"targets": targets})
    words = " ".join(conditions(replace(content, experiment=own)))
    assert "A seed sets the training pairs, the order of the training pairs" in words
    assert "shared by the seeds" not in words
    drawn = content.experiment.variants["distill_only"].model_copy(
        update={"delta": {"targets.sampler": "stochastic"}}
    )
    both = content.experiment.model_copy(
        update={"variants": {**content.experiment.variants, "distill_only": drawn}}
    )
    words = " ".join(conditions(replace(content, experiment=both)))
    assert "deterministic or stochastic sampler" in words
    page = (built / "report" / "index.html").read_text()
    for fact in (MISSING, "distill_only/seed-1 diverged", "results/synthetic/experiment.json"):
        assert fact in page


@pytest.mark.parametrize("section", get_args(Section))
def test_a_figure_of_any_section_is_on_the_page(
    built: Path, content: ReportContent, section: str
) -> None:
    figure = next(figure for figure in all_figures(content) if figure.name == "effects")
    moved = replace(content, root=built)
    page = render(moved, all_tables(moved), [replace(figure, section=section)], [])
    assert page.count('<figure id="effects">') == 1


def test_a_figure_of_one_column_may_be_narrow(searched: ReportContent, tmp_path: Path) -> None:
    figures = [f for f in all_figures(searched) if f.section == "sweeps"][:3]
    content = replace(searched, root=tmp_path)
    for figure in figures:
        save(figure.figure, tmp_path / "report" / "figures", figure.name, ["svg"])
    page = render(content, all_tables(content), figures, [])
    wide = sum(figure.figure.get_figwidth() > ONE_COLUMN for figure in figures)
    assert 0 < wide < len(figures)
    assert page.count('<div class="plot wide">') == wide
    assert page.count('<div class="plot">') == len(figures) - wide


def test_words_of_this_report_are_explained(content: ReportContent) -> None:
    words = [word for word, _ in meanings(content)]
    assert set(words) == {c.verdict for c in content.comparisons if c.primary}
    page = render(content, all_tables(content), [], [])
    assert page.index("<b>worse</b>: the seeds support") < page.index("What the numbers are")


def test_the_commands_to_reproduce_exist(content: ReportContent) -> None:
    assert {command.split()[1] for command, _ in reproduce(content)} <= set(COMMANDS)


def test_nothing_declared_means_no_claim(content: ReportContent) -> None:
    experiment = content.experiment.model_copy(update={"primary": ()})
    comparisons = tuple(replace(c, primary=False, verdict=None) for c in content.comparisons)
    silent = replace(content, experiment=experiment, comparisons=comparisons)
    assert "makes no claim" in headline(silent)
    assert endpoints(silent) == []
    assert 'class="verdicts"' not in render(silent, all_tables(silent), [], [])


def test_holes_stop_a_full_report_and_are_listed_in_a_partial_one(
    made: tuple[Experiment, Path], tmp_path: Path
) -> None:
    experiment, root = made
    shutil.copytree(root / "comparison", tmp_path / "comparison")
    path = tmp_path / "comparison" / "cells.json"
    cells = json.loads(path.read_text())
    cells[4] |= {"status": "failed", "message": "out of memory"}
    path.write_text(json.dumps(cells[:-1]))
    with pytest.raises(TadsrError, match=r"no_score_distillation/seed-1: failed .*--partial"):
        gather(experiment, tmp_path)
    content = gather(experiment, tmp_path, partial=True)
    assert content.holes == (
        "student no_score_distillation/seed-1: failed (out of memory)",
        "student distill_only/seed-2: missing",
    )
    page = build_report(experiment, tmp_path, partial=True).read_text()
    assert "out of memory" in page
    assert "1/3 missing" in page


def test_a_report_of_nothing_lists_everything(
    made: tuple[Experiment, Path], tmp_path: Path
) -> None:
    experiment, _ = made
    page = build_report(experiment, tmp_path / "empty", partial=True).read_text()
    assert "comparison/means.parquet is missing" in page
    assert page.count(": missing</li>") == 15
    with pytest.raises(TadsrError, match="--partial"):
        build_report(experiment, tmp_path / "empty")


def test_a_metric_that_nobody_could_compute_is_no_hole(
    made: tuple[Experiment, Path], content: ReportContent
) -> None:
    """Without any no-reference metric, the set without HR has no scores, and says why."""
    lost = dict.fromkeys(("clipiqa", "musiq", "niqe"), MISSING)
    means = {k: v for k, v in content.means.items() if k[0] != "photos-real"}
    from tadsr.report.content import _holes

    assert list(_holes(replace(content, means=means, missing=lost))) == []
    assert list(_holes(replace(content, means=means))) != []


def test_terminal_text_shows_every_test_set(made: tuple[Experiment, Path]) -> None:
    experiment, root = made
    text = main_tables_text(root, experiment)
    for part in (*experiment.data.test, *experiment.variants, "Holm p", MISSING, "1/3 diverged"):
        assert part in text


def test_reporting_never_imports_torch() -> None:
    code = "import sys, tadsr.report; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_runs_that_were_taken_out_or_that_other_settings_made_are_left_out(
    made: tuple[Experiment, Path], tmp_path: Path
) -> None:
    experiment, root = made
    shutil.copytree(root, tmp_path, dirs_exist_ok=True)
    cells = json.loads((tmp_path / "comparison" / "cells.json").read_text())
    lost = next(cell for cell in cells if (cell["variant"], cell["seed"]) == ("full", 0))
    lost["status"] = "missing"  # although a finished student lies there
    write_json(tmp_path / "comparison" / "cells.json", cells)
    fewer = experiment.model_copy(update={"seeds": (0, 1)})
    content = gather(fewer, tmp_path, partial=True)
    assert "students/full/seed-1" in content.runs
    assert not {"students/full/seed-0", "students/full/seed-2"} & content.runs.keys()
    assert content.curves["full", 0] == {} != content.curves["full", 1]


def test_an_imported_teacher_and_computed_answers_are_called_so(imported: ReportContent) -> None:
    words = " ".join(conditions(imported))
    assert "imported (resshift-realsrx4-s15-v1) and not trained here" in words
    assert "computed in each training step" in words
    assert "trained with seed" not in words
    assert "stored" not in words
