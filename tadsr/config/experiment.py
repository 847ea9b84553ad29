"""The experiment: one validated, frozen file from which everything else follows."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

from pydantic import Field, field_validator, model_validator
from pydantic_core import PydanticCustomError

from tadsr.config.base import Config, Name, Positive, PositiveFloat, Seed, Weight
from tadsr.config.metrics import METRICS, MetricSpec, metric_for
from tadsr.config.student import StudentSpec, TargetsSpec, TeacherTrainingSpec
from tadsr.errors import nearest


class DatasetSpec(Config):
    """A set of images. LR is made from HR by `degradation`, or read from disk."""

    kind: Literal["photos", "folder", "pairs", "lr_only"] = "photos"
    """`photos`: shipped inside Python packages. `folder`: HR images. `pairs`: hr/ and lr/."""
    split: Literal["train", "val", "test"] | None = None
    """Which images of `photos`."""
    path: str | None = None
    """Folder on disk, relative to where the command runs."""
    degradation: Literal["bicubic", "realesrgan"] | None = None
    crop: Positive | None = None
    """HR side of training crops, in pixels."""
    size: Positive | None = None
    """Centre-crop to at most this many pixels (HR; LR for `lr_only`)."""
    limit: Positive | None = None
    """Use the first so many images only."""
    seed: Seed = 0
    """Of the random degradation."""

    @model_validator(mode="after")
    def _complete(self) -> DatasetSpec:
        if self.kind in ("folder", "pairs") and self.path is None:
            raise ValueError(f"kind '{self.kind}' needs 'path'")
        if self.kind == "photos" and self.path is not None:
            raise ValueError("kind 'photos' takes no 'path'; images on disk are kind 'folder'")
        if self.kind == "photos" and self.split is None:
            raise ValueError("kind 'photos' needs 'split' (train, val or test)")
        if self.kind in ("photos", "folder") and self.degradation is None:
            raise ValueError(f"kind '{self.kind}' needs 'degradation' (bicubic or realesrgan)")
        if self.crop is not None and self.crop % 4:
            raise ValueError(f"crop {self.crop} is not a multiple of 4")
        return self


class DataSpec(Config):
    """Images to learn from, to validate on, and to test on."""

    train: DatasetSpec = DatasetSpec(split="train", degradation="bicubic", crop=64)
    val: DatasetSpec = DatasetSpec(split="val", degradation="bicubic", crop=64)
    test: dict[Name, DatasetSpec] = Field(min_length=1)

    @model_validator(mode="after")
    def _usable(self) -> DataSpec:
        reserved = {"train", "val"} & set(self.test)
        if reserved:
            raise ValueError(f"test set name '{min(reserved)}' is reserved; choose another")
        for role, spec in (("train", self.train), ("val", self.val)):
            if spec.crop is None:
                raise ValueError(f"data.{role} needs 'crop' (HR pixels, a multiple of 4)")
            if spec.kind not in ("photos", "folder"):
                raise ValueError(f"data.{role} must be of kind photos or folder, not {spec.kind}")
        return self

    def all(self) -> dict[str, DatasetSpec]:
        """Every data set by name: `train`, `val`, then the test sets."""
        return {"train": self.train, "val": self.val, **self.test}


class NetworkSpec(Config):
    """Size of the SwinUNet2DModel; teacher, student and discriminator features share it."""

    model_channels: Positive
    channel_mult: tuple[Positive, ...] = Field(strict=False, min_length=1)
    num_res_blocks: Positive
    attention_resolutions: tuple[Positive, ...] = Field(strict=False)
    num_head_channels: Positive
    swin_depth: Positive
    swin_embed_dim: Positive
    window_size: Positive
    mlp_ratio: PositiveFloat


def _network(
    channels: int,
    mult: tuple[int, ...],
    blocks: int,
    attention: tuple[int, ...],
    head: int,
    depth: int,
    embed: int,
    window: int,
    mlp: float,
) -> NetworkSpec:
    return NetworkSpec(
        model_channels=channels,
        channel_mult=mult,
        num_res_blocks=blocks,
        attention_resolutions=attention,
        num_head_channels=head,
        swin_depth=depth,
        swin_embed_dim=embed,
        window_size=window,
        mlp_ratio=mlp,
    )


NETWORKS: dict[str, NetworkSpec] = {
    #                  width mult          blocks attention         head depth embed window mlp
    "tiny":  _network(  64, (1,),            1, (),                 32,   2,   32,   8,   2.0),
    "small": _network(  96, (1, 2),          1, (16, 8),            24,   2,   96,   8,   4.0),
    "paper": _network( 160, (1, 2, 2, 4),    2, (64, 32, 16, 8),    32,   2,  192,   8,   4.0),
}  # fmt: skip
"""Named network sizes; attention_resolutions count latent pixels of a training crop."""


class CodecSpec(Config):
    """What turns images into latents."""

    kind: Literal["pixel_unshuffle"] = "pixel_unshuffle"
    scaling_factor: PositiveFloat = 4.0
    """Factor on the latents, so that the published kappa does not drown them."""


class ScheduleSpec(Config):
    """ResShift's noise schedule (arXiv 2307.12348, section 2); defaults are the published ones."""

    num_train_timesteps: int = Field(default=15, ge=2)
    kappa: PositiveFloat = 2.0
    min_noise_level: PositiveFloat = 0.04
    etas_end: PositiveFloat = 0.99
    """The last sqrt_eta, under its published name."""
    power: PositiveFloat = 0.3
    prior_noise_scale: Weight = 1.0
    """Factor on the noise of x_T; 1 in the papers."""
    prediction_type: Literal["sample", "residual"] = "residual"
    """What the network puts out; `residual` starts at bicubic and suits small networks."""


