"""Settings of training and of the losses: `student.*` in an experiment file."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator

from tadsr.config.base import Config, Fraction, Positive, PositiveFloat, Seed, Weight


class TrainingSpec(Config):
    """One training, of a teacher or a student. Progress is counted in images seen."""

    images: Positive = 960
    """Length of the training in images seen (optimiser steps = images / batch_size)."""
    batch_size: Positive = 8
    learning_rate: PositiveFloat = 2.0e-4
    lr_schedule: Literal["constant", "cosine"] = "constant"
    warmup: Fraction = 0.05
    """Share of the training over which the learning rate rises linearly."""
    weight_decay: Weight = 0.0
    ema: Fraction = 0.999
    """Decay of the averaged weights, warmed up as min(ema, (1 + n) / (10 + n)) after n steps."""
    grad_clip: Weight = 0.0
    """Largest gradient norm; 0 leaves gradients as they are."""
    gradient_accumulation: Positive = 1
    """Pieces in which a batch is worked through, to fit into memory; the step is the same."""
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    """Of the trained network's passes (autocast); weights, optimiser, targets and all reported
    numbers stay in float32. fp16 needs a GPU."""
    channels_last: bool = False
    """Memory format of the networks; measure before you switch it on (benchmarks/)."""
    compile: bool = False
    """torch.compile the networks; pays off in long trainings on a GPU."""
    validated_weights: Literal["average", "raw"] = "average"
    """Which weights are validated on the way; the average is what is saved as the model."""
    validate_every: int = Field(default=0, ge=0)
    """Images between validations; 0 validates at the end alone."""
    checkpoint_every: int = Field(default=0, ge=0)
    """Images between saved states; 0 lets the loop choose (about every 20 seconds)."""
    threads: Positive = 1
    """CPU threads, fixed because another number gives other bits."""


class TeacherTrainingSpec(TrainingSpec):
    """Training of the teacher, which has a seed of its own (students vary theirs)."""

    images: Positive = 9600
    learning_rate: PositiveFloat = 1.0e-3
    lr_schedule: Literal["constant", "cosine"] = "cosine"
    ema: Fraction = 0.99
    threads: Positive = 2
    seed: Seed = 0


class RegressionSpec(Config):
    """L_reg = mean (z_stu - z_tch)^2 (TAD-SR, section 3; SinSR's distillation loss)."""

    weight: Weight = 1.0


class ScoreDistillationSpec(Config):
    """High-frequency-enhanced score distillation (TAD-SR) and its ablations."""

    weight: Weight = 1.0
    reference: Literal["target", "hr", "noise"] = "target"
    """`target` = HSD; `hr` = against Enc(HR); `noise` = plain SDS."""
    num_timesteps: Positive = 3
    """t is uniform on {0, ..., num_timesteps - 1}: small t carries the high frequencies."""


class AdversarialSpec(Config):
    """The latent discriminator on the frozen teacher's features."""

    weight: Weight = 0.02
    discriminator: Literal["time_aware", "multiple", "vanilla"] = "time_aware"
    learning_rate: PositiveFloat = 2.0e-4


class LossesSpec(Config):
    """The weighted terms of the student's objective; a weight of 0 removes a term."""

    regression: RegressionSpec = RegressionSpec()
    score_distillation: ScoreDistillationSpec = ScoreDistillationSpec()
    adversarial: AdversarialSpec = AdversarialSpec()

    @model_validator(mode="after")
    def _something_to_learn(self) -> LossesSpec:
        if not (
            self.regression.weight or self.score_distillation.weight or self.adversarial.weight
        ):
            raise ValueError("every loss has weight 0; give at least one a weight")
        return self


class StudentSpec(Config):
    """How a student is distilled."""

    training: TrainingSpec = TrainingSpec()
    losses: LossesSpec = LossesSpec()

    def normalised(self) -> dict[str, Any]:
        """The settings that determine a student: terms of weight 0 are gone."""
        settings = self.model_dump(mode="json")
        losses = settings["losses"]
        settings["losses"] = {k: v for k, v in losses.items() if v["weight"] != 0}
        return settings


class TargetsSpec(Config):
    """The pool of teacher answers that students learn from."""

    mode: Literal["stored", "online"] = "stored"
    """`stored`: computed once, kept on disk, shared by the grid. `online`: computed within each
    training step, as in the papers, the same answers for the same pairs."""
    pairs: Positive = 384
    """(LR crop, noise, teacher answer) triples; each is used images / pairs times."""
    val_pairs: Positive = 32
    """Triples from validation images, on which students are measured against the teacher."""
    sampler: Literal["deterministic", "stochastic"] = "deterministic"
    seed: Seed = 0
    batch_size: Positive = 16
    threads: Positive = 2

    @property
    def stored_pairs(self) -> int:
        """Training pairs on disk."""
        return self.pairs if self.mode == "stored" else 0
