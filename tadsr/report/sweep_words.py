"""A hyper-parameter search in plain words, and its part of the page."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tadsr.config.sweep_space import Parameter
from tadsr.report.content import ReportContent
from tadsr.report.sweep_tables import tables_of
from tadsr.report.sweeps import STATES, Sweep, SweepPick, shown_setting
from tadsr.report.table import Table
from tadsr.report.wording import count, number

if TYPE_CHECKING:
    from tadsr.report.figures import ReportFigure

SAMPLERS = {
    "tpe": "TPE (tree-structured Parzen estimator)",
    "gp": "Gaussian process",
    "nsga2": "NSGA-II",
    "random": "random",
    "grid": "all points of a grid",
}
PRUNERS = {
    "hyperband": "Hyperband on the mean score",
    "wilcoxon": "Wilcoxon's signed-rank test against the best trial, image by image, at one look",
    "none": "none",
}


@dataclass(frozen=True)
class SweepPart:
    """What the page shows of one search."""

    name: str
    description: str
    facts: tuple[tuple[str, str], ...]
    """(heading, text) pairs."""
    tables: tuple[Table, ...]
    figures: tuple[ReportFigure, ...]


def sweep_parts(
    content: ReportContent, tables: Mapping[str, Table], figures: Sequence[ReportFigure]
) -> list[SweepPart]:
    """One per search, with those of `tables` and `figures` that are its own."""
    return [
        SweepPart(
            sweep.name, sweep.spec.description, tuple(facts(content, sweep)),
            tuple(tables[name] for name in tables_of(sweep)),
            tuple(f for f in figures if (f.section, f.group) == ("sweeps", sweep.name)),
        )
        for sweep in content.sweeps
    ]  # fmt: skip


def facts(content: ReportContent, sweep: Sweep) -> Iterator[tuple[str, str]]:
    """What was searched, for what, how, and what was found."""
    spec = sweep.spec
    space = "; ".join(f"{key} {_range(parameter)}" for key, parameter in spec.space.items())
    yield "Searched", f"{space}. All else as in {sweep.base}."
    yield "Objective", f"{_objectives(sweep)}. Test images took no part."
    for constraint in spec.constraints:
        yield "Constraint", (f"{constraint.metric.title} at most {constraint.margin:g} worse than "
                             "the teacher in all its steps")  # fmt: skip
    yield "Trials", _trials(sweep)
    yield "How", _how(sweep)
    for pick in sweep.picks:
        yield f"Found ({pick.which})", _found(content, sweep, pick)


def _range(parameter: Parameter) -> str:
    if parameter.choices:
        text = "one of " + ", ".join(map(shown_setting, parameter.choices))
    else:
        low, high = parameter.edges()
        text = f"from {low:g} to {high:g}"
        text += " (logarithmic)" * parameter.log
        text += f" in steps of {parameter.step:g}" if parameter.step else ""
    for key, values in parameter.when.items():
        text += f", where {key} is {' or '.join(map(shown_setting, values))}"
    return text


def _objectives(sweep: Sweep) -> str:
    goals = " and ".join(f"{m.title} ({m.direction} is better)" for m in sweep.objectives)
    return f"the mean over {count(sweep.n_images, 'validation image')} of {goals}"


def _trials(sweep: Sweep) -> str:
    budget = sweep.spec.budget
    asked = [count(len(sweep.spec.points()), "point")] if sweep.spec.sampler.kind == "grid" else []
    asked += [count(budget.trials, "trial")] if budget.trials else []
    asked += [f"as many as begin within {budget.hours:g} hours of trials"] if budget.hours else []
    states = [f"{sweep.states[s]} {s}" for s in STATES if sweep.states[s] or s != "waiting"]
    repeats = sum(trial.repeats is not None for trial in sweep.trials)
    again = f" ({repeats} repeating failed ones)" if repeats else ""
    return f"asked for: {', or '.join(asked)}; {', '.join(states)}{again}"


def _how(sweep: Sweep) -> str:
    sampler, spec = sweep.spec.sampler, sweep.spec
    first = f", the first {sampler.startup_trials} at random" * (sampler.kind in ("tpe", "gp"))
    pruner, workers = PRUNERS[spec.pruning.kind], count(spec.workers, "worker")
    return (f"sampler: {SAMPLERS[sampler.kind]}{first}; pruner: {pruner}; {workers}; every trial "
            f"trained with seed {spec.seed}")  # fmt: skip


def _found(content: ReportContent, sweep: Sweep, pick: SweepPick) -> str:
    settings = ", ".join(f"{key} = {shown_setting(v)}" for key, v in pick.delta.items())
    parts = []
    for metric in sweep.objectives:
        again = [scores[metric.id] for scores in pick.confirmed.values() if scores]
        text = f"{metric.title} {number(pick.search[metric.id], metric.decimals + 1)} in the search"
        if again:
            mean = number(sum(again) / len(again), metric.decimals + 1)
            text += f", {mean} over {count(len(again), 'fresh seed')}"
        parts.append(text)
    where = f"; in the tables of results as {pick.variant}" * (pick.variant in content.variants)
    return f"trial {pick.trial}: {settings}; {'; '.join(parts)}{where}"
