"""The paper pack: whole or not there, the same bytes each time, compiles, and says what is open."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from rocrate.rocrate import ROCrate

from tadsr.cli import main
from tadsr.config import Experiment
from tadsr.config.data import DatasetSpec
from tadsr.config.presets import PRESETS
from tadsr.errors import TadsrError
from tadsr.files import list_files, sha256_file, write_json
from tadsr.plan.artefacts import report_files
from tadsr.report import citations, paper
from tadsr.report.checklist import OPEN, checklist, to_markdown
from tadsr.report.content import ReportContent
from tadsr.report.crate import METADATA
from tadsr.report.drawing import ONE_COLUMN
from tadsr.report.figures import all_figures
from tadsr.report.paper import build_paper
from tests.plan.made_up import MINI
from tests.report.compiling import compile_latex, needs_latex, too_wide
from tests.report.test_published import with_presets

Made = tuple[Experiment, Path]


@pytest.fixture(scope="module")
def pack(made: Made, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_paper(*made, tmp_path_factory.mktemp("pack") / "paper", date="2026-11-30")


@pytest.fixture
def copy(pack: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(pack, tmp_path / "paper"))


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Without drawing, where figures do not matter."""
    monkeypatch.setattr(paper, "_figures", lambda content, folder: iter(()))
    yield


def answers(content: ReportContent) -> dict[str, tuple[str, ...]]:
    return {item.question: item.lines for part in checklist(content) for item in part.items}


@pytest.mark.slow
def test_equal_results_give_equal_bytes(made: Made, pack: Path, tmp_path: Path) -> None:
    again = build_paper(*made, tmp_path / "elsewhere", date="2026-11-30")
    assert list_files(again) == list_files(pack)


def test_it_has_what_a_paper_needs(made: Made, pack: Path) -> None:
    experiment, _ = made
    names = set(list_files(pack))
    assert {"paper-pack.tex", "checklist.md", "checklist.tex", "references.bib", METADATA} <= names
    text = (pack / "paper-pack.tex").read_text()
    shown = re.findall(r"\\input{(\S+?)}", text)
    for name in shown:
        assert f"{name}.tex" in names
    assert {n for n in names if n.endswith(".tex") and "/" in n} == {
        f"{n}.tex" for n in shown if "/" in n}  # fmt: skip
    drawn = [n for n in names if n.endswith(".pdf")]
    assert len(drawn) >= 4
    assert all(n.endswith((".pdf", ".tex", ".png")) for n in names if n.startswith("figures/"))
    for name in drawn:
        caption = (pack / name).with_suffix(".tex").read_text()
        assert "3 seeds per variant" in caption
    assert "data/run-cards/students/full/seed-0.json" in names
    assert "data/comparison/scores.parquet" in names
    assert Experiment.load(pack / "data" / "experiment.json") == experiment


def test_the_crate_describes_every_file_with_its_digest(pack: Path) -> None:
    crate = ROCrate(pack)  # rocrate reads what it finds, and resolves every reference
    files = {e.id: e for e in crate.data_entities if e.type == "File"}
    assert set(files) == set(list_files(pack)) - {METADATA}
    for name, entity in files.items():
        assert entity["sha256"] == sha256_file(pack / name)
        assert entity["contentSize"] == str((pack / name).stat().st_size)
        assert entity["description"]
    assert str(crate.root_dataset["datePublished"])[:10] == "2026-11-30"
    assert "synthetic" in crate.name
    made = crate.dereference("#made")
    assert made["instrument"]["name"] == "tadsr"
    assert {e.id for e in (*made["object"], *made["result"])} == set(files)


