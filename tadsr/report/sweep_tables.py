"""Tables of a hyper-parameter search: its trials, and what became of its winners."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from tadsr.compare.claims import t_interval
from tadsr.config import MetricSpec
from tadsr.config.sweep import Constraint
from tadsr.report.content import ReportContent
from tadsr.report.sweeps import Sweep, SweepPick, SweepTrial, shown_setting
from tadsr.report.table import GAP, Cell, Column, Table, Tone
from tadsr.report.tables import DOUBTED, doubted_note
from tadsr.report.wording import caption, count, half_text, number

TONES: dict[str, Tone] = {"pruned": "muted", "diverged": "warn", "failed": "bad"}
"""Of a trial's state."""


def sweep_tables(content: ReportContent) -> Iterator[Table]:
    """Two per search; nothing without one."""
    for sweep in content.sweeps:
        yield confirmed_table(sweep)
        yield trials_table(sweep)


def tables_of(sweep: Sweep) -> tuple[str, str]:
    """The names of a search's tables, in the order of the page."""
    return f"sweep-{sweep.name}-confirmed", f"sweep-{sweep.name}-trials"


def trials_table(sweep: Sweep) -> Table:
    """Every trial with its settings and its scores; the best ones marked."""
    others = sweep.metrics[len(sweep.objectives) :]
    columns = [
        Column("trial", "Trial", numeric=False),
        Column("state", "State", numeric=False),
        Column("picked", "Picked", numeric=False),
        *(Column(key, sweep.short[key], numeric=not p.choices)
          for key, p in sweep.spec.space.items()),
        *(Column(m.id, m.title, m.arrow) for m in (*sweep.objectives, *others)),
        *(Column(f"{c.metric.id}_violation", f"{c.metric.title} beyond its bound", "↓")
          for c in sweep.spec.constraints),
        Column("images", "Images seen"),
        Column("note", "Note", numeric=False),
    ]  # fmt: skip
    return Table(
        name=tables_of(sweep)[1],
        title=f"{sweep.name}: trials",
        caption=caption("tables", "sweep-trials", images=count(sweep.n_images, "validation image"),
                        seed=sweep.spec.seed),
        columns=tuple(columns),
        rows=tuple(_trial_row(sweep, trial) for trial in sweep.trials),
        notes=tuple(_trial_notes(sweep)),
    )  # fmt: skip


def _trial_row(sweep: Sweep, trial: SweepTrial) -> tuple[Cell, ...]:
    picked = sweep.picked.get(trial.number, "")
    if not picked and trial.number in sweep.front:
        picked = "front"
    return (
        Cell(str(trial.number)),
        Cell(trial.state, tone=TONES.get(trial.state, "")),
        Cell(picked or GAP),
        *(_setting(trial, key) for key in sweep.spec.space),
        *(_score(sweep, trial, metric) for metric in sweep.metrics),
        *(_violation(trial, c) for c in sweep.spec.constraints),
        Cell(str(trial.images), value=trial.images),
        Cell(_note(trial)),
    )


def _setting(trial: SweepTrial, key: str) -> Cell:
    value = trial.settings.get(key)
    if value is None:
        return Cell(GAP)
    numeric = isinstance(value, int | float) and not isinstance(value, bool)
    return Cell(shown_setting(value), value=value if numeric else None)


def _score(sweep: Sweep, trial: SweepTrial, metric: MetricSpec) -> Cell:
    value = trial.scores.get(metric.id)
    if value is None:
        return Cell(GAP)
    ranked = trial.complete and metric in sweep.objectives and metric.id not in sweep.doubted
    best = ranked and value == _best(sweep, metric)
    return replace(_number_cell(sweep, value, metric), rank=1 if best else 0,
                   tone="" if trial.complete else "muted")  # fmt: skip


def _number_cell(sweep: Sweep, value: float | None, metric: MetricSpec) -> Cell:
    """A score, marked where the metric's weights are unverified."""
    if value is None:
        return Cell(GAP)
    marks = DOUBTED if metric.id in sweep.doubted else ""
    return Cell(number(value, _decimals(metric)), value=value, marks=marks)


def _best(sweep: Sweep, metric: MetricSpec) -> float | None:
    """Of the trials that may be picked."""
    values = [trial.scores[metric.id] for trial in sweep.complete if trial.feasible]
    return (max if metric.higher_is_better else min)(values, default=None)


def _violation(trial: SweepTrial, constraint: Constraint) -> Cell:
    value = trial.violations.get(constraint.name)
    if value is None:
        return Cell(GAP)
    return Cell(number(value, _decimals(constraint.metric), sign=True), value=value,
                tone="bad" if value > 0 else "")  # fmt: skip


def _decimals(metric: MetricSpec) -> int:
    """One more than in the tables of results: trials differ by little."""
    return metric.decimals + 1


