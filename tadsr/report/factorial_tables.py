"""Tables of what the axes of a grid do: main effects and interactions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from tadsr.compare.results import Effect
from tadsr.config.grid_names import label_of, short_keys
from tadsr.report.content import ReportContent
from tadsr.report.table import Cell, Column, Table
from tadsr.report.tables import (
    difference_cells,
    difference_columns,
    group_starts,
    metrics_of,
    unverified_note,
)
from tadsr.report.wording import caption

TITLES = {"factorial-effects": "Main effects", "factorial-interactions": "Interactions"}


def factorial_tables(content: ReportContent) -> Iterator[Table]:
    """Main effects, and interactions where there are several axes; nothing without a grid."""
    if content.experiment.grid is None:
        return
    main = tuple(e for e in content.effects if not e.by_axis)
    both = tuple(e for e in content.effects if e.by_axis)
    yield _table(content, "factorial-effects", main)
    if both:
        yield _table(content, "factorial-interactions", both)


def _table(content: ReportContent, name: str, effects: tuple[Effect, ...]) -> Table:
    short = short_keys(list(content.experiment.grid.axes if content.experiment.grid else ()))
    interactions = name == "factorial-interactions"
    columns = [
        Column("dataset", "Test set", numeric=False),
        Column("metric", "Metric", numeric=False),
        Column("change", "Change", numeric=False),
        *([Column("by", "How it changes with", numeric=False)] if interactions else []),
        *difference_columns("Effect"),
        Column("n_combinations", "Combinations"),
        Column("n_seeds", "Seeds"),
        Column("n_images", "Images"),
    ]
    return Table(
        name=name,
        title=TITLES[name],
        caption=caption("tables", name),
        columns=tuple(columns),
        rows=tuple(_row(content, effect, short) for effect in effects),
        notes=tuple(_notes(content, effects, short)),
        rules=group_starts(effects),
    )


def _row(content: ReportContent, e: Effect, short: Mapping[str, str]) -> tuple[Cell, ...]:
    spec = content.metric(e.metric)
    left_out = [f"{e.same_student} same"] * bool(e.same_student)
    left_out += [f"{e.unmeasured} without score"] * bool(e.unmeasured)
    lost = [f"{e.diverged} diverged"] * bool(e.diverged)
    by = [Cell(f"{short[e.by_axis]} {e.by_level} vs {e.by_first}")] if e.by_axis else []
    return (
        Cell(e.dataset),
        Cell(f"{spec.title} {spec.arrow}"),
        Cell(f"{short[e.axis]} {e.level} vs {e.first}"),
        *by,
        *difference_cells(e, spec.decimals, content),
        _count_cell(e.n_combinations, left_out),
        _count_cell(e.n_seeds, lost),
        Cell(str(e.n_images), value=e.n_images),
    )


def _count_cell(number: int, others: list[str]) -> Cell:
    """`3`, or `2 (1 same)`: what is in the numbers, and what is not."""
    text = f"{number} ({', '.join(others)})" if others else str(number)
    return Cell(text, value=number, tone="warn" if others else "")


def _notes(
    content: ReportContent, effects: tuple[Effect, ...], short: Mapping[str, str]
) -> Iterator[str]:
    grid = content.experiment.grid
    for axis, levels in grid.axes.items() if grid else ():
        labels = [f"{label} = {label_of(value)}" for label, value in levels.items()
                  if label != label_of(value)]  # fmt: skip
        yield f"{short[axis]} is {axis}" + (f" ({', '.join(labels)})" if labels else "") + "."
    if any(e.same_student for e in effects):
        yield ("same: combinations left out because two of their students are the very same (a "
               "loss of weight 0 has no settings), or because another combination has the same "
               "students.")  # fmt: skip
    if any(e.unmeasured for e in effects):
        yield "without score: combinations left out because no seed of a variant has a score."
    if any(e.diverged for e in effects):
        yield ("diverged: trainings of these variants that diverged. The numbers are of the seeds "
               "that every variant in them survived.")  # fmt: skip
    yield from unverified_note(content, metrics_of(content, effects))
