"""Losses and gradient norms of the steps: into the curves, and watched for divergence.

Reading a number waits for the GPU, so the numbers of a step are only noted. They are gone through
before anything is built on them: a line of the curves, a validation, a saved state. A bad step is
found then, exactly, and the last good state is untouched.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from tadsr.runs import team
from tadsr.training.distributed import Workers
from tadsr.training.state import TrainingState

LOSS_EXPLOSION = 1000.0
ERROR_EXPLOSION = 100.0
"""How far above its first value a total loss, or a validation error, counts as diverged."""
TINY = 1e-6
SMALLEST_SCALE = 1e-3
"""Of fp16 losses; gradients that still overflow are those of a lost training."""


class Divergence(Exception):  # noqa: N818 - a result of the training, not an error
    """Losses, gradients or validation errors that say the training is lost.

    Attributes:
        images: images seen before the step that went wrong.
    """

    def __init__(self, message: str, images: int) -> None:
        super().__init__(message)
        self.images = images


@dataclass(frozen=True)
class _Entry:
    """One phase of one step; `values` are its terms and, last, the gradient norm."""

    images: int
    steps: int
    name: str
    weights: dict[str, float]
    values: Tensor


class Ledger:
    """Notes what steps put out, and goes through the notes when it is asked to."""

    def __init__(self, state: TrainingState, workers: Workers) -> None:
        self.state = state
        self.workers = workers
        self._pending: list[_Entry] = []

    def note(self, name: str, weights: dict[str, float], values: Tensor, norm: Tensor) -> None:
        """Note a phase of the step under way.

        Args:
            name: the network that it optimised.
            weights: of its terms.
            values: (terms,) this process's share of their values.
            norm: of the whole gradient.
        """
        row = torch.cat([values, norm.reshape(1) / self.workers.count])
        self._pending.append(_Entry(self.state.images, self.state.steps, name, weights, row))

    def settle(self) -> None:
        """Go through all notes.

        Raises:
            Divergence: in every process, if a step went wrong.
        """
        if not self._pending:
            return
        entries, self._pending = self._pending, []
        values = self.workers.add_up(torch.cat([entry.values for entry in entries])).tolist()
        found = team.decide(lambda: self._go_through(entries, values))
        if found:
            raise Divergence(*found)

    def check_errors(self, errors: dict[str, float], *, final: bool) -> None:
        """Hold a validation against the first one.

        When a training is validated on the way must not decide what becomes of it, so only the
        final errors are compared.

        Raises:
            Divergence: an error is not finite, or in the end far above what it was.
        """
        for key, error in errors.items():
            first = self.state.first.get(key, error)
            exploded = final and error > ERROR_EXPLOSION * max(first, TINY)
            if exploded or not math.isfinite(error):
                images = self.state.images
                raise Divergence(
                    f"{key} went from {first:.3g} to {error:.3g} by image {images}", images
                )

    def _go_through(self, entries: list[_Entry], values: list[float]) -> tuple[str, int] | None:
        """Add the notes to the curve's sums; what is wrong with the first bad one, and where."""
        place = 0
        for entry in entries:
            end = place + len(entry.weights)
            terms, norm = dict(zip(entry.weights, values[place:end], strict=True)), values[end]
            place = end + 1
            wrong = self._wrong(entry, terms, norm)
            if wrong:
                where = f"at image {entry.images} (step {entry.steps + 1})"
                return f"the {entry.name}'s {wrong} {where}", entry.images
            self._count({f"loss/{key}": value for key, value in terms.items()})
            self._count({f"grad_norm/{entry.name}": norm if math.isfinite(norm) else 0.0})
        return None

    def _wrong(self, entry: _Entry, terms: dict[str, float], norm: float) -> str:
        # Terms may cancel in their sum; their magnitudes do not.
        loss = sum(abs(entry.weights[key] * value) for key, value in terms.items())
        if not math.isfinite(loss):
            return f"loss became {loss}"
        scaler = self.workers.scaler
        if scaler is None and not math.isfinite(norm):
            return f"gradient became {norm}"
        if scaler is not None and scaler.get_scale() < SMALLEST_SCALE:
            return f"gradient overflows fp16 however small the loss, here {norm}"
        first = self.state.first.setdefault(f"total/{entry.name}", loss)
        if loss > LOSS_EXPLOSION * max(first, TINY):
            return f"loss went from {first:.3g} to {loss:.3g}"
        return ""

    def _count(self, values: dict[str, float]) -> None:
        for key, value in values.items():
            self.state.sums[key] = self.state.sums.get(key, 0.0) + value
