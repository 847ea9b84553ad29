"""The classic ablation table as a figure: what each variant trains with, and what that changes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tadsr.compare import UNVERIFIED
from tadsr.config import MetricSpec
from tadsr.report.card_tables import flatten
from tadsr.report.content import ReportContent
from tadsr.report.drawing import INK, MUTED, PALETTE, TWO_COLUMNS, new_figure, stamp
from tadsr.report.figures.effects import EffectPanel, EffectRow, described_samples, effects_data
from tadsr.report.figures.figure import ReportFigure
from tadsr.report.wording import caption, number

TICK, NONE = "✓", "–"
REFERENCES = {"target": "HSD", "hr": "HR", "noise": "SDS"}
"""Of score distillation, as the papers call them."""
BARS = 1.5
"""Least width of the bars (inches); a long table makes the figure wider than a page's columns."""
MOST_CHANGES = 2
"""Settings beside the losses' ticks that are written out."""


@dataclass(frozen=True)
class ComponentRow:
    """One variant: a cell per column, and its difference to the reference (None: not measured)."""

    variant: str
    cells: tuple[str, ...]
    effect: EffectRow | None


@dataclass(frozen=True)
class ComponentTable:
    """All variants at one endpoint; the first row is the reference."""

    dataset: str
    metric: MetricSpec
    columns: tuple[str, ...]
    """Names of losses, and `other` if a variant differs elsewhere."""
    rows: tuple[ComponentRow, ...]
    panel: EffectPanel
    unverified: bool = False


def component_data(content: ReportContent) -> ComponentTable | None:
    """The losses that some variant trains with, at the first endpoint of the effects' figure.

    None without a difference to show.
    """
    panels = effects_data(content)
    if not panels:
        return None
    panel = panels[0]
    settings = {name: variant_settings(content, name) for name in content.variants}
    losses = list(dict.fromkeys(loss for of in settings.values() for loss in of["losses"]))
    changes = {name: _other_changes(of, settings[content.reference], losses)
               for name, of in settings.items()}  # fmt: skip
    other = ("other",) if any(changes.values()) else ()
    effects = {row.variant: row for row in panel.rows}
    names = (content.reference, *(n for n in content.variants if n != content.reference))
    weights = {loss: {of["losses"][loss]["weight"] for of in settings.values()
                      if loss in of["losses"]} for loss in losses}  # fmt: skip
    rows = []
    for name in names:
        cells = [_loss_cell(settings[name]["losses"].get(loss), len(weights[loss]) > 1)
                 for loss in losses]  # fmt: skip
        cells += [_changes_cell(changes[name])] if other else []
        rows.append(ComponentRow(name, tuple(cells), effects.get(name)))
    columns = (*losses, *other)
    return ComponentTable(panel.dataset, panel.metric, columns, tuple(rows), panel,
                          panel.unverified)  # fmt: skip


def variant_settings(content: ReportContent, variant: str) -> dict[str, Any]:
    """`student` (its losses of weight 0 gone) and `targets` of a variant, as nested mappings."""
    cell = content.cell(variant)
    student = cell.student.normalised()
    return {"losses": student["losses"], "training": student["training"],
            "targets": cell.targets.model_dump(mode="json")}  # fmt: skip


def _loss_cell(loss: Mapping[str, Any] | None, weights_differ: bool) -> str:
    """A tick, or the switch that names the loss's kind; its weight where weights differ."""
    if loss is None:
        return NONE
    kind = REFERENCES.get(loss.get("reference", ""), loss.get("discriminator", TICK))
    text = str(kind).replace("_", " ")
    return f"{text} {loss['weight']:.4g}" if weights_differ else text


def _other_changes(
    settings: Mapping[str, Any], reference: Mapping[str, Any], losses: list[str]
) -> dict[str, str]:
    """Settings that differ from the reference's and that no loss's cell shows."""
    shown = {f"losses.{loss}.{key}" for loss in losses
             for key in ("weight", "reference", "discriminator")}  # fmt: skip
    common = {loss for loss in losses if loss in settings["losses"] and loss in reference["losses"]}
    mine, theirs = (dict(flatten(dict(side))) for side in (settings, reference))
    return {
        key: value
        for key, value in mine.items()
        if value != theirs.get(key) and key not in shown
        and (not key.startswith("losses.") or key.split(".")[1] in common)
    }  # fmt: skip


def _changes_cell(changes: Mapping[str, str]) -> str:
    if len(changes) > MOST_CHANGES:
        return f"{len(changes)} settings"
    return "\n".join(
        f"{key.rsplit('.', 1)[1].replace('_', ' ')}: {value.strip('[]')}"
        for key, value in changes.items()
    )


