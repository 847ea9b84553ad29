"""How much of an objective's spread each setting of a search explains, by two methods."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tadsr.config import MetricSpec
from tadsr.report.content import ReportContent
from tadsr.report.drawing import ONE_COLUMN, PALETTE, PAPER, TWO_COLUMNS, new_figure
from tadsr.report.figures.figure import ReportFigure
from tadsr.report.figures.sweep_axes import figure_of, stamp_doubted
from tadsr.report.sweeps import Sweep
from tadsr.report.table import GAP
from tadsr.report.wording import number

METHODS = {"fanova": "fANOVA", "ped_anova": "PED-ANOVA"}


@dataclass(frozen=True)
class ImportancePanel:
    """One objective: per setting the share by each method, None where one knows none."""

    metric: MetricSpec
    shares: tuple[tuple[str, tuple[float | None, ...]], ...]
    """(setting, shares in the order of `METHODS`), the largest first."""


def importance_data(sweep: Sweep) -> list[ImportancePanel]:
    """A panel per objective that has importances; nothing for a single setting, which has all."""
    if len(sweep.spec.space) < 2:
        return []
    panels = []
    for metric in sweep.objectives:
        found = sweep.importances.get(metric.id, {})
        if any(found.get(method) for method in METHODS):
            rows = [(sweep.short[key], tuple(found.get(m, {}).get(key) for m in METHODS))
                    for key in sweep.spec.space]  # fmt: skip
            rows.sort(key=lambda row: -max(share or 0.0 for share in row[1]))
            panels.append(ImportancePanel(metric, tuple(rows)))
    return panels


def draw_importance(sweep: Sweep, panels: Sequence[ImportancePanel]) -> Figure:
    """Bars of both methods under each other; the second one's are hatched."""
    width = ONE_COLUMN if len(panels) == 1 else TWO_COLUMNS
    figure = new_figure(width, 1.0 + 0.36 * len(sweep.spec.space))
    axes = figure.subplots(1, len(panels), squeeze=False)[0]
    for panel, ax in zip(panels, axes, strict=True):
        _draw(ax, panel)
        stamp_doubted(ax, sweep, [panel.metric.id])
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=2, fontsize=6.5)
    return figure


def _draw(ax: Axes, panel: ImportancePanel) -> None:
    for i, title in enumerate(METHODS.values()):
        widths = [shares[i] or 0.0 for _, shares in panel.shares]
        places = [row + (0.19 if i else -0.19) for row in range(len(widths))]
        ax.barh(places, widths, 0.34, color=PALETTE[i], edgecolor=PAPER, lw=0.5, label=title,
                hatch="////" if i else None)  # fmt: skip
        for place, (_, shares) in zip(places, panel.shares, strict=True):
            ax.text((shares[i] or 0.0) + 0.02, place, number(shares[i], 2), va="center",
                    fontsize=6.5)  # fmt: skip
    ax.set_yticks(range(len(panel.shares)), [name for name, _ in panel.shares])
    ax.set(title=panel.metric.title, xlabel="share of importance", xlim=(0, 1.16),
           ylim=(len(panel.shares) - 0.45, -0.55), xticks=[0, 0.25, 0.5, 0.75, 1])  # fmt: skip
    ax.grid(visible=False, axis="y")
    ax.tick_params(axis="y", length=0)


def importance_figures(content: ReportContent) -> Iterator[ReportFigure]:
    """One per search over several settings with enough trials."""
    for sweep in content.sweeps:
        if panels := importance_data(sweep):
            yield figure_of(sweep, "importance", "which setting matters", _described(panels),
                            draw_importance(sweep, panels))  # fmt: skip


def _described(panels: Sequence[ImportancePanel]) -> str:
    parts = []
    for panel in panels:
        rows = "; ".join(
            f"{name} " + ", ".join(
                f"{title} {number(share, 2) if share is not None else GAP}"
                for title, share in zip(METHODS.values(), shares, strict=True))
            for name, shares in panel.shares
        )  # fmt: skip
        parts.append(f"{panel.metric.title}: {rows}")
    return f"Importance. {'. '.join(parts)}"
