"""What the figures of a search share: places of settings on an axis, sizes, and words."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from tadsr.compare import UNVERIFIED
from tadsr.config.grid_names import label_of
from tadsr.config.sweep_space import Parameter
from tadsr.report.drawing import stamp
from tadsr.report.figures.figure import ReportFigure
from tadsr.report.sweeps import Sweep
from tadsr.report.wording import caption, count

MOST_TICKS = 5


@dataclass(frozen=True)
class Scale:
    """Where values of a setting or scores lie between 0 and 1: linear, logarithmic, or by name."""

    title: str
    low: float = 0.0
    high: float = 1.0
    log: bool = False
    choices: tuple[Any, ...] = ()

    def place(self, value: Any) -> float:
        """Between 0 and 1."""
        if self.choices:
            return (self.choices.index(value) + 0.5) / len(self.choices)
        low, high, value = (self._scaled(v) for v in (self.low, self.high, value))
        return (value - low) / (high - low) if high > low else 0.5

    def _scaled(self, value: float) -> float:
        return math.log10(value) if self.log else float(value)

    def ticks(self) -> list[tuple[float, str]]:
        """(place, text) of round values, at most `MOST_TICKS`, or of every choice."""
        if self.choices:
            return [(self.place(choice), label_of(choice)) for choice in self.choices]
        values = self._decades() if self.log else self._round_values()
        return [(self.place(value), f"{value:g}") for value in values]

    def _round_values(self) -> list[float]:
        found = MaxNLocator(MOST_TICKS - 1).tick_values(self.low, self.high)
        reach = 1e-9 * (self.high - self.low)
        return [round(float(v), 12) for v in found if self.low - reach <= v <= self.high + reach]

    def _decades(self) -> list[float]:
        powers = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
        for steps in ((1, 2, 5), (1, 3), (1,)):
            found = [float(f"{step}e{power}") for power in powers for step in steps]
            inside = [value for value in found if self.low <= value <= self.high]
            if len(inside) <= MOST_TICKS:
                return inside if len(inside) > 1 else [self.low, self.high]
        return inside[:: math.ceil(len(inside) / MOST_TICKS)]


def scale_of(title: str, parameter: Parameter) -> Scale:
    """The scale of a setting that is searched over."""
    if parameter.choices:
        return Scale(title, choices=parameter.choices)
    low, high = (float(edge) for edge in parameter.edges())
    return Scale(title, low, high, parameter.log)


def set_scale(ax: Axes, which: str, scale: Scale, margin: float = 0.04) -> None:
    """Give axis `x` or `y` of `ax`, on which places are drawn, the scale's ticks and title."""
    places, texts = zip(*scale.ticks(), strict=True)
    set_ticks = ax.set_xticks if which == "x" else ax.set_yticks
    set_ticks(places, texts)
    ax.set(**{f"{which}label": scale.title, f"{which}lim": (-margin, 1 + margin)})
    ax.minorticks_off()


def numeric(sweep: Sweep, key: str) -> bool:
    """Whether a setting has an order."""
    return not sweep.spec.space[key].choices


def samples(sweep: Sweep) -> str:
    """`12 complete trials, 8 validation images, training seed 1000`."""
    trials, images = len(sweep.complete), sweep.n_images
    return (f"{count(trials, 'complete trial')}, {count(images, 'validation image')}, "
            f"training seed {sweep.spec.seed}")  # fmt: skip


def figure_of(
    sweep: Sweep, kind: str, title: str, alternative: str, figure: Figure, **words: str
) -> ReportFigure:
    """A search's figure of one kind; `words` are what its caption says beside the samples."""
    return ReportFigure(
        "sweeps", f"sweep-{sweep.name}-{kind}", f"{sweep.name}: {title}",
        caption("figures", f"sweep-{kind}", samples=samples(sweep), **words),
        alternative, figure, group=sweep.name,
    )  # fmt: skip


def stamp_doubted(ax: Axes, sweep: Sweep, metrics: Sequence[str]) -> None:
    """Stamp a panel that shows a metric of unverified weights."""
    if sweep.doubted & set(metrics):
        stamp(ax, UNVERIFIED)
