"""The figure of the frequencies that score distillation pushes, HSD beside SDS."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tadsr.report.content import ReportContent
from tadsr.report.drawing import DASHES, INK, MARKERS, MUTED, PALETTE, TWO_COLUMNS, new_figure
from tadsr.report.figures.figure import ReportFigure
from tadsr.report.wording import caption

WHITE = 1 / 3
"""Mean frequency of white noise: two thirds of the largest that is counted, 0.5."""
TITLES = {"target": "HSD", "noise": "SDS"}


@dataclass(frozen=True)
class SpectrumPanel:
    """The spectra of one kind of score distillation, by t."""

    title: str
    powers: Mapping[int, tuple[float, ...]]
    """Power density per bin relative to its mean over the bins: 1 is white."""
    means: tuple[float, ...]
    """Mean frequency at each t."""


@dataclass(frozen=True)
class SpectrumData:
    """What the figure shows."""

    frequencies: tuple[float, ...]
    unit: str
    panels: tuple[SpectrumPanel, ...]
    gap: float
    """Mean frequency of z_stu - z_tch itself."""


def spectrum_data(stored: Mapping[str, Any]) -> SpectrumData | None:
    """From a target pool's spectrum.json; None where there is none."""
    if not stored:
        return None
    steps = len(stored["target"])
    # The three that the method draws from, one in the middle, the last.
    shown = sorted({0, 1, 2, steps // 2, steps - 1} & set(range(steps)))
    panels = [
        SpectrumPanel(
            title,
            {t: _relative(stored[kind][t]["power"]) for t in shown},
            tuple(at["frequency"] for at in stored[kind]),
        )
        for kind, title in TITLES.items()
    ]
    gap = stored["gap"]["frequency"]
    return SpectrumData(tuple(stored["frequencies"]), stored["unit"], tuple(panels), gap)


def _relative(power: Sequence[float]) -> tuple[float, ...]:
    mean = sum(power) / len(power)
    return tuple(value / mean for value in power)


def draw_spectrum(data: SpectrumData, figure: Figure) -> None:
    """Spectra by t for both kinds, and their mean frequencies over t."""
    left, middle, right = figure.subplots(1, 3)
    middle.sharey(left)  # the two are there to be compared
    for ax, panel in zip((left, middle), data.panels, strict=True):
        for index, (t, power) in enumerate(panel.powers.items()):
            ax.plot(data.frequencies, power, DASHES[index % len(DASHES)], label=f"t = {t}",
                    color=PALETTE[index], marker=MARKERS[index], markevery=4,
                    markersize=2.5)  # fmt: skip
        ax.axhline(1, color=MUTED, lw=0.8, ls=":")
        ax.set(title=panel.title, xlabel=data.unit, yscale="log")
    left.set_ylabel("power density, white noise = 1")
    _legend_below(left)
    for index, panel in enumerate(data.panels):
        right.plot(range(len(panel.means)), panel.means, DASHES[index], color=PALETTE[index],
                   marker="os"[index], markersize=3, label=panel.title)  # fmt: skip
    right.axhline(data.gap, color=INK, lw=0.8, ls="--", label="the gap itself")
    right.axhline(WHITE, color=MUTED, lw=0.8, ls=":", label="white noise")
    right.set(title="mean frequency", xlabel="t", ylabel=data.unit)
    right.xaxis.get_major_locator().set_params(integer=True)
    _legend_below(right)


def _legend_below(ax: Axes) -> None:
    """Under its axes, where it hides no line."""
    ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.27), ncols=2, fontsize=6.5,
              columnspacing=1.0, handlelength=2.2)  # fmt: skip


def described(data: SpectrumData) -> str:
    """The mean frequencies in words, for those who do not see the figure."""
    parts = [
        f"{panel.title} {panel.means[0]:.3f} at t = 0 to {panel.means[-1]:.3f} at t = "
        f"{len(panel.means) - 1}"
        for panel in data.panels
    ]
    return f"mean frequency ({data.unit}): {'; '.join(parts)}; the gap itself {data.gap:.3f}"


def spectrum_figures(content: ReportContent) -> Iterator[ReportFigure]:
    """The spectra, where the targets have them."""
    data = spectrum_data(content.spectrum)
    if data:
        figure = new_figure(TWO_COLUMNS, 2.7)
        draw_spectrum(data, figure)
        words = caption("figures", "spectrum", pairs=content.spectrum["pairs"])
        yield ReportFigure("training", "spectrum", "What score distillation pushes", words,
                           described(data), figure)  # fmt: skip