class TeacherSpec(Config):
    """The 15-step ResShift teacher. Variants never change it."""

    network: NetworkSpec = NETWORKS["tiny"]
    codec: CodecSpec = CodecSpec()
    schedule: ScheduleSpec = ScheduleSpec()
    training: TeacherTrainingSpec = TeacherTrainingSpec()

    @model_validator(mode="before")
    @classmethod
    def _named_network(cls, data: Any) -> Any:
        if isinstance(data, dict) and isinstance(data.get("network"), str):
            name = data["network"]
            if name not in NETWORKS:
                raise _at("network", f"unknown network '{name}': {nearest(name, list(NETWORKS))}")
            return {**data, "network": NETWORKS[name].model_dump(mode="json")}
        return data


RESERVED = ("bicubic", "baselines")
"""Names that models and jobs other than students have; so has all that begins with teacher-."""


class Endpoint(Config):
    """A (data set, metric) declared before the experiment as what counts."""

    dataset: str
    metric: str
    margin: PositiveFloat | None = None
    """The smallest difference worth knowing, in the metric's units (see docs/statistics.md)."""


class Variant(Config):
    """A named delta on `student.*` and `targets.*`."""

    description: str = ""
    delta: dict[str, Any] = Field(default_factory=dict)
    """Dotted key to value."""


class EvaluationSpec(Config):
    """What is measured, on which models besides the students."""

    models: tuple[str, ...] = ("bicubic", "teacher-15", "teacher-1")
    """`bicubic`, or `teacher-N`: the teacher in N steps (1, or as many as it was trained for)."""
    preset: Literal["paper", "classic"] = "paper"
    metrics: tuple[str, ...] = Field(
        default=("psnr", "ssim", "lpips", "clipiqa", "musiq", "niqe"), min_length=1
    )
    visual_images: Positive = 4
    """Images per test set shown in the report's visual grids."""
    threads: Positive = 1
    """CPU threads, fixed because another number gives other last digits."""

    @field_validator("metrics")
    @classmethod
    def _known_metrics(cls, metrics: tuple[str, ...]) -> tuple[str, ...]:
        for name in metrics:
            if name not in METRICS:
                raise ValueError(f"unknown metric '{name}': {nearest(name, list(METRICS))}")
        return _no_duplicates("metric", metrics)

    @field_validator("models")
    @classmethod
    def _known_models(cls, models: tuple[str, ...]) -> tuple[str, ...]:
        for model in models:
            if model != "bicubic" and not re.fullmatch(r"teacher-[1-9]\d*", model):
                raise ValueError(f"unknown model '{model}': use bicubic or teacher-<steps>")
        return _no_duplicates("model", models)

    def specs(self) -> list[MetricSpec]:
        """The metric specs under the preset, in the order of the file."""
        return [metric_for(name, self.preset) for name in self.metrics]


class ExecutionSpec(Config):
    """How the work is cut and placed; part of no digest, so changing it recomputes nothing."""

    cells_per_job: Literal["variant", "cell"] = "variant"
    """One process trains all seeds of a variant, or each cell has its own."""
    device: Literal["auto", "cpu", "cuda"] = "auto"


class Cell(NamedTuple):
    """One student to train: a variant's settings with a seed."""

    variant: str
    seed: int
    student: StudentSpec
    targets: TargetsSpec

    @property
    def name(self) -> str:
        """`<variant>/seed-<n>`, as in the results folder."""
        return f"{self.variant}/seed-{self.seed}"


