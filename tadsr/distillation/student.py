"""Training a one-step student: L = L_reg + w_hsd L_HSD + w_gan L_G (TAD-SR)."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from tadsr.config.student import StudentSpec
from tadsr.diffusion import ResShiftScheduler, predict_x0
from tadsr.distillation.answers import PAIR_KEYS, single_step
from tadsr.distillation.losses import AdversarialLoss, build_losses
from tadsr.distillation.pool import TargetSource
from tadsr.distillation.step import StudentStep
from tadsr.files import write_json
from tadsr.models.discriminator import LatentDiscriminator
from tadsr.pipeline import TADSRPipeline
from tadsr.runs import team
from tadsr.training.draws import Draws
from tadsr.training.loop import TrainingOutcome, Watch, fit
from tadsr.training.models import save_pipeline
from tadsr.training.objective import Term, Trainable
from tadsr.training.placement import to_device
from tadsr.training.process import reproducible, seeded

STUDENT = "student"
DISCRIMINATOR = "discriminator"
ERROR_CURVE = "val/target_mse"


@dataclass(frozen=True)
class Looks:
    """What is done with a student on the way."""

    at: tuple[int, ...]
    """Images seen."""
    look: Callable[[int, TADSRPipeline], None]
    """Called with the point and a pipeline of the averaged weights."""


def train_student(
    spec: StudentSpec,
    seed: int,
    teacher: Any,
    pool: TargetSource,
    folder: Path,
    *,
    device: str,
    progress: Callable[[int, int], None],
    looks: Looks | None = None,
) -> TrainingOutcome:
    """Distil a student from the teacher and its answers, or go on where `folder` left off.

    `teacher` is the frozen `TADSRPipeline` on `device` (`tadsr.training.models.load_frozen`).

    Writes `folder/model` (a `TADSRPipeline` with the averaged weights; absent if diverged),
    `folder/state`, `folder/metrics.jsonl`, and `folder/validation.json` with the squared latent
    error to the target for each validation pair, of the teacher's single step and of the student.

    `looks` sees the student on the way, at its points; what it raises ends the training.

    Returns:
        The outcome. Results: `val_start_mse` and `val_target_mse` (means of those errors),
        `val_target_mse_reduction` (1 - their ratio), throughput.
    """
    objective = StudentObjective(spec, seed, teacher, pool, device)
    watch = objective.watch(looks, teacher) if looks else None
    outcome, state = fit(objective, spec.training, folder, progress=progress, watch=watch)
    results = {
        name: value for name, value in outcome.results.items() if not name.startswith("val/")
    }
    if outcome.status == "done":
        trained: Any = state.validated_networks()[STUDENT]
        results |= team.decide(lambda: _write(objective, trained, teacher, folder))
    return TrainingOutcome(outcome.status, outcome.message, results)


class StudentObjective:
    """The student's weighted losses, and the discriminator's own where there is one."""

    def __init__(
        self, spec: StudentSpec, seed: int, teacher: Any, pool: TargetSource, device: str
    ) -> None:
        self.spec = spec
        self.seed = seed
        self.teacher = teacher.unet
        self.codec = teacher.codec
        self.scheduler: ResShiftScheduler = teacher.scheduler
        self.pool = pool
        self.device = device
        self.student = copy.deepcopy(self.teacher).requires_grad_(True).train()
        self.discriminator = self._build_discriminator()
        self.losses = build_losses(spec.losses, self.discriminator)
        self.weights = spec.losses.weights()
        self.val = self._to_device(pool.validation())
        if spec.training.compile:
            self.teacher.compile()

    def watch(self, looks: Looks, teacher: Any) -> Watch:
        """`looks` as the loop takes it."""

        def look(point: int, networks: Mapping[str, nn.Module]) -> None:
            looks.look(point, self.pipeline(networks[STUDENT], teacher))

        return Watch(looks.at, look)

    def pipeline(self, network: Any, teacher: Any) -> TADSRPipeline:
        """A student's network with the teacher's codec and schedule."""
        return TADSRPipeline(
            unet=network, codec=self.codec, scheduler=self.scheduler, scale=teacher.config.scale
        )

    def trainables(self) -> dict[str, Trainable]:
        """The student, and a discriminator with a flat learning rate and no average."""
        training = self.spec.training
        networks = {STUDENT: Trainable(self.student, training.learning_rate)}
        if self.discriminator is not None:
            rate = self.spec.losses.adversarial.learning_rate
            networks[DISCRIMINATOR] = Trainable(
                self.discriminator, rate, scheduled=False, averaged=False
            )
        return networks

    def batch(self, start: int, count: int) -> tuple[int, dict[str, Tensor]]:
        """Pairs of the pool in the seed's order, with their position."""
        return start, self._to_device(self.pool.batch(self.seed, start, count))

    def phases(
        self, batch: tuple[int, dict[str, Tensor]]
    ) -> Iterator[tuple[str, Mapping[str, Term]]]:
        """The discriminator's phase, if any, then the student's, on one student answer."""
        step = self.step(batch)
        for loss in self.losses.values():
            if isinstance(loss, AdversarialLoss):
                value = loss.discriminator_loss(step)
                yield DISCRIMINATOR, {DISCRIMINATOR: Term(value)}
        yield STUDENT, {name: Term(loss(step), self.weights[name])
                        for name, loss in self.losses.items()}  # fmt: skip

    def step(self, batch: tuple[int, dict[str, Tensor]]) -> StudentStep:
        """The student's single step on a batch, z_stu = f(x_T, T-1), or from a mixed start."""
        start, pairs = batch
        scheduler = self.scheduler
        draws = Draws(self.seed, range(start, start + len(pairs["lq"])))
        x_start, t = self._start(pairs, draws)
        z_stu = predict_x0(self.student, scheduler, x_start, t, pairs["z_y"], pairs["lq"])
        latents: dict[str, Any] = {key: pairs[key] for key in PAIR_KEYS}
        return StudentStep(
            **latents,
            z_stu=z_stu,
            student=self.student,
            teacher=self.teacher,
            scheduler=scheduler,
            draws=draws,
        )

    def _start(self, pairs: dict[str, Tensor], draws: Draws) -> tuple[Tensor, int | Tensor]:
        """The state that the student starts from, and its t, (N,) or the same for all."""
        if "x_start" not in pairs:
            return pairs["x_T"], self.scheduler.num_train_timesteps - 1
        chosen = draws.steps("start", pairs["t_start"].shape[1], self.device)
        rows = torch.arange(len(chosen), device=self.device)
        return pairs["x_start"][rows, chosen], pairs["t_start"][rows, chosen]

    def validate(self, networks: Mapping[str, nn.Module]) -> dict[str, float]:
        """Mean squared latent error to the target on validation pairs."""
        return {ERROR_CURVE: float(self.errors(networks[STUDENT]).mean())}

    @torch.no_grad()
    def errors(self, network: nn.Module) -> Tensor:
        """Squared latent error of a network's single step to the target, (validation pairs,)."""
        answer = single_step(network, self.scheduler, self.val)
        return ((answer - self.val["z_tch"]) ** 2).flatten(1).mean(1).double().cpu()

    def _build_discriminator(self) -> LatentDiscriminator | None:
        spec = self.spec.losses.adversarial
        if not spec.weight:
            return None
        steps = self.scheduler.num_train_timesteps
        channels = self.teacher.feature_channels
        if spec.features == "encoder":
            channels = channels[:-1]
        discriminator = seeded(
            lambda: LatentDiscriminator(channels, spec.discriminator, steps),
            self.seed,
            "discriminator weights",
        )
        return discriminator.to(self.device).train()

    def _to_device(self, pairs: dict[str, Tensor]) -> dict[str, Tensor]:
        return {key: to_device(value, self.device) for key, value in pairs.items()}


def _write(
    objective: StudentObjective, trained: Any, teacher: Any, folder: Path
) -> dict[str, float]:
    """Write the model and its errors."""
    with reproducible(objective.spec.training.threads):
        results = _write_validation(objective, trained, folder / "validation.json")
    save_pipeline(objective.pipeline(trained, teacher), folder / "model")
    return results


def _write_validation(
    objective: StudentObjective, trained: nn.Module, path: Path
) -> dict[str, float]:
    """Store the errors of each validation pair at the start and at the end; return their means."""
    start, end = objective.errors(objective.teacher), objective.errors(trained)
    write_json(path, {"start": start.tolist(), "end": end.tolist()})
    return {
        "val_start_mse": float(start.mean()),
        "val_target_mse": float(end.mean()),
        "val_target_mse_reduction": 1 - float(end.mean() / start.mean()),
    }