@needs_latex
def test_the_whole_pack_compiles(copy: Path) -> None:
    main_file = copy / "paper-pack.tex"
    compile_latex(main_file)
    if shutil.which("bibtex"):
        done = subprocess.run(["bibtex", "paper-pack"], cwd=copy, capture_output=True, text=True)
        assert done.returncode == 0 and "warning" not in done.stdout.lower(), done.stdout
    log = compile_latex(main_file, 2)
    assert "undefined" not in log and "multiply defined" not in log
    assert max(too_wide(log), default=0.0) < 12
    assert paper.refuse_to_destroy(copy) is None  # by-products of LaTeX may go


def test_the_checklist_is_filled_from_the_runs(content: ReportContent) -> None:
    found = answers(content)
    runs = " ".join(found["How many runs were made, those that diverged included?"])
    assert "5 variants × 3 seeds = 15 student trainings: 1 diverged, 14 done" in runs
    assert "distill_only/seed-1" in runs
    assert found["Which seeds?"][0].startswith("0, 1, 2")
    compute = found["How much compute was used?"]
    students = sum(c.seconds for c in content.cells if c.seconds) / 60
    assert f"students: 15 runs, {students:.0f} min of wall-clock time" in compute
    assert "not computed" in found["MUSIQ"][0]
    assert "sha256" not in found["PSNR-Y"][0] and "ab12" in found["LPIPS"][0]
    assert found["How were these settings chosen, on which data, and after how many trials?"] == (
        OPEN,)  # fmt: skip
    text = to_markdown(content)
    assert text.count("[ ] **") == text.count(f"  - {OPEN}") >= 6


def test_an_imported_teacher_is_no_training_of_ours(imported: ReportContent) -> None:
    found = answers(imported)
    assert found["Teacher"][0] == "imported: resshift-realsrx4-s15-v1"
    kept = found["Is training data kept out of the test data?"]
    assert any("imported teacher" in line for line in kept)


def test_results_with_holes_are_refused_or_marked(made: Made, tmp_path: Path, quick: None) -> None:
    experiment, root = made
    holed = tmp_path / "results"
    shutil.copytree(root / "comparison", holed / "comparison")
    with pytest.raises(TadsrError, match=r"students/full/seed-0/run\.json.*--partial"):
        build_paper(experiment, holed, tmp_path / "paper")
    (holed / "comparison" / "cells.json").unlink()
    with pytest.raises(TadsrError, match=r"cells\.json is missing.*--partial"):
        build_paper(experiment, holed, tmp_path / "paper")
    assert not (tmp_path / "paper").exists()
    pack = build_paper(experiment, holed, tmp_path / "paper", partial=True)
    assert "**Partial:**" in (pack / "checklist.md").read_text()
    assert "Partial" in (pack / "paper-pack.tex").read_text()


