"""Published numbers as tables of their own: each row with its source, none ranked."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tadsr.config import METRICS, MetricSpec
from tadsr.config.data import DatasetSpec
from tadsr.report.content import ReportContent
from tadsr.report.part_means import part_notes
from tadsr.report.reference import (
    PublishedResult,
    PublishedRuntime,
    preset_of,
    published_results,
    published_runtime,
)
from tadsr.report.table import GAP, Cell, Column, Table
from tadsr.report.tables import label_cell, mean_cell, seeds_of, unverified_note
from tadsr.report.wording import caption, count

OURS = "this experiment"
NEUTRAL = {"psnr": "PSNR", "ssim": "SSIM"}
"""Titles without a colour space: what a published number was taken on is its source's matter."""


def published_tables(content: ReportContent) -> list[Table]:
    """One per test set that is a published one, and one of run times where there is any."""
    tables = []
    for name, spec in content.experiment.data.test.items():
        rows = published_results(preset_of(spec))
        if rows:
            tables.append(_results_table(content, name, spec, rows))
    if tables:
        tables.append(runtime_table(published_runtime()))
    return tables


def _results_table(
    content: ReportContent, dataset: str, spec: DatasetSpec, published: Sequence[PublishedResult]
) -> Table:
    metrics = [m for name, m in METRICS.items() if any(name in row.values for row in published)]
    altered = _altered(spec)
    ours = [] if altered else [*content.baselines, content.reference]
    rows = [_published_row(row, metrics) for row in published]
    rows += [_our_row(content, dataset, name, metrics) for name in ours]
    shown = [m for m in content.defined_metrics(dataset) if m.id in {m.id for m in metrics}]
    beside = (
        f"No row of this experiment stands beside them, because it uses {altered}."
        if altered
        else f"Below the line rows of this experiment: mean over "
        f"{count(content.dataset(dataset).n_images, 'image')} ± half of the 95 % interval over "
        f"{seeds_of(content)} (Student t)."
    )
    return Table(
        name=f"published-{dataset}",
        title=f"Published numbers: {published[0].dataset}",
        caption=caption("tables", "published", beside=beside,
                        protocol="; ".join(_protocol(content, shown)) or "none of these metrics"),
        columns=(
            Column("method", "Method", numeric=False),
            Column("nfe", "Network passes"),
            *(Column(m.id, NEUTRAL.get(m.id, m.title), m.arrow) for m in metrics),
            Column("source", "Source", numeric=False),
        ),
        rows=tuple(rows),
        notes=(
            *unverified_note(content, shown if ours else []),
            *part_notes(content, dataset, ours, shown if ours else []),
        ),
        rules=(len(published),),
    )  # fmt: skip


def _altered(spec: DatasetSpec) -> str:
    """What makes the images others than the published set's, if anything does."""
    changes = [f"the first {count(spec.limit, 'image')} only"] if spec.limit else []
    changes += [f"centre crops of {spec.size} pixels"] if spec.size else []
    return " and ".join(changes)


def _protocol(content: ReportContent, metrics: Sequence[MetricSpec]) -> Iterator[str]:
    for m in metrics:
        card = content.cards.get(m.id, {})
        cut = f", {count(m.border_crop, 'pixel')} cut from each side" if m.border_crop else ""
        inside = card.get("backbone")
        network = f", {inside}" if inside and inside != "none" else ""
        yield f"{m.title} on {card.get('color_space', m.color_space)}{cut}{network}"


def _published_row(row: PublishedResult, metrics: Sequence[MetricSpec]) -> tuple[Cell, ...]:
    texts = [row.values.get(m.id) for m in metrics]
    return (
        Cell(row.method),
        Cell(str(row.nfe), value=row.nfe),
        *(_value(text) for text in texts),
        Cell(row.source),
    )


def _our_row(
    content: ReportContent, dataset: str, name: str, metrics: Sequence[MetricSpec]
) -> tuple[Cell, ...]:
    steps = 1 if name in content.variants else content.experiment.evaluation.steps(name)
    asked = {m.id for m in content.metrics}
    cells = [mean_cell(content, dataset, name, content.metric(m.id)) if m.id in asked
             else Cell(GAP, tone="muted") for m in metrics]  # fmt: skip
    passes = Cell(str(steps), value=steps) if steps else Cell("")
    return (label_cell(content, name), passes, *cells, Cell(OURS))


def runtime_table(published: Sequence[PublishedRuntime]) -> Table:
    """Published run times, for orientation beside the cost table."""
    return Table(
        name="runtime-published",
        title="Published run times",
        caption=caption("tables", "runtime-published"),
        columns=(
            Column("method", "Method", numeric=False),
            Column("nfe", "Network passes"),
            Column("seconds_per_image", "Seconds an image"),
            Column("hardware", "Hardware", numeric=False),
            Column("lr_size", "LR size", numeric=False),
            Column("params_m", "Parameters (M)"),
            Column("memory_mb", "Memory (MB)"),
            Column("source", "Source", numeric=False),
        ),
        rows=tuple(
            (
                Cell(row.method),
                Cell(str(row.nfe), value=row.nfe),
                _value(row.seconds),
                Cell(row.hardware or GAP),
                Cell(row.lr_size or GAP),
                _value(row.params_m),
                _value(row.memory_mb),
                Cell(row.source),
            )
            for row in published
        ),
    )


def _value(text: str | None) -> Cell:
    """A number with the digits of its source."""
    return Cell(text, value=float(text)) if text else Cell(GAP, tone="muted")
