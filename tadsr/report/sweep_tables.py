"""The winners of searches: their value in the search beside that on seeds it had not seen."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from tadsr.compare.claims import t_interval
from tadsr.config import MetricSpec
from tadsr.config.grid_names import short_keys
from tadsr.report.content import ReportContent
from tadsr.report.table import GAP, Cell, Column, Table
from tadsr.report.tables import label_cell
from tadsr.report.wording import caption, number


def sweep_tables(content: ReportContent) -> Iterator[Table]:
    """One table per search that is concluded."""
    for found in content.sweeps:
        specs = {spec.id: spec for spec in content.experiment.search_metrics(found["sweep"])}
        short = short_keys(list(content.experiment.sweeps[found["sweep"]].space))
        rows = [
            _winner(content, pick, specs[metric], short)
            for pick in found["picks"]
            for metric in found["metrics"]
        ]
        yield Table(
            name=f"sweep-{found['sweep']}",
            title=f"Search {found['sweep']}",
            caption=caption("tables", "sweep", images=found["images"], seed=found["seed"],
                            trials=_trials(found["trials"])),
            columns=(
                Column("variant", "Winner", numeric=False),
                Column("changes", "Changes", numeric=False),
                Column("metric", "Metric", numeric=False),
                Column("search", "In the search"),
                Column("confirmed", "Confirmed"),
                Column("seeds", "Seeds"),
            ),
            rows=(*rows, *_others(found, specs)),
            rules=(len(rows),),
        )  # fmt: skip


def _winner(
    content: ReportContent, pick: Mapping[str, Any], spec: MetricSpec, short: Mapping[str, str]
) -> tuple[Cell, ...]:
    scores = [entry[spec.id] for entry in pick["confirmed"].values() if entry is not None]
    wanted = len(pick["confirmed"])
    seeds = str(wanted) if len(scores) == wanted else f"{len(scores)} of {wanted}"
    return (
        label_cell(content, pick["variant"]),
        Cell(
            "; ".join(f"{short[key]} = {_setting(value)}" for key, value in pick["delta"].items())
        ),
        Cell(f"{spec.title} {spec.arrow}"),
        _value(pick["search"][spec.id], spec),
        _mean(scores, spec),
        Cell(seeds, value=len(scores), tone="" if len(scores) == wanted else "warn"),
    )


def _others(
    found: Mapping[str, Any], specs: Mapping[str, MetricSpec]
) -> Iterator[tuple[Cell, ...]]:
    """The teacher, and the references, which were trained with the search's seed."""
    given = {"teacher": found["teacher"], **found["references"]}
    for name, scores in given.items():
        for metric in found["metrics"]:
            spec = specs[metric]
            yield (
                Cell(name),
                Cell(""),
                Cell(f"{spec.title} {spec.arrow}"),
                _value(scores[metric], spec) if metric in scores else Cell(GAP, tone="muted"),
                Cell(GAP, tone="muted"),
                Cell(GAP, tone="muted"),
            )


def _value(value: float, spec: MetricSpec) -> Cell:
    return Cell(number(value, _places(spec)), value=value)


def _mean(scores: list[float], spec: MetricSpec) -> Cell:
    """Mean over seeds ± half of the 95 % interval."""
    if not scores:
        return Cell(GAP, tone="muted")
    samples = np.array(scores)
    mean = float(samples.mean())
    if len(samples) < 2 or np.ptp(samples) == 0:
        return _value(mean, spec)
    half = float(t_interval(samples)[2])
    return Cell(number(mean, _places(spec)), value=mean, half_width=number(half, _places(spec)),
                half_value=half)  # fmt: skip


def _places(spec: MetricSpec) -> int:
    """One more than usual: trials differ by little."""
    return spec.decimals + 1


def _setting(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _trials(states: Mapping[str, int]) -> str:
    """`6 trials (5 complete, 1 pruned)`."""
    listed = ", ".join(f"{count} {state}" for state, count in sorted(states.items()))
    return f"{sum(states.values())} trials ({listed})"