def test_a_failure_leaves_what_was_there(
    made: Made, copy: Path, quick: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = list_files(copy)
    monkeypatch.setattr(paper, "write_crate", lambda *_: (_ for _ in ()).throw(OSError("full")))
    with pytest.raises(OSError, match="full"):
        build_paper(*made, copy)
    assert list_files(copy) == before
    assert [p.name for p in copy.parent.iterdir()] == ["paper"]


def test_work_of_the_authors_is_not_destroyed(made: Made, copy: Path, quick: None) -> None:
    build_paper(*made, copy)  # untouched: replaced
    (copy / "checklist.md").write_text("answered by hand")
    with pytest.raises(TadsrError, match=r"checklist\.md was changed since the pack was made"):
        build_paper(*made, copy)
    assert (copy / "checklist.md").read_text() == "answered by hand"
    build_paper(*made, copy.with_name("other"))
    (copy.with_name("other") / "rebuttal.tex").write_text("mine")
    with pytest.raises(TadsrError, match=r"rebuttal\.tex was added"):
        build_paper(*made, copy.with_name("other"))


def test_a_folder_of_something_else_is_refused(made: Made, tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(TadsrError, match="not a paper pack, and not empty"):
        build_paper(*made, tmp_path)
    with pytest.raises(TadsrError, match="a file lies where"):
        build_paper(*made, tmp_path / "thesis.tex")


def test_every_paper_that_is_cited_has_an_entry(content: ReportContent) -> None:
    known = citations.entries()
    asked = {*citations.ALWAYS, *citations.METRICS.values(), *citations.DEGRADATIONS.values(),
             *(key for keys in citations.PRESETS.values() for key in keys)}  # fmt: skip
    assert asked <= set(known)
    assert set(citations.PRESETS) == set(PRESETS)
    for entry in known.values():
        assert entry.count("{") == entry.count("}")
        assert "author" in entry and "title" in entry and "year" in entry
    plain = citations.cited(content)
    assert {"zhang2018lpips", "mittal2013niqe", "wang2021realesrgan", "keys1981cubic"} <= set(plain)
    assert "cai2019realsr" not in plain
    presets = with_presets(content, a={"preset": "realsr"})
    assert set(citations.cited(presets)) - set(plain) == {"cai2019realsr"}
    assert DatasetSpec(preset="realsr", path="x").kind == "pairs"


def test_a_pack_is_no_part_of_the_report(tmp_path: Path) -> None:
    for name in ("index.html", "tables/main.csv", "paper/checklist.md",
                 "figures/.snakemake_timestamp"):  # fmt: skip
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")
    assert set(report_files(tmp_path)) == {"index.html", "tables/main.csv"}


@pytest.mark.parametrize(
    "arguments, code, said",
    [
        (["paper", str(MINI)], 1, "the comparison is not finished"),
        ([str(MINI), "--out", "x"], 2, "--out and --date go with `tadsr report paper`"),
        (["paper", str(MINI), "--date", "soon"], 2, "'soon' is not a day"),
        (["poster", str(MINI)], 2, "poster"),
    ],
)
def test_mistakes_on_the_command_line(
    arguments: list[str], code: int, said: str, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    assert main(["report", *arguments]) == code
    error = capsys.readouterr().err
    assert said in error and error.count("\n") == 1


def test_a_metric_without_numbers_says_so(content: ReportContent) -> None:
    nothing = replace(content, cards={}, missing={})
    assert answers(nothing)["LPIPS"] == ("not computed: no score",)


def test_searches_are_told_with_all_their_trials(content: ReportContent, tmp_path: Path) -> None:
    settings = content.experiment.model_dump(mode="json")
    settings["sweeps"] = {"weight": {
        "space": {"student.losses.adversarial.weight": {"kind": "float", "low": 0.1, "high": 1.0}},
        "objectives": [{"metric": "lpips"}], "budget": {"trials": 9}}}  # fmt: skip
    searched = replace(content, experiment=Experiment.model_validate_json(json.dumps(settings)),
                       root=tmp_path)  # fmt: skip
    assert answers(searched)["Search weight"][1] == "no trial was made yet"
    states = ["complete"] * 5 + ["pruned"] * 3 + ["diverged"]
    write_json(tmp_path / "sweeps" / "weight" / "trials.json", [{"state": s} for s in states])
    found = answers(searched)
    assert found["Search weight"][1] == "9 trials: 5 complete, 1 diverged, 3 pruned"
    assert "student.losses.adversarial.weight" in found["Search weight"][0]
    others = "How were the other settings chosen, on which data, and after how many trials?"
    assert found[others] == (OPEN,)


def test_a_figure_of_one_column_is_not_blown_up(
    searched: ReportContent, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(paper, "build_grids", lambda content: [])
    widths = {figure.name: figure.figure.get_figwidth() for figure in all_figures(searched)}
    narrow = {name for name, width in widths.items() if width <= ONE_COLUMN}
    assert narrow and narrow != set(widths)
    for name in paper._figures(searched, tmp_path):
        text = (tmp_path / f"{name}.tex").read_text()
        assert (r"\begin{figure}[tp]" in text) == (rf"\else {ONE_COLUMN}in\fi" in text)
        assert (r"\begin{figure}[tp]" in text) == (name in narrow)
