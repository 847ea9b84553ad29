"""The report as one self-contained page, and the figures and tables beside it."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
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
from tadsr.report.drawing import inline_svg, save
from tadsr.report.factorial_tables import TITLES, factorial_tables
from tadsr.report.figures import ReportFigure, all_figures
from tadsr.report.grids import Grid, Panel, build_grids, png_bytes, save_grid
from tadsr.report.latex import latex_table
from tadsr.report.model_tables import models_table
from tadsr.report.run_tables import cells_table, fidelity_table
from tadsr.report.table import Table
from tadsr.report.tables import comparison_table, main_table
from tadsr.report.wording import (
    TEMPLATES,
    conditions,
    endpoints,
    environments,
    headline,
    problems,
    reproduce,
)

HIDDEN = ("recipe", "command", "key")
"""Entries of a run card that the page leaves out: long, or told elsewhere."""


def build_report(experiment: Experiment, root: Path, *, partial: bool = False) -> Path:
    """Write `root`/report: index.html, figures/ and tables/; return the page's path.

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
    written += [save_grid(grid, folder / "figures") for grid in grids]
    for table in tables.values():
        written += _save_table(table, folder / "tables")
    page = folder / "index.html"
    write_text(page, render(content, tables, figures, grids))
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
    others = [
        comparison_table(content, primary=True),
        comparison_table(content, primary=False),
        *factorial_tables(content),
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
) -> str:
    """The page's HTML; everything is inside it, and every text is escaped."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, keep_trailing_newline=True,
    )  # fmt: skip
    settings = content.experiment.model_dump(mode="json")
    return environment.get_template("report.html.j2").render(
        content=content,
        version=__version__,
        css=_own_text("report.css"),
        js=_own_text("report.js"),
        headline=headline(content),
        endpoints=endpoints(content),
        problems=problems(content),
        alarms=[a.get("text", "") for a in content.alarms if a.get("kind") != "diverged"],
        conditions=conditions(content),
        mains=[tables[f"main-{dataset.name}"] for dataset in content.datasets],
        factorial=[table for name, table in tables.items() if name in TITLES],
        figures=figures,
        grids=grids,
        runs=[(name, _card_lines(card)) for name, card in content.runs.items()],
        commands=reproduce(content),
        environment=environments(content),
        settings=json.dumps(settings, indent=1),
        cards=tables["metrics"],
        training_time=tables["training-time"],
        **{name: tables[name] for name in
           ("primary", "exploratory", "fidelity", "cost", "cells", "variants", "models")},
        svg=lambda figure: _svg(figure, content.root / "report" / "figures"),
        png=_png_address,
        downloads=_downloads,
    )  # fmt: skip


def _own_text(name: str) -> Markup:
    """A file of ours, that needs no escaping."""
    return Markup((TEMPLATES / name).read_text(encoding="utf-8"))  # noqa: S704


def _svg(figure: ReportFigure, folder: Path) -> Markup:
    text = (folder / f"{figure.name}.svg").read_text(encoding="utf-8")
    label = str(escape(f"{figure.title}. {figure.alternative}"))
    return Markup(inline_svg(text, figure.name, label))  # noqa: S704


def _png_address(panel: Panel) -> str:
    return "data:image/png;base64," + base64.b64encode(png_bytes(panel.pixels)).decode()


def _downloads(table: Table) -> Iterator[tuple[str, str]]:
    """(suffix, address) of a table's files, carried inside the page."""
    for suffix, text in _formats(table):
        yield suffix, "data:text/plain;base64," + base64.b64encode(text.encode()).decode()


def _card_lines(card: Any) -> list[tuple[str, str]]:
    return list(flatten({key: value for key, value in card.items() if key not in HIDDEN}))
