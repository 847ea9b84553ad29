"""The report as one self-contained page, and the figures and tables beside it."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from tadsr import __version__
from tadsr.config import Experiment
from tadsr.files import write_text
from tadsr.report.card_tables import cards_table, flatten, variants_table
from tadsr.report.content import ReportContent, gather
from tadsr.report.cost_tables import cost_table, training_time_table
from tadsr.report.drawing import ONE_COLUMN, inline_svg, save
from tadsr.report.factorial_tables import TITLES, factorial_tables
from tadsr.report.figures import ReportFigure, all_figures
from tadsr.report.grid_sheets import save_sheets
from tadsr.report.grids import Grid, build_grids
from tadsr.report.images import ImageSet, image_sets, link_images
from tadsr.report.latex import latex_table
from tadsr.report.model_tables import models_table
from tadsr.report.page_images import PAGE_LIMIT, comparer_data
from tadsr.report.page_windows import page_windows
from tadsr.report.published_tables import published_tables
from tadsr.report.run_tables import cells_table, fidelity_table
from tadsr.report.sweep_tables import sweep_tables
from tadsr.report.sweep_words import sweep_parts
from tadsr.report.table import Table, breakable
from tadsr.report.tables import comparison_table, main_table
from tadsr.report.wording import (
    MEANINGS,
    TEMPLATES,
    conditions,
    endpoints,
    environments,
    headline,
    meanings,
    problems,
    reproduce,
)

SCRIPTS = ("frame.js", "tables.js", "viewer.js", "comparer.js")
STYLES = ("report.css", "comparer.css")
DATA_HERE = Markup("<!--data of the comparer-->")
"""Where the images go in once it is known how large the page is without them; being a comment, no
text that was escaped can be equal to it."""
HIDDEN = ("recipe", "command", "key", "files", "checksum")
"""Entries of a run card that the page leaves out: long, or told elsewhere."""


def build_report(experiment: Experiment, root: Path, *, partial: bool = False) -> Path:
    """Write `root`/report: index.html, figures/, tables/ and images/; return the page's path.

    Equal inputs give equal bytes. Raises `TadsrError` where results are missing, unless
    `partial`, which lists them on the page.
    """
    content = gather(experiment, root, partial=partial)
    folder = Path(root) / "report"
    tables = all_tables(content)
    figures = all_figures(content)
    grids = build_grids(content)
    written = [path for figure in figures for path in
               save(figure.figure, folder / "figures", figure.name)]  # fmt: skip
    written += [path for grid in grids for path in save_sheets(grid, folder / "figures")]
    for table in tables.values():
        written += _save_table(table, folder / "tables")
    sets = image_sets(content)
    link_images(content.root, sets)
    page = folder / "index.html"
    write_text(page, render(content, tables, figures, grids, sets))
    _remove_others(folder, written)
    return page


def main_tables_text(root: Path, experiment: Experiment) -> str:
    """The main table of every test set and the verdicts, for a terminal."""
    content = gather(experiment, root, partial=True)
    parts = [main_table(content, dataset.name).to_text() for dataset in content.datasets]
    lines = [headline(content)]
    for endpoint in endpoints(content):
        lines.append(endpoint.title)
        lines += [f"  {statement.text}" for statement in endpoint.statements]
    legend = "* best, ' second best mean; ± half of the 95 % interval over seeds"
    return "\n".join([*parts, legend, "", *lines]) + "\n"


def all_tables(content: ReportContent) -> dict[str, Table]:
    """Every table by name."""
    mains = [main_table(content, dataset.name) for dataset in content.datasets]
    mains += published_tables(content)
    others = [
        comparison_table(content, primary=True),
        comparison_table(content, primary=False),
        *factorial_tables(content),
        *sweep_tables(content),
        fidelity_table(content),
        training_time_table(content),
        cost_table(content),
        cells_table(content),
        variants_table(content),
        models_table(content),
        cards_table(content),
    ]
    return {table.name: table for table in (*mains, *others)}


def _save_table(table: Table, folder: Path) -> list[Path]:
    paths = []
    for suffix, text in _formats(table):
        paths.append(folder / f"{table.name}.{suffix}")
        write_text(paths[-1], text)
    return paths


def _formats(table: Table) -> list[tuple[str, str]]:
    return [("csv", table.to_csv()), ("md", table.to_markdown()), ("tex", latex_table(table))]


def _remove_others(folder: Path, written: list[Path]) -> None:
    """Figures and tables of an earlier report that this one does not have would mislead."""
    for name in ("figures", "tables"):
        for path in (folder / name).glob("*.*"):
            if path not in written:
                path.unlink()


def render(
    content: ReportContent,
    tables: dict[str, Table],
    figures: list[ReportFigure],
    grids: list[Grid],
    sets: Sequence[ImageSet] = (),
) -> str:
    """The page's HTML, of at most `PAGE_LIMIT` bytes where leaving out images does it.

    Every text is escaped. Images that are not inside lie in `images/` beside the page.
    """
    js = _own_text(*SCRIPTS)
    factorial = [table for name, table in tables.items() if name in TITLES]
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, keep_trailing_newline=True,
    )  # fmt: skip
    settings = content.experiment.model_dump(mode="json")
    page = environment.get_template("report.html.j2").render(
        content=content,
        version=__version__,
        css=_own_text(*STYLES),
        js=js,
        policy=_policy(js),
        data_here=DATA_HERE,
        headline=headline(content),
        endpoints=endpoints(content),
        meanings=meanings(content),
        all_meanings=MEANINGS,
        problems=problems(content),
        alarms=[a.get("text", "") for a in content.alarms if a.get("kind") != "diverged"],
        conditions=conditions(content),
        mains=[tables[f"main-{dataset.name}"] for dataset in content.datasets],
        published=published_tables(content),
        factorial=factorial,
        sweeps=sweep_parts(content, tables, figures),
        sections={f.section for f in figures}
        | ({"factorial"} if factorial else set()) | ({"sweeps"} if content.sweeps else set()),
        figures=figures,
        grids=page_windows(content, grids, sets),
        image_sets=sets,
        runs=[(name, _card_lines(card)) for name, card in content.runs.items()],
        commands=reproduce(content),
        environment=environments(content),
        settings=json.dumps(settings, indent=1),
        cards=tables["metrics"],
        training_time=tables["training-time"],
        **{name: tables[name] for name in
           ("primary", "exploratory", "fidelity", "cost", "cells", "variants", "models")},
        svg=lambda figure: _svg(figure, content.root / "report" / "figures"),
        downloads=_downloads,
        breakable=breakable,
        one_column=ONE_COLUMN,
    )  # fmt: skip
    return page.replace(DATA_HERE, comparer_data(content, sets, PAGE_LIMIT - len(page.encode())))


def _own_text(*names: str) -> Markup:
    """Files of ours, that need no escaping."""
    texts = [(TEMPLATES / name).read_text(encoding="utf-8") for name in names]
    return Markup("\n".join(texts))  # noqa: S704


def _policy(script: str) -> Markup:
    """What the page may do: run this one script, show images of its own folder, and no more."""
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return Markup(  # noqa: S704
        "default-src 'none'; img-src data: 'self' file:; style-src 'unsafe-inline'; "
        f"script-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    )


def _svg(figure: ReportFigure, folder: Path) -> Markup:
    text = (folder / f"{figure.name}.svg").read_text(encoding="utf-8")
    label = str(escape(f"{figure.title}. {figure.alternative}"))
    return Markup(inline_svg(text, figure.name, label))  # noqa: S704


def _downloads(table: Table) -> Iterator[tuple[str, str]]:
    """(suffix, address) of a table's files, carried inside the page."""
    for suffix, text in _formats(table):
        yield suffix, "data:text/plain;base64," + base64.b64encode(text.encode()).decode()


def _card_lines(card: Any) -> list[tuple[str, str]]:
    return list(flatten({key: value for key, value in card.items() if key not in HIDDEN}))