def _note(trial: SweepTrial) -> str:
    parts = [f"repeats trial {trial.repeats}"] if trial.repeats is not None else []
    return "; ".join([*parts, *([trial.message] if trial.message else [])]) or GAP


def _trial_notes(sweep: Sweep) -> Iterator[str]:
    yield from _names(sweep)
    yield from _doubts(sweep)
    if sweep.states["pruned"]:
        yield "Scores of pruned trials are those at their last look, after the images they saw."
    if sweep.spec.constraints:
        yield "Beyond its bound: above 0 where a trial breaks the constraint, by so much."
    if any(key not in t.settings for t in sweep.complete for key in sweep.spec.space):
        yield f"{GAP} as a setting: it does not count beside the trial's other settings."


def _names(sweep: Sweep) -> Iterator[str]:
    for key, short in sweep.short.items():
        if short != key:
            yield f"{short} is {key}."


def _doubts(sweep: Sweep) -> list[str]:
    return doubted_note([metric for metric in sweep.metrics if metric.id in sweep.doubted])


def confirmed_table(sweep: Sweep) -> Table:
    """Each winner's value in the search beside that of its students trained anew."""
    return Table(
        name=tables_of(sweep)[0],
        title=f"{sweep.name}: found and confirmed",
        caption=caption("tables", "sweep-confirmed", seed=sweep.spec.seed,
                        images=count(sweep.n_images, "validation image"),
                        trials=count(len(sweep.complete), "complete trial")),
        columns=(
            Column("variant", "Variant", numeric=False),
            Column("metric", "Metric", numeric=False),
            Column("trial", "Trial"),
            *(Column(key, sweep.short[key], numeric=not p.choices)
              for key, p in sweep.spec.space.items()),
            Column("search", "In the search"),
            Column("confirmed", "Confirmed"),
            Column("seeds", "Seeds"),
            Column("difference", "Confirmed − search"),
            Column("teacher", f"teacher-{sweep.teacher_steps}"),
            *(Column(f"reference_{name}", name) for name in sweep.references),
        ),
        rows=tuple(_confirmed_row(sweep, pick, metric)
                   for pick in sweep.picks for metric in sweep.metrics),
        notes=tuple(_confirmed_notes(sweep)),
        rules=tuple(range(len(sweep.metrics), len(sweep.picks) * len(sweep.metrics),
                          len(sweep.metrics))),
    )  # fmt: skip


def _confirmed_row(sweep: Sweep, pick: SweepPick, metric: MetricSpec) -> tuple[Cell, ...]:
    seeds = [scores[metric.id] for scores in pick.confirmed.values() if scores]
    search = pick.search[metric.id]
    mean = float(np.mean(seeds)) if seeds else None
    settings = next(trial for trial in sweep.trials if trial.number == pick.trial)
    levels = [sweep.teacher, *sweep.references.values()]
    return (
        Cell(pick.variant),
        Cell(f"{metric.title} {metric.arrow}"),
        Cell(str(pick.trial), value=pick.trial),
        *(_setting(settings, key) for key in sweep.spec.space),
        _number_cell(sweep, search, metric),
        _mean_cell(sweep, seeds, metric),
        _seeds_cell(len(seeds), len(pick.confirmed)),
        Cell(GAP) if mean is None else
        Cell(number(mean - search, _decimals(metric), sign=True), value=mean - search),
        *(_number_cell(sweep, scores.get(metric.id), metric) for scores in levels),
    )  # fmt: skip


def _seeds_cell(there: int, wanted: int) -> Cell:
    if there == wanted:
        return Cell(str(there), value=there)
    return Cell(f"{there} of {wanted}", value=there, tone="warn")


def _mean_cell(sweep: Sweep, seeds: list[float], metric: MetricSpec) -> Cell:
    if len(seeds) < 2:
        return _number_cell(sweep, seeds[0] if seeds else None, metric)
    half = float(t_interval(np.asarray(seeds))[2])
    return replace(_number_cell(sweep, float(np.mean(seeds)), metric),
                   half_width=half_text(half, _decimals(metric)), half_value=half)  # fmt: skip


def _confirmed_notes(sweep: Sweep) -> Iterator[str]:
    yield from _names(sweep)
    yield from _doubts(sweep)
    picks = {pick.trial: [p.variant for p in sweep.picks if p.trial == pick.trial]
             for pick in sweep.picks}  # fmt: skip
    for trial, variants in picks.items():
        if len(variants) > 1:
            yield f"{' and '.join(variants)} are the same trial ({trial})."
    for pick in sweep.picks:
        lost = [str(seed) for seed, scores in pick.confirmed.items() if scores is None]
        if lost:
            yield f"{pick.variant}: no finished student of seed {', '.join(lost)}."