def draw_components(table: ComponentTable) -> Figure:
    """The table on the left, bars with intervals on the right, row by row."""
    lines = [max(1, *(cell.count("\n") + 1 for cell in row.cells)) for row in table.rows]
    step = 0.24 if len(table.rows) <= 20 else 0.18
    extra = 0.1 * sum(n - 1 for n in lines)
    widths = _widths(table)
    bars = max(BARS, TWO_COLUMNS - sum(widths))
    figure = new_figure(sum(widths) + bars, 0.95 + step * len(table.rows) + extra)
    left, right = figure.subplots(1, 2, sharey=True, width_ratios=(sum(widths), bars))
    left.set_ylim(len(table.rows) - 0.5, -0.5)
    _draw_cells(left, table, widths)
    _draw_bars(right, table)
    return figure


def _widths(table: ComponentTable) -> list[float]:
    """Inches of the columns, names first."""
    names = [row.variant for row in table.rows]
    texts = [names] + [
        [line for row in table.rows for line in row.cells[i].split("\n")]
        + _heading(column).split("\n")
        for i, column in enumerate(table.columns)
    ]  # fmt: skip
    return [0.12 + 0.046 * max(len(text) for text in column) for column in texts]


def _heading(column: str) -> str:
    return column.replace("_", "\n")


def _draw_cells(ax: Axes, table: ComponentTable, widths: list[float]) -> None:
    ax.set_axis_off()
    ax.set_xlim(0, sum(widths))
    starts = [sum(widths[:i]) for i in range(len(widths))]
    heads = ["", *table.columns]
    for start, width, head in zip(starts, widths, heads, strict=True):
        last = head == "other"
        x = start if last else start + width / 2
        ax.text(x, -0.62, _heading(head), ha="left" if last else "center", va="bottom",
                fontsize=6.5, weight="bold", linespacing=1.0)  # fmt: skip
    for place, row in enumerate(table.rows):
        if place:
            ax.axhline(place - 0.5, color=MUTED, lw=0.3)
        ax.text(0, place, row.variant, va="center", fontsize=7,
                weight="bold" if place == 0 else "normal")  # fmt: skip
        for start, width, head, cell in zip(
            starts[1:], widths[1:], table.columns, row.cells, strict=True
        ):
            last = head == "other"
            ax.text(start if last else start + width / 2, place, cell, va="center",
                    ha="left" if last else "center", fontsize=6.5, linespacing=0.95,
                    color=MUTED if cell == NONE else INK)  # fmt: skip
    ax.axhline(-0.5, color=INK, lw=0.8)


def _draw_bars(ax: Axes, table: ComponentTable) -> None:
    up = table.metric.higher_is_better
    ax.axvline(0, color=INK, lw=0.9)
    for place, row in enumerate(table.rows):
        if row.effect is None:
            text = "reference" if place == 0 else "not measured"
            ax.text(0, place, f"  {text}", va="center", fontsize=6.5, color=MUTED)
            continue
        effect = row.effect
        better = (effect.delta > 0) == bool(up)
        # Hatched and pale is worse, plain is better: told apart without colour.
        ax.barh(place, effect.delta, 0.55, color=PALETTE[0] if better else PALETTE[1],
                hatch=None if better else "////", edgecolor=INK, linewidth=0.4,
                alpha=0.75)  # fmt: skip
        if effect.low is not None and effect.high is not None:
            ax.plot([effect.low, effect.high], [place, place], color=INK, lw=1.0)
            ax.plot([effect.low, effect.high], [place, place], "|", color=INK, markersize=5)
    ax.set_title(f"Δ {table.metric.title} {table.metric.arrow} on {table.dataset}")
    ax.tick_params(axis="y", length=0, labelleft=False)
    ax.spines["left"].set_visible(False)
    ax.grid(visible=False, axis="y")
    ax.margins(x=0.08)
    ax.locator_params(axis="x", nbins=4)
    if table.unverified:
        stamp(ax, UNVERIFIED)


def component_figures(content: ReportContent) -> Iterator[ReportFigure]:
    """The component table, where there is a difference to show."""
    table = component_data(content)
    if table:
        words = caption(
            "figures", "components", reference=content.reference, metric=table.metric.title,
            dataset=table.dataset, samples=described_samples(content, [table.panel]),
            direction=table.metric.direction,
        )  # fmt: skip
        yield ReportFigure("differences", "components", "Components and what they change", words,
                           described_components(table), draw_components(table))  # fmt: skip


def described_components(table: ComponentTable) -> str:
    """The rows in words."""
    rows: list[str] = []
    for row in table.rows:
        cells = [cell.replace(TICK, "yes").replace(NONE, "no").replace("\n", ", ")
                 for cell in row.cells]  # fmt: skip
        parts = [f"{column} {cell}" for column, cell in zip(table.columns, cells, strict=True)
                 if cell]  # fmt: skip
        effect, places = row.effect, table.metric.decimals
        if effect is None:
            delta = "no difference measured" if rows else "reference"
        else:
            delta = number(effect.delta, places, sign=True)
            if effect.low is not None:
                ends = (number(end, places, sign=True) for end in (effect.low, effect.high))
                delta += " [" + ", ".join(ends) + "]"
        rows.append(f"{row.variant}: {', '.join(parts)}; {delta}")
    return f"Difference in {table.metric.title} on {table.dataset}. " + ". ".join(rows)
