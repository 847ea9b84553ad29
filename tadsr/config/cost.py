"""Settings of the cost that is measured of each model. Free of torch."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, field_validator

from tadsr.config.base import Config, NonNegative, Positive, no_duplicates

LEAST_REPEATS = 3
"""Timed runs there are at least, however long one takes."""
SECONDS = 5.0
"""After so many seconds of warm-up and timed runs at one size no further one is begun."""
COUNTED_RUNS = 2
"""Runs before all others at each size: one counts operations, one follows memory."""


class CostSpec(Config):
    """At which sizes, and how often. In no number's digest: it changes no score."""

    sizes: tuple[Positive, ...] = (64, 128)
    """Sides of the square LR images, in pixels; none: no cost is measured."""
    repeats: Annotated[int, Field(ge=LEAST_REPEATS)] = 20
    """Timed runs; fewer, but at least 3, where they would take longer than 5 seconds. From 20 on
    there is a 95th percentile."""
    warmup: NonNegative = 2
    """Further runs before the timed ones, after the two that count operations and memory."""

    @field_validator("sizes")
    @classmethod
    def _distinct_sizes(cls, sizes: tuple[int, ...]) -> tuple[int, ...]:
        return no_duplicates("size", sizes)

    def expected_runs(self, seconds: float) -> float:
        """About how often a model of so many seconds a run will run at one size."""
        within = SECONDS / seconds if seconds > 0 else float("inf")
        timed = min(float(self.repeats + self.warmup), max(within, LEAST_REPEATS))
        return COUNTED_RUNS + timed
