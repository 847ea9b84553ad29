"""What models cost to run, and what their making took."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from tadsr.evaluation.cost_records import ENOUGH_FOR_P95, STUDENTS, CostRecord
from tadsr.report.content import ReportContent
from tadsr.report.table import GAP, Cell, Column, Table, Tone
from tadsr.report.tables import label_cell
from tadsr.report.wording import caption, duration, quantity

DISTURBED = "§"
AT_LEAST = "≥"


def cost_table(content: ReportContent) -> Table:
    """Parameters, operations, latency and memory of each model at each size."""
    sizes = content.experiment.evaluation.cost.sizes
    kinds = {name: content.experiment.evaluation.kind(name) for name in content.baselines}
    computed = [name for name, kind in kinds.items() if kind != "images"]
    names = (*computed, *([STUDENTS] if content.variants else []))
    rows = [_row(content, name, side) for side in sizes for name in names]
    return Table(
        name="cost",
        title="Cost of one image",
        caption=caption("tables", "cost", slowest=_slowest_teacher(content) or "the teacher",
                        enough=ENOUGH_FOR_P95),
        columns=(
            Column("upscaler", "Upscaler", numeric=False),
            Column("lr_side", "LR side"),
            Column("steps", "Network passes"),
            Column("parameters", "Parameters", "↓"),
            Column("macs", "MACs", "↓"),
            Column("latency_median_seconds", "Median latency", "↓"),
            Column("latency_p95_seconds", "95th percentile", "↓"),
            Column("latency_slowest_seconds", "Slowest", "↓"),
            Column("runs", "Runs"),
            Column("speed_up", "Speed-up", "↑"),
            Column("peak_memory_bytes", "Peak tensor memory", "↓"),
        ),
        rows=tuple(rows),
        notes=tuple(_notes(content, names)),
        rules=tuple(len(names) * i for i in range(1, len(sizes))),
    )  # fmt: skip


def _row(content: ReportContent, name: str, side: int) -> tuple[Cell, ...]:
    cost = content.costs.get(name)
    record = cost.at(side) if cost else None
    steps = 1 if name == STUDENTS else content.experiment.evaluation.steps(name)
    start = (Cell(name), Cell(str(side), value=side), Cell(str(steps), value=steps))
    if record is None:
        return (*start, *[Cell(GAP, tone="muted")] * 8)
    tone: Tone = "warn" if record.disturbed else ""
    marks = DISTURBED if record.disturbed else ""
    macs = quantity(record.macs)
    times = [record.median, record.p95, record.slowest]
    speed_up, doubted = _speed_up(content, name, record)
    return (
        *start,
        Cell(quantity(record.all_parameters), value=record.all_parameters),
        Cell(f"{AT_LEAST} {macs}" if record.uncounted else macs, value=record.macs),
        Cell(quantity(times[0], "s"), value=times[0], marks=marks, tone=tone),
        *(Cell(quantity(seconds, "s"), value=seconds) for seconds in times[1:]),
        Cell(str(len(record.seconds)), value=len(record.seconds)),
        Cell(
            GAP if speed_up is None else f"{speed_up:.1f} ×",
            value=speed_up,
            marks=DISTURBED if doubted else "",
        ),
        Cell(quantity(record.peak_bytes, "B"), value=record.peak_bytes),
    )


def _speed_up(content: ReportContent, name: str, record: CostRecord) -> tuple[float | None, bool]:
    """Over the teacher's most steps, if that was measured with the same device and threads.

    And whether other work went on beside one of the two measurements.
    """
    teacher = content.costs.get(_slowest_teacher(content))
    base = teacher.at(record.lr_side) if teacher else None
    if base is None or name == "bicubic" or base.where != record.where:
        return None, False
    if base.median is None or not record.median:
        return None, False
    doubted = base is not record and (base.disturbed or record.disturbed)
    return base.median / record.median, doubted


def _slowest_teacher(content: ReportContent) -> str:
    teachers = [name for name in content.baselines if name.startswith("teacher-")]
    return max(teachers, key=lambda name: int(name.removeprefix("teacher-")), default="")


def _notes(content: ReportContent, names: tuple[str, ...]) -> Iterator[str]:
    if not content.experiment.evaluation.cost.sizes:
        yield "No cost was asked for (evaluation.cost.sizes)."
        return
    costs = {name: content.costs[name] for name in names if name in content.costs}
    records = [(name, record) for name, cost in costs.items() for record in cost.records]
    for where in dict.fromkeys(record.where for _, record in records):
        there = dict.fromkeys(name for name, record in records if record.where == where)
        who = "" if len(there) == len(costs) else f"{', '.join(there)}: "
        yield f"{who}measured on {where}."
    if STUDENTS in costs:
        yield (
            f"{STUDENTS}: all have the same network and take one step, so one was measured for "
            f"all, {costs[STUDENTS].measured_on}."
        )
    for name, record in records:
        side = f"{name} at {record.lr_side}"
        if record.missing:
            yield f"{GAP} {side}: {record.missing}."
        if record.uncounted:
            yield f"{AT_LEAST} {side}: {', '.join(record.uncounted)} not counted."
    yield from _disturbances(records)
    finished = [name for name in content.baselines if name not in names]
    if finished:
        yield f"{', '.join(finished)}: finished images, of which nobody here knows the cost."
    absent = [name for name in names if name not in costs]
    if absent:
        yield f"{GAP} {', '.join(absent)}: not measured yet; `tadsr evaluate` does it."


def _disturbances(records: list[tuple[str, CostRecord]]) -> Iterator[str]:
    found = [(name, record) for name, record in records if record.disturbed]
    if found:
        busy = [r.busy_elsewhere for _, r in found if r.busy_elsewhere is not None]
        cores = f" (up to {max(busy):.1f} cores busy elsewhere)" if busy else ""
        yield (
            f"{DISTURBED} Measured beside other work{cores}: alone it may be faster. "
            "`tadsr evaluate` on an idle machine measures again."
        )


def training_time_table(content: ReportContent) -> Table:
    """What making the teacher, the target pools and the students took."""
    rows = []
    teacher = content.runs.get("teacher", {}).get("seconds")
    if teacher is not None and not content.experiment.teacher.imported:
        rows.append((Cell("teacher"), Cell(duration(teacher), value=teacher)))
    for name, card in content.runs.items():
        if name.startswith("targets/"):
            pool = Cell(f"target pool {name.removeprefix('targets/')}")
            rows.append((pool, Cell(duration(card.get("seconds")), value=card.get("seconds"))))
    rules = (len(rows),)
    for variant in content.variants:
        taken = [
            cell.seconds
            for cell in content.cells_of(variant)
            if cell.status == "done" and cell.seconds is not None
        ]
        mean = float(np.mean(taken)) if taken else None
        rows.append((label_cell(content, variant), Cell(duration(mean), value=mean)))
    return Table(
        name="training-time",
        title="Time of training",
        caption=caption("tables", "training-time"),
        columns=(Column("what", "What", numeric=False), Column("seconds", "Time")),
        rows=tuple(rows),
        rules=rules,
    )
