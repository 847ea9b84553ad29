"""The settings that a hyper-parameter search tries: ranges, choices, and when they count."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal

from pydantic import Field, model_validator

from tadsr.config.base import Config, PositiveFloat, mistake_at, no_duplicates

Value = bool | int | float | str


class Parameter(Config):
    """One setting that is searched over."""

    kind: Literal["float", "int", "categorical"]
    low: float | None = Field(default=None, allow_inf_nan=False)
    high: float | None = Field(default=None, allow_inf_nan=False)
    log: bool = False
    """Search on a logarithmic scale."""
    step: PositiveFloat | None = None
    """Distance between values; needed for a grid over floats."""
    choices: tuple[Value, ...] = Field(default=(), strict=False)
    when: dict[str, tuple[Value, ...]] = Field(default_factory=dict)
    """Other settings of this space, above this one, with the values at which this one counts.
    Elsewhere it stays as in the base variant."""

    @model_validator(mode="after")
    def _meaningful(self) -> Parameter:
        if self.kind == "categorical":
            return self._check_choices()
        if self.choices:
            raise mistake_at("choices", f"is for kind categorical; a {self.kind} has low and high")
        if self.low is None or self.high is None:
            raise ValueError(f"a {self.kind} needs low and high")
        if self.low >= self.high:
            raise mistake_at("low", f"the range from {self.low:g} to {self.high:g} is empty; low "
                             "must be less than high")  # fmt: skip
        if self.log and self.low <= 0:
            raise mistake_at("low", f"a log range cannot reach {self.low:g}; start above 0, or "
                             "leave out log")  # fmt: skip
        if self.log and self.step is not None:
            raise mistake_at("step", "does not go with log; leave one of them out")
        if self.step is not None and self.step > self.high - self.low:
            raise mistake_at("step", f"{self.step:g} is larger than the range")
        whole = (self.low, self.high, self.step or 1.0)
        if self.kind == "int" and any(value != int(value) for value in whole):
            raise mistake_at("kind", "an int needs whole numbers; choose float")
        return self

    def _check_choices(self) -> Parameter:
        if len(self.choices) < 2:
            raise mistake_at("choices", "give at least 2 values to choose from")
        if self.low is not None or self.high is not None or self.step is not None or self.log:
            raise mistake_at("kind", "categorical has choices alone; low, high, log and step are "
                             "for float and int")  # fmt: skip
        no_duplicates("choice", self.choices)
        return self

    def edges(self) -> tuple[Value, ...]:
        """The values at which to try whether a setting accepts the range."""
        if self.kind == "categorical":
            return self.choices
        assert self.low is not None and self.high is not None  # noqa: S101 (see _meaningful)
        return (int(self.low), int(self.high)) if self.kind == "int" else (self.low, self.high)

    def levels(self) -> tuple[Value, ...] | None:
        """All values, for a grid; None where there is no end of them."""
        if self.kind == "categorical":
            return self.choices
        low, high = self.edges()
        step = self.step or (1 if self.kind == "int" and not self.log else None)
        if step is None:
            return None
        count = math.floor((float(high) - float(low)) / step + 1e-9) + 1
        values = [float(low) + index * step for index in range(count)]
        return tuple(int(v) for v in values) if self.kind == "int" else tuple(values)

    def counts(self, chosen: Mapping[str, Value]) -> bool:
        """Whether it is searched over, given what was chosen for the settings above it."""
        return all(chosen.get(key) in values for key, values in self.when.items())


def grid_points(space: Mapping[str, Parameter]) -> list[dict[str, Value]]:
    """All combinations, the last setting fastest; one where a setting does not count lacks it."""
    found: list[dict[str, Value]] = [{}]
    for key, parameter in space.items():
        found = [
            {**point, **extra}
            for point in found
            for extra in (
                [{key: value} for value in parameter.levels() or ()]
                if parameter.counts(point)
                else [{}]
            )
        ]
    return found
