r"""The paper pack: tables and figures for LaTeX, the checklist, the bibliography, and an RO-Crate.

The folder holds everything that a paper's appendix and supplement need. It is written aside and
renamed, so it is whole or not there.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from tadsr.config import Experiment
from tadsr.config.loading import freeze
from tadsr.errors import TadsrError, listed
from tadsr.files import atomic_folder, sha256_file, write_json, write_text
from tadsr.plan.artefacts import PAPER, SWEEP_RESULTS
from tadsr.report.checklist import to_latex, to_markdown
from tadsr.report.citations import bibliography
from tadsr.report.content import ReportContent, gather
from tadsr.report.crate import METADATA, described_files, write_crate
from tadsr.report.drawing import ONE_COLUMN, save
from tadsr.report.figures import ReportFigure, all_figures
from tadsr.report.grid_sheets import save_sheets
from tadsr.report.grids import build_grids
from tadsr.report.html import all_tables
from tadsr.report.latex import PACKAGES, latex_escape, latex_table
from tadsr.report.tables import seeds_of
from tadsr.runs.folder import FINISHED

MAIN = "paper-pack.tex"
BY_PRODUCTS = tuple(f"paper-pack{s}" for s in (".aux", ".bbl", ".blg", ".log", ".out", ".pdf",
                                               ".fls", ".fdb_latexmk", ".synctex.gz"))  # fmt: skip
"""What compiling the pack leaves in it; may be lost."""

COMPARISON = ("scores.parquet", "means.parquet", "comparisons.parquet", "effects.parquet",
              "cells.json", "cards.json", "missing.json", "alarms.json", "models.json",
              "costs.json", "sweeps.json")  # fmt: skip


def build_paper(
    experiment: Experiment, root: Path, out: Path | None = None, *,
    partial: bool = False, date: str | None = None,
) -> Path:  # fmt: skip
    """Write the pack to `out` (default `root`/report/paper) and return that folder.

    Equal inputs give equal bytes. `date` is the crate's date of publication; without it, the day
    on which the scores were put together.

    Raises:
        TadsrError: results are missing (unless `partial`, which lists them in the pack), or `out`
            holds what would be lost.
    """
    content = gather(experiment, root, partial=partial)
    if not partial:
        require_cards(content)
    folder = Path(out) if out else Path(root) / "report" / PAPER
    refuse_to_destroy(folder)
    with atomic_folder(folder, replace=True) as aside:
        _fill(content, aside, date or _day_of_scores(content))
    return folder


def require_cards(content: ReportContent) -> None:
    """Refuse results whose run cards are gone: the checklist is filled from them.

    Raises:
        TadsrError: naming the cards.
    """
    lost = [f"students/{cell.name}/run.json" for cell in content.cells
            if cell.status in FINISHED and f"students/{cell.name}" not in content.runs]  # fmt: skip
    if lost:
        raise TadsrError(
            f"{content.root}: no {listed(lost, 3)}; bring the run cards here too, or write what "
            "there is with --partial"
        )


def refuse_to_destroy(folder: Path) -> None:
    """Refuse a place that holds anything but an untouched pack.

    Raises:
        TadsrError: naming what is there that a new pack would destroy.
    """
    if not folder.exists():
        return
    if not folder.is_dir():
        raise TadsrError(f"{folder}: a file lies where the paper pack should; name another --out")
    known = described_files(folder)
    names = sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())
    if names and not known:
        raise TadsrError(
            f"{folder}: not a paper pack, and not empty; name a folder that is not there yet"
        )
    foreign = [name for name in names if name not in known and name not in (METADATA, *BY_PRODUCTS)]
    edited = [name for name in names if name in known and sha256_file(folder / name) != known[name]]
    if foreign or edited:
        changes = [f"{name} was changed" for name in edited] + [f"{n} was added" for n in foreign]
        raise TadsrError(
            f"{folder}: {listed(changes, 5)} since the pack was made; move the folder away, or "
            "name another --out"
        )


def _day_of_scores(content: ReportContent) -> str:
    scores = content.root / "comparison" / "scores.parquet"
    if not scores.is_file():
        raise TadsrError(f"{scores}: missing; run `tadsr compare`, or give --date YYYY-MM-DD")
    return datetime.fromtimestamp(scores.stat().st_mtime, tz=UTC).date().isoformat()


def _fill(content: ReportContent, folder: Path, date: str) -> None:
    tables = all_tables(content)
    for table in tables.values():
        write_text(folder / "tables" / f"{table.name}.tex", latex_table(table))
    figures = list(_figures(content, folder / "figures"))
    write_text(folder / MAIN, _main(content, list(tables), figures))
    write_text(folder / "checklist.md", to_markdown(content))
    write_text(folder / "checklist.tex", to_latex(content))
    write_text(folder / "references.bib", bibliography(content))
    _copy_data(content, folder / "data")
    write_crate(content, folder, date)


def _figures(content: ReportContent, folder: Path) -> Iterator[str]:
    """Write every figure with its float; vector graphics, photographs as PNG."""
    for figure in all_figures(content):
        save(figure.figure, folder, figure.name, ["pdf"])
        narrow = figure.figure.get_figwidth() <= ONE_COLUMN
        words = figure_caption(content, figure)
        text = _float(f"{figure.name}.pdf", figure.name, words, narrow=narrow)
        write_text(folder / f"{figure.name}.tex", text)
        yield figure.name
    for grid in build_grids(content):
        for path in save_sheets(grid, folder):
            words = grid.maps_caption if path.stem.startswith("maps-") else grid.caption
            caption = f"Images of {grid.dataset}. {words}"
            write_text(folder / f"{path.stem}.tex", _float(path.name, path.stem, caption))
            yield path.stem


def figure_caption(content: ReportContent, figure: ReportFigure) -> str:
    """A figure's caption where no page is around it; those of searches say their one seed."""
    seeds = "" if figure.section == "sweeps" else f" ({seeds_of(content)} per variant.)"
    return f"{figure.title}. {figure.caption}{seeds}"