class Experiment(Config):
    """One validated, frozen experiment."""

    name: Name
    seeds: tuple[Seed, ...] = Field(default=(0, 1, 2), min_length=1)
    reference: Name = "full"
    primary: tuple[Endpoint, ...] = ()
    data: DataSpec
    teacher: TeacherSpec = TeacherSpec()
    targets: TargetsSpec = TargetsSpec()
    student: StudentSpec = StudentSpec()
    variants: dict[Name, Variant] = Field(default_factory=lambda: {"full": Variant()})
    evaluation: EvaluationSpec = EvaluationSpec()
    execution: ExecutionSpec = ExecutionSpec()

    @field_validator("seeds")
    @classmethod
    def _distinct_seeds(cls, seeds: tuple[int, ...]) -> tuple[int, ...]:
        return _no_duplicates("seed", seeds)

    @field_validator("variants")
    @classmethod
    def _free_names(cls, variants: dict[str, Variant]) -> dict[str, Variant]:
        for name in variants:
            if name in RESERVED or name.startswith("teacher-") or "--seed-" in name:
                raise ValueError(f"variant name '{name}' is reserved; choose another")
        return variants

    @model_validator(mode="after")
    def _consistent(self) -> Experiment:
        if self.reference not in self.variants:
            known = nearest(self.reference, list(self.variants))
            raise _at("reference", f"'{self.reference}' is no variant of the list: {known}")
        for endpoint in self.primary:
            if endpoint.dataset not in self.data.test:
                known = nearest(endpoint.dataset, list(self.data.test))
                raise _at("primary", f"dataset '{endpoint.dataset}' is no test set: {known}")
            if endpoint.metric not in self.evaluation.metrics:
                known = nearest(endpoint.metric, list(self.evaluation.metrics))
                raise _at("primary", f"metric '{endpoint.metric}' is not evaluated: {known}")
            without_hr = self.data.test[endpoint.dataset].kind == "lr_only"
            if without_hr and METRICS[endpoint.metric].needs_reference:
                raise _at(
                    "primary", f"{endpoint.metric} cannot be computed: '{endpoint.dataset}' has "
                    "no HR images; choose a metric without reference or another data set",
                )  # fmt: skip
        without_hr = all(spec.kind == "lr_only" for spec in self.data.test.values())
        if without_hr and all(METRICS[name].needs_reference for name in self.evaluation.metrics):
            raise _at(
                "evaluation.metrics", "none can be computed: no test set has HR images; "
                "add a metric without reference, such as musiq",
            )  # fmt: skip
        steps = {1, self.teacher.schedule.num_train_timesteps}
        for model in self.evaluation.models:
            if model != "bicubic" and int(model.split("-")[1]) not in steps:
                raise _at(
                    "evaluation.models", f"'{model}': this teacher runs in {sorted(steps)} steps"
                )
        return self

    @classmethod
    def load(cls, path: Path | str, overrides: Sequence[str] = ()) -> Experiment:
        """Read an experiment file (YAML, or a frozen experiment.json) with `key=value` overrides.

        Raises `ConfigError`, one line with file, line, key, value and the nearest valid name.
        """
        from tadsr.config.loading import load_experiment

        return load_experiment(path, overrides)

    def cell(self, variant: str, seed: int) -> Cell:
        """The settings of one student: the base with the variant's delta applied."""
        from tadsr.config.loading import apply_delta

        base = {
            "student": self.student.model_dump(mode="json"),
            "targets": self.targets.model_dump(mode="json"),
        }
        settings = apply_delta(base, self.variants[variant].delta)
        return Cell(
            variant, seed,
            StudentSpec.model_validate_json(_json(settings["student"])),
            TargetsSpec.model_validate_json(_json(settings["targets"])),
        )  # fmt: skip

    def cells(self) -> list[Cell]:
        """Every student of the grid, variant by variant."""
        return [self.cell(variant, seed) for variant in self.variants for seed in self.seeds]


def _json(value: Any) -> str:
    import json

    return json.dumps(value)


def _at(key: str, message: str) -> PydanticCustomError:
    """A mistake between several keys, reported at the place of one of them."""
    return PydanticCustomError("at", "{message}", {"key": key, "message": message})


def _no_duplicates(what: str, values: tuple[Any, ...]) -> tuple[Any, ...]:
    for value in values:
        if values.count(value) > 1:
            raise ValueError(f"duplicate {what} {value!r}")
    return values
