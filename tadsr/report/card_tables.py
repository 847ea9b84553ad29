"""Tables about what was asked and with what it was measured: variants and metric cards."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from tadsr.config import MetricSpec
from tadsr.report.content import ReportContent
from tadsr.report.table import Cell, Column, Table
from tadsr.report.tables import label_cell
from tadsr.report.wording import caption

NOT_PICKED = "what its search will pick"


def variants_table(content: ReportContent) -> Table:
    """What each variant changes."""
    rows = []
    for name, variant in content.experiment.variants.items():
        delta = content.delta(name)
        changes = "; ".join(f"{key} = {_setting(value)}" for key, value in (delta or {}).items())
        unchanged = NOT_PICKED if delta is None else "nothing: the base settings"
        rows.append((
            label_cell(content, name),
            Cell(changes or unchanged),
            Cell(variant.description),
        ))  # fmt: skip
    return Table(
        name="variants",
        title="Variants",
        caption=caption("tables", "variants"),
        columns=(
            Column("variant", "Variant", numeric=False),
            Column("changes", "Changes", numeric=False),
            Column("description", "Description", numeric=False),
        ),
        rows=tuple(rows),
    )


def _setting(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def cards_table(content: ReportContent) -> Table:
    """The metric cards: what exactly was computed."""
    rows = [_card_row(content, metric) for metric in content.metrics]
    return Table(
        name="metrics",
        title="Metric cards",
        caption=caption("tables", "metrics"),
        columns=(
            Column("metric", "Metric", numeric=False),
            Column("implementation", "Computed by", numeric=False),
            Column("backbone", "Network inside", numeric=False),
            Column("images", "On", numeric=False),
            Column("options", "Options", numeric=False),
            Column("tensors", "Weights (sha256)", numeric=False),
            Column("verified", "Official weights", numeric=False),
        ),
        rows=tuple(rows),
    )


def _card_row(content: ReportContent, metric: MetricSpec) -> tuple[Cell, ...]:
    card = content.cards.get(metric.id)
    if card is None:
        text = content.missing.get(metric.id, "no score of it was found")
        return (Cell(metric.title), Cell(f"missing: {text}", tone="warn"), *[Cell("")] * 5)
    libraries = _listed({**card.get("libraries", {}), **card.get("context", {})})
    images = f"{card.get('color_space', '?')} of {card.get('bit_depth', '?')}-bit images"
    if card.get("border_crop"):
        images += f", {card['border_crop']} pixels cut from each side"
    if metric.needs_reference:
        grey = "on their own levels" if card.get("grey") == "levels" else "read as RGB"
        resize = card.get("reference_resize", "?")
        images += f"; grey pictures {grey}; resize of the reference {resize}"
    verified = Cell("yes" if card.get("verified") else "none needed")
    code = card.get("code")
    made_by = f"own file, sha256 {code}" if code else card.get("pyiqa", metric.pyiqa)
    if content.unverified(metric.id):
        verified = Cell("no: unverified", tone="warn")
    return (
        Cell(metric.title),
        Cell(f"{made_by} ({libraries}; {card.get('dtype', '?')})"),
        Cell(str(card.get("backbone", "?"))),
        Cell(images),
        Cell(_listed(card.get("options", {}))),
        Cell(str(card.get("tensors") or "none")),
        verified,
    )


def _listed(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{key} {_setting(value)}" for key, value in sorted(values.items()))


def flatten(value: Any, prefix: str = "") -> Iterator[tuple[str, str]]:
    """(dotted key, text) of every leaf of nested mappings and lists."""
    if isinstance(value, dict):
        for key in sorted(value):
            yield from flatten(value[key], f"{prefix}.{key}" if prefix else str(key))
    elif isinstance(value, list) and any(isinstance(item, (dict, list)) for item in value):
        for index, item in enumerate(value):
            yield from flatten(item, f"{prefix}.{index}")
    else:
        yield prefix, value if isinstance(value, str) else json.dumps(value)
