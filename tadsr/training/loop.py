"""The training loop of teachers and students.

Progress is counted in images seen. To resume, call again with the same arguments: what a batch
holds, which noise it meets and when a curve has a line depend on the images seen alone, so an
interrupted training ends with the same bits as one that was not.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Generic, Literal

import torch
from torch import nn

from tadsr.config.student import TrainingSpec
from tadsr.files import remove_leftovers
from tadsr.runs import team
from tadsr.runs.curves import Curves
from tadsr.training.batches import Batches
from tadsr.training.distributed import Workers
from tadsr.training.ledger import Divergence, Ledger
from tadsr.training.objective import BatchT, Objective
from tadsr.training.process import StopRequest, reproducible
from tadsr.training.state import TrainingState
from tadsr.training.step import Stepper

CURVE_POINTS = 100
"""Lines that a training writes to its curves."""
SAVE_SECONDS = 20.0
SAVE_SHARE = 0.05
"""A state is saved every so many seconds, yet never for more than this share of the time."""

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


@dataclass(frozen=True)
class Watch:
    """Looks at a training at chosen points; a look that raises ends the training."""

    at: tuple[int, ...]
    """Images seen."""
    look: Callable[[int, Mapping[str, nn.Module]], None]
    """Called with the point and the networks to validate, after the step that reaches the point."""


def fit(
    objective: Objective[BatchT],
    settings: TrainingSpec,
    folder: Path,
    *,
    progress: Progress,
    watch: Watch | None = None,
) -> tuple[TrainingOutcome, TrainingState]:
    """Train until `settings.images`, from the state in `folder` where there is one.

    Writes `folder/metrics.jsonl` and `folder/state/state.safetensors`. On SIGTERM or SIGUSR1 the
    state is saved and `SystemExit` raised. Of several processes (`accelerate launch`) each works
    on its slice of every batch, and the main one writes.

    Returns:
        The outcome, with `images_per_second` of this call and the last validation, and the final
        state, whose `validated_networks()` are the trained ones.

    Raises:
        ConfigError: a precision that the device lacks, or batches too small to be divided.
    """
    network = next(iter(objective.trainables().values())).network
    workers = Workers(next(network.parameters()).device, settings.precision)
    with reproducible(settings.threads), StopRequest() as stop:
        run = _Run(objective, settings, folder, workers, watch)
        run.resume()
        try:
            run.train(progress, stop)
            outcome = TrainingOutcome("done", "", run.results(run.state.images))
        except Divergence as divergence:
            results = run.results(divergence.images)
            outcome = TrainingOutcome("diverged", str(divergence), results)
        if team.agree(stop.requested)[0]:  # too late for a step; what follows is done next time
            raise SystemExit(stop.exit_code)
    return outcome, run.state


class _Run(Generic[BatchT]):
    """One call of `fit`."""

    def __init__(
        self,
        objective: Objective[BatchT],
        settings: TrainingSpec,
        folder: Path,
        workers: Workers,
        watch: Watch | None,
    ) -> None:
        self.watch = watch
        self.objective = objective
        self.settings = settings
        self.workers = workers
        trainables = objective.trainables()
        if settings.channels_last:
            for item in trainables.values():
                item.network.to(memory_format=torch.channels_last)
        self.state = TrainingState(trainables, settings.weight_decay, workers.scaler)
        if settings.compile:
            for item in trainables.values():
                item.network.compile()  # in place: names of weights stay what they are
        self.path = folder / "state" / "state.safetensors"
        self.curves = Curves(folder / "metrics.jsonl")
        self.batches = Batches(objective, settings, workers.index, workers.count)
        self.ledger = Ledger(self.state, workers)
        self.stepper = Stepper(objective, settings, trainables, self.state, workers, self.ledger)
        self.resumed_at = 0
        self.started = self.saved_at = time.monotonic()
        self.aside = 0.0
        self.save_seconds = 0.0

    def resume(self) -> None:
        """Take up the saved state, or start with a validation of the untrained networks."""
        if team.decide(self._has_state):
            self.state.load(self.path)
            self.resumed_at = self.state.images
            team.announce(f"goes on at {self.state.images} of {self.settings.images} images")
            team.decide(lambda: self.curves.rewind(self.state.images))
            return
        errors = self._validate()
        self.state.first.update(errors)
        self.state.last = errors
        team.decide(lambda: self.curves.rewind(-1))
        team.decide(lambda: self.curves.append(0, errors))

    def train(self, progress: Progress, stop: StopRequest) -> None:
        """Take all steps that remain, saving now and then and at the end."""
        state, spec = self.state, self.settings
        progress(state.images, spec.images)
        self.started, self.aside = time.monotonic(), 0.0
        for parts in self.batches.after(state.images, ahead=self.workers.device.type != "cpu"):
            before = state.images
            self.stepper.take(parts, self.batches.count(before))
            self._write_curves(before)
            self._look(before)
            progress(state.images, spec.images)
            finished = state.images >= spec.images
            stopping, due = team.agree(stop.requested, finished or self._save_is_due(before))
            if stopping or due:
                self._save()
            if stopping:
                raise SystemExit(stop.exit_code)

    def results(self, images: int) -> dict[str, float]:
        """Throughput of this call, the `images` seen in good steps, and the last validation."""
        done = self.state.images - self.resumed_at
        seconds = time.monotonic() - self.started - self.aside
        throughput = {"images_per_second": done / seconds} if done else {}
        return {"images": float(images), **throughput, **self.state.last}

    def _has_state(self) -> bool:
        remove_leftovers(self.path.parent)
        return self.path.is_file()

    def _write_curves(self, before: int) -> None:
        """A line of means at each hundredth of the training, and a validation where it is due."""
        state, spec = self.state, self.settings
        finished = state.images >= spec.images
        values: dict[str, float] = {}
        every = max(spec.batch_size, spec.images // CURVE_POINTS)
        line_due = finished or _crossed(before, state.images, every)
        validation_due = finished or _crossed(before, state.images, spec.validate_every)
        if line_due or validation_due:
            self.ledger.settle()
        if line_due:
            values = {key: total / state.count for key, total in state.sums.items()}
            values |= {
                f"learning_rate/{name}": optimiser.param_groups[0]["lr"]
                for name, optimiser in state.optimisers.items()
            }
            state.sums, state.count = {}, 0
        if validation_due:
            state.last = self._validate()
            self.ledger.check_errors(state.last, final=finished)
            values |= state.last
        if values:
            team.decide(lambda: self.curves.append(state.images, values))

    def _look(self, before: int) -> None:
        """Let the watch see the networks at each of its points that the last step passed."""
        state = self.state
        for point in self.watch.at if self.watch else ():
            if before < point <= state.images and self.watch:
                self.ledger.settle()
                started = time.monotonic()
                self.watch.look(point, state.validated_networks())
                self.aside += time.monotonic() - started

    def _validate(self) -> dict[str, float]:
        """By the main process, of the averages; raw weights only on the way, if asked for."""
        raw = self.settings.validated_weights == "raw" and self.state.images < self.settings.images
        networks: Mapping[str, nn.Module] = self.state.networks
        if not raw:
            networks = self.state.validated_networks()
        started = time.monotonic()
        errors = team.decide(lambda: self.objective.validate(networks))
        self.aside += time.monotonic() - started
        return errors

    def _save_is_due(self, before: int) -> bool:
        if self.settings.checkpoint_every:
            return _crossed(before, self.state.images, self.settings.checkpoint_every)
        interval = max(SAVE_SECONDS, self.save_seconds / SAVE_SHARE)
        return time.monotonic() - self.saved_at > interval

    def _save(self) -> None:
        """Of a state that is known to be good."""
        self.ledger.settle()
        started = time.monotonic()
        team.decide(lambda: self.state.save(self.path))
        self.saved_at = time.monotonic()
        self.save_seconds = self.saved_at - started
        self.aside += self.save_seconds


def _crossed(before: int, after: int, every: int) -> bool:
    """Whether a multiple of `every` lies in (before, after]; never for 0."""
    return every > 0 and after // every > before // every
