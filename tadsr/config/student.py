"""Settings of training and of the losses: `student.*` in an experiment file."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from tadsr.config.base import (
    Config,
    Fraction,
    Name,
    NonNegative,
    Positive,
    PositiveFloat,
    Seed,
    Weight,
    mistake_at,
    no_duplicates,
)
from tadsr.config.plugins import pinned_digest
from tadsr.seeds import derive

Noise = Literal["gaussian", "uniform"]


class TrainingSpec(Config):
    """One training, of a teacher or a student. Progress is counted in images seen."""

    images: Positive = 960
    """Length of the training in images seen (optimiser steps = images / batch_size)."""
    batch_size: Positive = 8
    learning_rate: PositiveFloat = 2.0e-4
    lr_schedule: Literal["constant", "cosine"] = "constant"
    warmup: Fraction = 0.05
    """Share of the training over which the learning rate rises linearly."""
    first_step_at_peak: bool = False
    """Take the first step at the full learning rate, before the warm-up, as TAD-SR's release."""
    weight_decay: Weight = 0.0
    ema: Fraction = 0.999
    """Decay of the averaged weights, warmed up as min(ema, (1 + n) / (10 + n)) after n steps."""
    grad_clip: Weight = 0.0
    """Largest gradient norm; 0 leaves gradients as they are."""
    gradient_accumulation: Positive = 1
    """Pieces in which a batch is worked through, to fit into memory; the step is the same."""
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    """Of all passes of a step (autocast), the frozen teacher's in the losses included; weights,
    optimiser, stored targets, validation and evaluation stay in float32. fp16 needs a GPU."""
    channels_last: bool = False
    """Memory format of the networks; measure before you switch it on (benchmarks/)."""
    compile: bool = False
    """torch.compile the networks; pays off in long trainings on a GPU."""
    validated_weights: Literal["average", "raw"] = "average"
    """Which weights are validated on the way; at the end it is the average, the saved model."""
    validate_every: int = Field(default=0, ge=0)
    """Images between validations; 0 validates at the end alone."""
    checkpoint_every: int = Field(default=0, ge=0)
    """Images between saved states; 0 lets the loop choose (about every 20 seconds)."""
    threads: Positive = 1
    """CPU threads, fixed because another number gives other bits."""

    @property
    def smallest_batch(self) -> int:
        """Images of the last batch, which has what is left."""
        return self.images % self.batch_size or self.batch_size

    @model_validator(mode="after")
    def _an_image_for_each_piece(self) -> TrainingSpec:
        if self.smallest_batch < self.gradient_accumulation:
            raise mistake_at(
                "gradient_accumulation", f"{self.gradient_accumulation} pieces of a batch of "
                f"{self.smallest_batch} images (the smallest one, at the end perhaps); choose "
                "fewer",
            )  # fmt: skip
        return self


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
    num_timesteps: Positive | Literal["wide"] = 3
    """t is uniform on {0, ..., num_timesteps - 1}: small t carries the high frequencies. `wide`
    is {0, ..., T-2}."""
    noise: Noise = "gaussian"
    """`uniform` on [0, 1), as in TAD-SR's released code, instead of Gaussian."""
    input_scaled_twice: bool = False
    """Divide the teacher's input by its scale twice, as in TAD-SR's released code."""


class AdversarialSpec(Config):
    """The latent discriminator on the frozen teacher's features."""

    weight: Weight = 0.02
    discriminator: Literal["time_aware", "multiple", "vanilla"] = "time_aware"
    features: Literal["encoder", "encoder_middle"] = "encoder_middle"
    """Which of the teacher's feature maps it sees."""
    learning_rate: PositiveFloat = 2.0e-4
    noise: Noise = "gaussian"
    """`uniform` on [0, 1), as in TAD-SR's released code, instead of Gaussian."""
    last_timestep: bool = False
    """Draw t from {0, ..., T-1} instead of {0, ..., T-2}."""


class InverseSpec(Config):
    """SinSR's inverse loss: mean (f(z_tch, 0) - x_T)^2, from a result back to its noise."""

    weight: Weight = 0.0


