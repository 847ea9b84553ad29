"""The training loop of teachers and students.

Progress is counted in images seen. To resume, call again with the same arguments: what a batch
holds, which noise it meets and when a curve has a line depend on the images seen alone, so an
interrupted training ends with the same bits as one that was not.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Generic, Literal

import torch
from torch import Tensor

from tadsr.config.student import TrainingSpec
from tadsr.files import remove_leftovers
from tadsr.runs.curves import Curves
from tadsr.training.objective import BatchT, Objective, Term, Trainable
from tadsr.training.process import StopRequest, reproducible
from tadsr.training.state import TrainingState

CURVE_POINTS = 100
"""Lines that a training writes to its curves."""
SAVE_SECONDS = 20.0
SAVE_SHARE = 0.05
"""A state is saved every so many seconds, yet never for more than this share of the time."""
LOSS_EXPLOSION = 1000.0
ERROR_EXPLOSION = 100.0
"""How far above its first value a total loss, or a validation error, counts as diverged."""
TINY = 1e-6

Progress = Callable[[int, int], None]
"""Called with (images seen, images in all)."""


@dataclass(frozen=True)
class TrainingOutcome:
    """How a training ended.

    `diverged` is a result, not an error: no model is written, the last good state is kept.
    """

    status: Literal["done", "diverged"]
    message: str
    results: dict[str, float] = field(default_factory=dict)


class Divergence(Exception):  # noqa: N818 - a result of the training, not an error
    """Losses, gradients or validation errors that say the training is lost."""


def fit(
    objective: Objective[BatchT],
    settings: TrainingSpec,
    folder: Path,
    *,
    progress: Progress,
) -> tuple[TrainingOutcome, TrainingState]:
    """Train until `settings.images`, from the state in `folder` where there is one.

    Writes `folder/metrics.jsonl` and `folder/state/state.safetensors`. On SIGTERM the state is
    saved and `SystemExit` raised.

    Returns:
        The outcome, with `images_per_second` of this process and the last validation, and the
        final state, whose `validated_networks()` are the trained ones.
    """
    with reproducible(settings.threads), StopRequest() as stop:
        run = _Run(objective, settings, folder)
        run.resume()
        try:
            run.train(progress, stop)
            outcome = TrainingOutcome("done", "", run.results())
        except Divergence as divergence:
            outcome = TrainingOutcome("diverged", str(divergence), run.results())
    return outcome, run.state


class _Run(Generic[BatchT]):
    """One call of `fit`."""

    def __init__(self, objective: Objective[BatchT], settings: TrainingSpec, folder: Path) -> None:
        self.objective = objective
        self.settings = settings
        self.trainables = objective.trainables()
        self.state = TrainingState(self.trainables, settings.weight_decay)
        self.path = folder / "state" / "state.safetensors"
        self.curves = Curves(folder / "metrics.jsonl")
        self.total_steps = math.ceil(settings.images / settings.batch_size)
        self.resumed_at = 0
        self.seconds = 0.0
        self.saved_at = time.monotonic()
        self.save_seconds = 0.0

    def resume(self) -> None:
        """Take up the saved state, or start with a validation of the untrained networks."""
        remove_leftovers(self.path.parent)
        if self.path.is_file():
            self.state.load(self.path)
            self.curves.rewind(self.state.images)
            self.resumed_at = self.state.images
            return
        self.curves.rewind(-1)
        errors = self.objective.validate(self.state.validated_networks())
        self.state.first.update(errors)
        self.state.last = errors
        self.curves.append(0, errors)

    def train(self, progress: Progress, stop: StopRequest) -> None:
        """Take all steps that remain, saving now and then and at the end."""
        state, spec = self.state, self.settings
        progress(state.images, spec.images)
        while state.images < spec.images:
            before, started = state.images, time.monotonic()
            self._step()
            self.seconds += time.monotonic() - started
            self._write_curves(before)
            progress(state.images, spec.images)
            finished = state.images >= spec.images
            if finished or stop.requested or self._save_is_due(before):
                self._save()
            if stop.requested and not finished:
                raise SystemExit(143)

    def results(self) -> dict[str, float]:
        """Throughput of this process, images seen, and the last validation."""
        images = self.state.images - self.resumed_at
        throughput = {"images_per_second": images / self.seconds} if self.seconds else {}
        return {"images": float(self.state.images), **throughput, **self.state.last}

    def _step(self) -> None:
        """All phases of one batch."""
        state, spec = self.state, self.settings
        count = min(spec.batch_size, spec.images - state.images)
        batch = self.objective.batch(state.images, count)
        for name, terms in self.objective.phases(batch):
            self._optimise(name, terms)
        state.images += count
        state.steps += 1
        state.count += 1
        state.update_averages(spec.ema)

    def _optimise(self, name: str, terms: Mapping[str, Term]) -> None:
        """One phase: backward to the named network's parameters alone, clip, step."""
        state = self.state
        optimiser, parameters = state.optimisers[name], state.parameters(name)
        total = torch.stack([term.weight * term.value for term in terms.values()]).sum()
        optimiser.zero_grad()
        total.backward(inputs=parameters)  # type: ignore[no-untyped-call]
        limit = self.settings.grad_clip or math.inf
        norm = torch.nn.utils.clip_grad_norm_(parameters, limit)
        self._check(name, terms, norm)
        for group in optimiser.param_groups:
            group["lr"] = self._learning_rate(self.trainables[name])
        optimiser.step()
        self._count({f"loss/{key}": term.value for key, term in terms.items()})
        self._count({f"grad_norm/{name}": norm})

    def _check(self, name: str, terms: Mapping[str, Term], norm: Tensor) -> None:
        # Terms may cancel in their sum; their magnitudes do not.
        loss = sum(abs(term.weight * float(term.value.detach())) for term in terms.values())
        gradient = float(norm)
        where = f"at image {self.state.images} (step {self.state.steps + 1})"
        if not math.isfinite(loss):
            raise Divergence(f"the {name}'s loss became {loss} {where}")
        if not math.isfinite(gradient):
            raise Divergence(f"the {name}'s gradient became {gradient} {where}")
        first = self.state.first.setdefault(f"total/{name}", loss)
        if loss > LOSS_EXPLOSION * max(first, TINY):
            raise Divergence(f"the {name}'s loss went from {first:.3g} to {loss:.3g} {where}")

    def _learning_rate(self, trainable: Trainable) -> float:
        if not trainable.scheduled:
            return trainable.learning_rate
        return trainable.learning_rate * schedule(
            self.state.steps, self.total_steps, self.settings.warmup, self.settings.lr_schedule
        )

    def _count(self, values: Mapping[str, Tensor]) -> None:
        for key, value in values.items():
            self.state.sums[key] = self.state.sums.get(key, 0.0) + float(value.detach())

    def _write_curves(self, before: int) -> None:
        """A line of means at each hundredth of the training, and a validation where it is due."""
        state, spec = self.state, self.settings
        finished = state.images >= spec.images
        values: dict[str, float] = {}
        every = max(spec.batch_size, spec.images // CURVE_POINTS)
        if finished or _crossed(before, state.images, every):
            values = {key: total / state.count for key, total in state.sums.items()}
            values |= {
                f"learning_rate/{name}": optimiser.param_groups[0]["lr"]
                for name, optimiser in state.optimisers.items()
            }
            state.sums, state.count = {}, 0
        if finished or _crossed(before, state.images, spec.validate_every):
            state.last = self._validate()
            values |= state.last
        if values:
            self.curves.append(state.images, values)

    def _validate(self) -> dict[str, float]:
        errors = self.objective.validate(self.state.validated_networks())
        for key, error in errors.items():
            first = self.state.first.get(key, error)
            if not math.isfinite(error) or error > ERROR_EXPLOSION * max(first, TINY):
                raise Divergence(
                    f"{key} went from {first:.3g} to {error:.3g} by image {self.state.images}"
                )
        return errors

    def _save_is_due(self, before: int) -> bool:
        if self.settings.checkpoint_every:
            return _crossed(before, self.state.images, self.settings.checkpoint_every)
        interval = max(SAVE_SECONDS, self.save_seconds / SAVE_SHARE)
        return time.monotonic() - self.saved_at > interval

    def _save(self) -> None:
        started = time.monotonic()
        self.state.save(self.path)
        self.saved_at = time.monotonic()
        self.save_seconds = self.saved_at - started


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


def _crossed(before: int, after: int, every: int) -> bool:
    """Whether a multiple of `every` lies in (before, after]; never for 0."""
    return every > 0 and after // every > before // every
