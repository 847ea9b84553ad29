"""One optimiser step per phase: passes, gradients, clipping, AdamW."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Generic, Literal

import torch
from torch import Tensor, nn

from tadsr.config.student import TrainingSpec
from tadsr.training.batches import Part
from tadsr.training.distributed import Workers
from tadsr.training.ledger import Ledger
from tadsr.training.objective import BatchT, Objective, Term, Trainable
from tadsr.training.state import TrainingState

Phase = tuple[str, Mapping[str, Term]]


class Stepper(Generic[BatchT]):
    """Takes steps on batches; knows neither losses nor files.

    Each part of a batch adds its share to the losses and gradients, which are those of the whole
    batch however it is divided.
    """

    def __init__(
        self,
        objective: Objective[BatchT],
        spec: TrainingSpec,
        trainables: Mapping[str, Trainable],
        state: TrainingState,
        workers: Workers,
        ledger: Ledger,
    ) -> None:
        self.objective = objective
        self.spec = spec
        self.trainables = trainables
        self.state = state
        self.workers = workers
        self.ledger = ledger
        self.total_steps = math.ceil(spec.images / spec.batch_size)
        self.buffers = [b for item in trainables.values() for b in item.network.buffers()]

    def take(self, parts: list[Part[BatchT]], count: int) -> None:
        """All phases of one batch of `count` images, of which this process has `parts`."""
        once = self.objective.phases(parts[0].batch) if len(parts) == 1 else None
        for number in range(len(self.trainables)):
            self._phase(parts, number, once)
        if self.workers.scaler is not None:
            self.workers.scaler.update()
        self.state.images += count
        self.state.steps += 1
        self.state.count += 1
        self.state.update_averages(self.spec.ema)

    def _phase(self, parts: list[Part[BatchT]], number: int, once: Iterator[Phase] | None) -> None:
        """Optimise one network on the sum over all parts and processes."""
        before = [(b, b._version, b.clone()) for b in self.buffers] if once is None else []
        values: list[Tensor] = []
        for part in parts:
            with self.workers.autocast():
                name, terms = next(once) if once else self._pass_again(part, number, before)
            if not values:
                self.state.optimisers[name].zero_grad()
            self._backward(name, terms, part.share)
            values.append(
                part.share * torch.stack([t.value.detach().float() for t in terms.values()])
            )
        norm = self._optimise(name)
        weights = {key: term.weight for key, term in terms.items()}
        self.ledger.note(name, weights, torch.stack(values).sum(0), norm)

    def _pass_again(
        self, part: Part[BatchT], number: int, before: list[tuple[Tensor, int, Tensor]]
    ) -> Phase:
        """Phase `number` of one of several parts.

        A phase is optimised when all parts have been through it. Keeping what the parts share
        between phases would take the memory of the whole batch, so it is computed anew.
        """
        phases = self.objective.phases(part.batch)
        for _ in range(number):
            next(phases)
        # A pass may move buffers (the power iterations of spectral norm). All parts start from
        # the same, as the images of an undivided batch do. The others must not be written to:
        # a backward pass to come may need them.
        for buffer, version, value in before:
            if buffer._version != version:
                buffer.copy_(value)
        return next(phases)

    def _backward(self, name: str, terms: Mapping[str, Term], share: float) -> None:
        """Add the gradients of a part, of the named network's parameters alone."""
        weighted = [share * term.weight * term.value.float() for term in terms.values()]
        total = torch.stack(weighted).sum()
        if self.workers.scaler is not None:
            total = self.workers.scaler.scale(total)
        total.backward(inputs=self.state.parameters(name))  # type: ignore[no-untyped-call]

    def _optimise(self, name: str) -> Tensor:
        """Clip and step; returns the norm of the gradient."""
        optimiser, parameters = self.state.optimisers[name], self.state.parameters(name)
        self.workers.add_up_gradients(parameters)
        if self.workers.scaler is not None:
            self.workers.scaler.unscale_(optimiser)
        norm = nn.utils.get_total_norm([p.grad for p in parameters if p.grad is not None])
        if self.spec.grad_clip:
            nn.utils.clip_grads_with_norm_(parameters, self.spec.grad_clip, norm)
        for group in optimiser.param_groups:
            group["lr"] = self._learning_rate(self.trainables[name])
        if self.workers.scaler is not None:
            self.workers.scaler.step(optimiser)  # left out where a gradient overflowed
        else:
            optimiser.step()
        return norm

    def _learning_rate(self, trainable: Trainable) -> float:
        if not trainable.scheduled:
            return trainable.learning_rate
        if self.spec.first_step_at_peak and self.state.steps == 0:
            return trainable.learning_rate
        return trainable.learning_rate * schedule(
            self.state.steps, self.total_steps, self.spec.warmup, self.spec.lr_schedule
        )


def schedule(step: int, steps: int, warmup: float, kind: Literal["constant", "cosine"]) -> float:
    """Factor on the peak learning rate at `step` (0-based) of `steps`.

    It rises linearly over the first `warmup * steps` steps, from 1/n to n/n; `cosine` falls from
    1 towards 0 over the whole length. Without a warm-up the first step is at the full rate.
    """
    rising = round(warmup * steps)
    factor = min(1.0, (step + 1) / rising) if rising else 1.0
    if kind == "cosine":
        factor *= 0.5 * (1 + math.cos(math.pi * step / steps))
    return factor