class GroundTruthSpec(Config):
    """SinSR's loss against HR: mean (f(x_T', T-1) - z_0)^2 with x_T' = f(z_0, 0) held constant."""

    weight: Weight = 0.0


class CustomLossSpec(Config):
    """A loss of one's own: a Python file with a class `Loss` (docs/losses.md)."""

    file: str
    """Where it lies; a relative path starts from the current folder."""
    weight: Weight = 1.0
    settings: dict[str, Any] = Field(default_factory=dict)
    """What the file's `Loss.Config` takes."""
    digest: str = ""
    """sha256 of the file, filled in when the experiment is read: part of what makes a student."""

    @model_validator(mode="before")
    @classmethod
    def _read(cls, data: Any) -> Any:
        """Note the file's digest, so that a change of it makes other students."""
        if not isinstance(data, dict) or not isinstance(data.get("file"), str):
            return data
        return {**data, "digest": data.get("digest") or loss_file_digest(data["file"], "file")}


def loss_file_digest(file: str, key: str) -> str:
    """sha256 of a custom loss's file; a missing one is a mistake at `key`."""
    return pinned_digest(file, key, "a custom loss")


class LossesSpec(Config):
    """The weighted terms of the student's objective; a weight of 0 removes a term."""

    regression: RegressionSpec = RegressionSpec()
    score_distillation: ScoreDistillationSpec = ScoreDistillationSpec()
    adversarial: AdversarialSpec = AdversarialSpec()
    inverse: InverseSpec = InverseSpec()
    ground_truth: GroundTruthSpec = GroundTruthSpec()
    custom: dict[Name, CustomLossSpec] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _something_to_learn(self) -> LossesSpec:
        if not self.weights():
            raise ValueError("every loss has weight 0; give at least one a weight")
        if self.ground_truth.weight and not self.inverse.weight:
            raise mistake_at(
                "ground_truth.weight", "without the inverse loss, f(., 0) is no inverse and this "
                "loss means nothing; give losses.inverse a weight",
            )  # fmt: skip
        taken = set(self.custom) & (set(LossesSpec.model_fields) | {"discriminator"})
        if taken:
            raise mistake_at("custom", f"'{min(taken)}' is a loss of the method; choose a name")
        return self

    def weights(self) -> dict[str, float]:
        """Name to weight of the terms that take part, the method's own before custom ones."""
        own = {name: getattr(self, name) for name in LossesSpec.model_fields if name != "custom"}
        return {name: spec.weight for name, spec in {**own, **self.custom}.items() if spec.weight}


class StudentSpec(Config):
    """How a student is distilled."""

    training: TrainingSpec = TrainingSpec()
    losses: LossesSpec = LossesSpec()

    def normalised(self) -> dict[str, Any]:
        """The settings that determine a student: terms of weight 0 are gone."""
        settings = self.model_dump(mode="json")
        losses = settings["losses"]
        # Where a file lies does not matter; what is in it does.
        losses |= {name: {**loss, "file": "a path"} for name, loss in losses.pop("custom").items()}
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
    start_timesteps: tuple[NonNegative, ...] = Field(default=(), strict=False)
    """Where students start: each pair at one of these steps of its chain, drawn anew each time it
    is used ("mixed start"). Empty: at T-1 always, which is where inference starts."""
    per_seed: bool = False
    """Give each seed of the grid a pool of its own, instead of one pool for all."""
    seed: Seed = 0
    batch_size: Positive = 16
    threads: Positive = 2

    @field_validator("start_timesteps")
    @classmethod
    def _distinct(cls, steps: tuple[int, ...]) -> tuple[int, ...]:
        return no_duplicates("step", steps)

    def for_seed(self, seed: int) -> TargetsSpec:
        """The pool of one seed of the grid: that of all seeds unless `per_seed`."""
        if not self.per_seed:
            return self
        return self.model_copy(update={"seed": derive(self.seed, "pool of seed", seed) % 2**31})

    @property
    def stored_pairs(self) -> int:
        """Training pairs on disk."""
        return self.pairs if self.mode == "stored" else 0
