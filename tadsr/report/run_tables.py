"""Tables about the runs: fidelity to the teacher, and the state of each cell."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tadsr.compare.claims import t_interval
from tadsr.report.content import ReportContent
from tadsr.report.table import GAP, Cell, Column, Table
from tadsr.report.tables import label_cell, lost_note, seeds_cell, seeds_of
from tadsr.report.wording import TONES, caption, decimals_for, duration, half_text, number


def fidelity_table(content: ReportContent) -> Table:
    """How far the students came towards the teacher's answers."""
    rows = []
    for variant in content.variants:
        cells = [cell for cell in content.cells_of(variant) if cell.status == "done"]
        pairs = [
            (cell.results["val_start_mse"], cell.results["val_target_mse"])
            for cell in cells
            if {"val_start_mse", "val_target_mse"} <= set(cell.results)
        ]
        start, end = np.array(pairs, dtype=np.float64).reshape(-1, 2).T
        ratio = float(end.mean() / start.mean()) if pairs and start.mean() > 0 else None
        rows.append((
            label_cell(content, variant),
            seeds_cell(content, variant),
            _interval_cell(start),
            _interval_cell(end),
            Cell(GAP if ratio is None else f"{100 * ratio:.1f} %", value=ratio),
        ))  # fmt: skip
    return Table(
        name="fidelity",
        title="Distance to the teacher's answers",
        caption=caption("tables", "fidelity", val_pairs=content.experiment.targets.val_pairs,
                        seeds=seeds_of(content)),
        columns=(
            Column("variant", "Variant", numeric=False),
            Column("seeds", "Seeds"),
            Column("start_mse", "Before", "↓"),
            Column("end_mse", "After", "↓"),
            Column("ratio", "Left of it", "↓"),
        ),
        rows=tuple(rows),
        notes=lost_note(content),
    )  # fmt: skip


def _interval_cell(samples: NDArray[np.float64]) -> Cell:
    """Mean of `samples` (S,) ± half of its 95 % t interval."""
    if not len(samples):
        return Cell(GAP, tone="muted")
    mean = float(samples.mean())
    places = decimals_for(mean, 4)
    if len(samples) < 2 or np.ptp(samples) == 0:
        return Cell(number(mean, places), value=mean)
    half = float(t_interval(samples)[2])
    return Cell(
        number(mean, places), value=mean, half_width=half_text(half, places), half_value=half
    )


def cells_table(content: ReportContent) -> Table:
    """Every cell of the grid: state, time, end result and identity."""
    rows = []
    for cell in content.cells:
        card = content.runs.get(f"students/{cell.name}", {})
        error = cell.results.get("val_target_mse")
        rows.append((
            Cell(cell.variant),
            Cell(str(cell.seed), value=cell.seed),
            Cell(cell.status, tone=TONES.get(cell.status, "")),
            Cell(duration(cell.seconds), value=cell.seconds),
            Cell(number(error, decimals_for(error)), value=error),
            Cell(str(card.get("recipe_digest", ""))[:12] or GAP),
            Cell(cell.message),
        ))  # fmt: skip
    variants = [cell.variant for cell in content.cells]
    return Table(
        name="cells",
        title="Cells",
        caption=caption("tables", "cells"),
        columns=(
            Column("variant", "Variant", numeric=False),
            Column("seed", "Seed"),
            Column("status", "Status", numeric=False),
            Column("seconds", "Training"),
            Column("val_target_mse", "Error to targets", "↓"),
            Column("recipe", "Recipe", numeric=False),
            Column("message", "Message", numeric=False),
        ),
        rows=tuple(rows),
        rules=tuple(i for i in range(1, len(variants)) if variants[i] != variants[i - 1]),
    )
