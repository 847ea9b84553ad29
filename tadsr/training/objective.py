"""What the training loop asks of the thing it trains.

The loop knows no losses. It asks an `Objective` for batches, for the phases of a step (one
network and its weighted terms at a time) and for a validation, and does the rest.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple, Protocol, TypeVar

from torch import Tensor, nn


class Term(NamedTuple):
    """One loss of a phase: a scalar to be minimised, and its weight in the sum."""

    value: Tensor
    weight: float = 1.0


@dataclass(frozen=True)
class Trainable:
    """A network with how it is optimised.

    Args:
        learning_rate: the peak.
        scheduled: follow the warm-up and the schedule of the training; otherwise stay flat.
        averaged: keep an exponential moving average of the weights.
    """

    network: nn.Module
    learning_rate: float
    scheduled: bool = True
    averaged: bool = True


BatchT = TypeVar("BatchT")


class Objective(Protocol[BatchT]):
    """What is minimised, over which data."""

    def trainables(self) -> Mapping[str, Trainable]:
        """The networks to train, by name."""
        ...

    def batch(self, start: int, count: int) -> BatchT:
        """The images `start` to `start + count` of the training: a pure function of both."""
        ...

    def phases(self, batch: BatchT) -> Iterator[tuple[str, Mapping[str, Term]]]:
        """Yield (network name, its terms) lazily: each phase is optimised before the next runs.

        The gradient of a phase reaches the named network alone.
        """
        ...

    def validate(self, networks: Mapping[str, nn.Module]) -> dict[str, float]:
        """Errors (at least 0, lower is better) of averaged networks, by curve name."""
        ...