def _float(file: str, name: str, caption: str, *, narrow: bool = False) -> str:
    """A figure over both columns, or in its own size where it was drawn for one."""
    kind = "figure" if narrow else "figure*"
    own = rf"\ifdim\linewidth<{ONE_COLUMN}in \linewidth\else {ONE_COLUMN}in\fi"
    width = own if narrow else r"\linewidth"
    lines = [
        r"% needs \usepackage{graphicx}, and \graphicspath if this folder is not the document's",
        rf"\begin{{{kind}}}[tp]",
        r"\centering",
        rf"\includegraphics[width={width},height=.75\textheight,keepaspectratio]{{{file}}}",
        rf"\caption{{{latex_escape(caption)}}}",
        rf"\label{{fig:{name}}}",
        rf"\end{{{kind}}}",
    ]
    return "\n".join(lines) + "\n"


def _main(content: ReportContent, tables: list[str], figures: list[str]) -> str:
    """The document that shows all of it: one `\\input` per table and figure."""
    partial = [r"\noindent\textbf{Partial: results are missing, see the checklist.}\par"]
    lines = [
        "% Every table and figure of this pack. Take single lines of it into a paper; each input",
        "% says which packages it needs. Compile: pdflatex, bibtex, pdflatex, pdflatex.",
        r"\documentclass{article}",
        r"\usepackage[margin=30mm]{geometry}",
        rf"\usepackage{{{','.join(PACKAGES)},url}}",
        r"\graphicspath{{figures/}}",
        rf"\title{{Paper pack: {latex_escape(content.experiment.name)}}}",
        r"\author{}\date{}",
        r"\begin{document}",
        r"\maketitle",
        *(partial if content.holes else []),
        r"\section*{Tables}",
        *(rf"\input{{tables/{name}}}\clearpage" for name in tables),
        r"\section*{Figures}",
        *(rf"\input{{figures/{name}}}\clearpage" for name in figures),
        r"\input{checklist}",
        r"\nocite{*}",
        r"\bibliographystyle{plain}",
        r"\bibliography{references}",
        r"\end{document}",
    ]
    return "\n".join(lines) + "\n"


def _copy_data(content: ReportContent, folder: Path) -> None:
    """The frozen experiment, the run cards, and the comparison as plain data."""
    write_json(folder / "experiment.json", freeze(content.experiment), sort_keys=False)
    root = content.root
    data = [f"data/{name}" for name in content.experiment.data.all()]
    cards = [name for name in (*data, *content.runs) if (root / name / "run.json").is_file()]
    wanted = {f"run-cards/{name}.json": root / name / "run.json" for name in cards}
    wanted |= {f"comparison/{name}": root / "comparison" / name for name in COMPARISON}
    for sweep in content.experiment.sweeps:
        names = (f"sweeps/{sweep}/{name}" for name in SWEEP_RESULTS)
        wanted |= {name: root / name for name in names}
    for name, path in wanted.items():
        if path.is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, folder / name)
