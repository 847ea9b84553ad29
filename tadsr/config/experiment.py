"""The experiment: one validated, frozen file from which everything else follows."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

from pydantic import Field, ValidationError, field_validator, model_validator

from tadsr.config.base import (
    Config,
    Name,
    NonNegative,
    Positive,
    PositiveFloat,
    Seed,
    mistake_at,
    no_duplicates,
    remembered,
)
from tadsr.config.cost import CostSpec
from tadsr.config.data import DataSpec
from tadsr.config.deltas import changed
from tadsr.config.grid import GridSpec
from tadsr.config.metrics import METRICS, AskedMetric, MetricSpec, under_preset
from tadsr.config.models import ModelsSpec, is_reserved
from tadsr.config.published import PUBLISHED
from tadsr.config.student import StudentSpec, TargetsSpec, loss_file_digest
from tadsr.config.sweep import BEST_OF, Pick, SweepSpec
from tadsr.config.sweep_check import check_sweep
from tadsr.config.teacher import TeacherSpec
from tadsr.errors import ConfigError, nearest, without_secrets

DEFAULT_METRICS = ("psnr", "ssim", "lpips", "clipiqa", "musiq", "niqe")
"""Those of SinSR's and TAD-SR's tables."""


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
    pick: Pick | None = None
    """Of a variant that a search finds: which trial it is. `delta` is then what the search starts
    from, and what the trial changes is known when the search is done."""

    @field_validator("delta")
    @classmethod
    def _pin_files(cls, delta: dict[str, Any]) -> dict[str, Any]:
        """Note the digests of custom losses' files, as `CustomLossSpec` does for the base."""
        pinned = {
            key.removesuffix("file") + "digest": loss_file_digest(file, key)
            for key, file in delta.items()
            if key.removesuffix("file") + "digest" not in delta
            and re.fullmatch(r"student\.losses\.custom\.[^.]+\.file", key)
            and isinstance(file, str)
        }
        return {**pinned, **delta}


class EvaluationSpec(ModelsSpec):
    """What is measured, on which models besides the students."""

    preset: Literal["paper", "classic"] = "paper"
    metrics: tuple[AskedMetric, ...] = Field(
        default=tuple(METRICS[name] for name in DEFAULT_METRICS),
        json_schema_extra={"default": list(DEFAULT_METRICS)},
    )
    """Names, and mappings that say what other metric is wanted (docs/metrics.md)."""
    visual_images: NonNegative = 4
    """Images per test set shown in the report's visual grids; 0 where they may not be passed on."""
    threads: Positive = 1
    """CPU threads, fixed because another number gives other last digits."""
    cost: CostSpec = CostSpec()
    """Parameters, operations, latency and memory of each model (docs/cost.md)."""

    @field_validator("metrics")
    @classmethod
    def _distinct_metrics(cls, metrics: tuple[MetricSpec, ...]) -> tuple[MetricSpec, ...]:
        if not metrics:
            raise ValueError("name at least 1 metric, such as psnr")
        no_duplicates("metric", tuple(spec.id for spec in metrics))
        return metrics


class ResourcesSpec(Config):
    """What jobs of a stage ask of a scheduler, instead of the plan's estimates."""

    mem_mb: Positive | None = None
    """Main memory in MB."""
    runtime: Positive | None = None
    """Wall-clock time in minutes."""
    gpu: NonNegative | None = None
    """GPUs of a job."""


class ExecutionSpec(Config):
    """How the work is cut and placed; part of no digest, so changing it recomputes nothing."""

    cells_per_job: Literal["variant", "cell"] = "variant"
    """One process trains all seeds of a variant, or each cell has its own."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    jobs_per_gpu: Positive = 1
    """On one machine, how many jobs share a GPU; small networks leave most of one idle."""
    sweep_storage: str = "journal"
    """Where trials are told of: `journal`, a file in the results folder, or the URL of a PostgreSQL
    database, such as postgresql://user@host/database (its password belongs in ~/.pgpass)."""
    evaluation_workers: Positive | None = None
    """Images that an evaluation works on at the same time, each on `evaluation.threads` CPU
    threads; scores do not depend on it. Default: 2, or 1 where there is little to measure."""
    resources: dict[str, ResourcesSpec] = Field(default_factory=dict)
    """By stage, such as `student: {mem_mb: 64000}`: what its jobs ask of a cluster, in place of the
    plan's estimates; doubled at each retry (docs/cluster.md)."""

    @field_validator("sweep_storage")
    @classmethod
    def _known_storage(cls, storage: str) -> str:
        if without_secrets(storage) != storage:
            raise ValueError("a password here would be in every report; put it in ~/.pgpass, or in "
                             "the environment as PGPASSWORD")  # fmt: skip
        if storage != "journal" and not storage.startswith("postgresql://"):
            raise ValueError(f"'{storage}': write journal, or postgresql://user@host/database")
        return storage


class Cell(NamedTuple):
    """One student to train: a variant's settings with a seed."""

    variant: str
    seed: int
    student: StudentSpec
    targets: TargetsSpec
    pick: Pick | None = None
    """The trial whose settings come on top of `student` when its search is done."""

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
    """In a file: a list of names of files in variants/ and of mappings with a name, or a mapping
    by name; each with description, extends (a name or several) and dotted keys. With a grid, none
    is needed."""
    grid: GridSpec | None = None
    """Variants from the product of axes (docs/ablations.md)."""
    sweeps: dict[Name, SweepSpec] = Field(default_factory=dict)
    """Hyper-parameter searches. In a file: names of files in sweeps/, mappings with a name, or a
    mapping by name (docs/sweeps.md)."""
    evaluation: EvaluationSpec = EvaluationSpec()
    execution: ExecutionSpec = ExecutionSpec()

    @field_validator("seeds")
    @classmethod
    def _distinct_seeds(cls, seeds: tuple[int, ...]) -> tuple[int, ...]:
        return no_duplicates("seed", seeds)

    @field_validator("variants")
    @classmethod
    def _free_names(cls, variants: dict[str, Variant]) -> dict[str, Variant]:
        for name, variant in variants.items():
            found = name.startswith(BEST_OF) and variant.pick is None
            if is_reserved(name) or "--seed-" in name or found:
                raise ValueError(f"variant name '{name}' is reserved; choose another")
        return variants

    @model_validator(mode="after")
    def _consistent(self) -> Experiment:
        if self.reference not in self.variants:
            known = nearest(self.reference, list(self.variants))
            raise mistake_at("reference", f"'{self.reference}' is no variant: {known}")
        for index, point in enumerate(self.grid.points if self.grid else ()):
            if point.variant not in self.variants:
                known = nearest(point.variant, list(self.variants))
                raise mistake_at(
                    f"grid.points.{index}", f"'{point.variant}' is no variant: {known}"
                )
        asked = {spec.id: spec for spec in self.metrics()}
        for name, spec in asked.items():
            if spec.needs_lr and self.data.scale == 1:
                raise mistake_at(
                    "evaluation.metrics", f"{name} reduces images to the size of their LR input, "
                    "and with data.scale: 1 they have that size; leave it out",
                )  # fmt: skip
        if self.primary and self.grid and set(self.variants) <= {self.reference, *self.grid.added}:
            raise mistake_at(
                "primary", "there is nothing to judge: points of a grid are exploratory; list "
                "those that verdicts are about in variants: too, or declare nothing (primary: [])",
            )  # fmt: skip
        for endpoint in self.primary:
            if endpoint.dataset not in self.data.test:
                known = nearest(endpoint.dataset, list(self.data.test))
                raise mistake_at("primary", f"dataset '{endpoint.dataset}' is no test set: {known}")
            if endpoint.metric not in asked:
                known = nearest(endpoint.metric, list(asked))
                raise mistake_at("primary", f"metric '{endpoint.metric}' is not evaluated: {known}")
            without_hr = self.data.test[endpoint.dataset].kind == "lr_only"
            if without_hr and asked[endpoint.metric].needs_hr:
                raise mistake_at(
                    "primary", f"{endpoint.metric} cannot be computed: '{endpoint.dataset}' has "
                    "no HR images; choose a metric without reference or another data set",
                )  # fmt: skip
        without_hr = all(spec.kind == "lr_only" for spec in self.data.test.values())
        if without_hr and all(spec.needs_hr for spec in asked.values()):
            raise mistake_at(
                "evaluation.metrics", "none can be computed: no test set has HR images; "
                "add a metric without reference, such as musiq",
            )  # fmt: skip
        self._check_models()
        for name, sweep in self.sweeps.items():
            try:
                cell = self.search_cell(name)
            except (ValidationError, ConfigError):
                continue  # a mistake in the base variant, which is told as such when it is read
            check_sweep(name, sweep, cell.student, cell.targets, self.seeds)
        return self

    def _check_models(self) -> None:
        """Refuse models that this experiment cannot run."""
        published = PUBLISHED.get(self.teacher.weights or "")
        if published and published.scale != self.data.scale:
            raise mistake_at(
                "teacher.weights", f"'{self.teacher.weights}' enlarges {published.scale} times, "
                f"and data.scale is {self.data.scale}",
            )  # fmt: skip
        steps = {1, self.teacher.schedule.num_train_timesteps}
        for model in self.evaluation.models:
            if model.startswith("teacher-") and int(model.split("-")[1]) not in steps:
                raise mistake_at(
                    "evaluation.models", f"'{model}': this teacher runs in {sorted(steps)} steps"
                )
            if model in PUBLISHED and PUBLISHED[model].scale != self.data.scale:
                raise mistake_at(
                    "evaluation.models", f"'{model}' enlarges {PUBLISHED[model].scale} times, "
                    f"and data.scale is {self.data.scale}",
                )  # fmt: skip
        self.evaluation.check_against(self.variants, self.data.test)

    @classmethod
    def load(cls, path: Path | str, overrides: Sequence[str] = ()) -> Experiment:
        """Read an experiment file (YAML, or a frozen experiment.json) with `key=value` overrides.

        Raises `ConfigError`, one line with file, line, key, value and the nearest valid name.
        """
        from tadsr.config.loading import load_experiment

        return load_experiment(path, overrides)

    def metrics(self) -> tuple[MetricSpec, ...]:
        """Every metric that is asked for, under the preset, in the order of the file."""
        preset, scale = self.evaluation.preset, self.data.scale
        return tuple(under_preset(spec, preset, scale) for spec in self.evaluation.metrics)

    def metric(self, name: str) -> MetricSpec:
        """The metric of this id under the preset; KeyError if it is not asked for."""
        return {spec.id: spec for spec in self.metrics()}[name]

    def cell(self, variant: str, seed: int) -> Cell:
        """The settings of one student: the base with the variant's delta applied."""
        student, targets = self._settings(variant)
        targets = targets.for_seed(seed)
        last = self.teacher.schedule.num_train_timesteps - 1
        if max(targets.start_timesteps, default=0) > last:
            raise ConfigError(
                f"variant '{variant}': targets.start_timesteps is {list(targets.start_timesteps)}; "
                f"this teacher's steps are 0 to {last}"
            )
        distillation = student.losses.score_distillation
        steps = distillation.num_timesteps
        if distillation.weight and steps != "wide" and steps > last + 1:
            raise ConfigError(
                f"variant '{variant}': student.losses.score_distillation.num_timesteps is {steps}; "
                f"this teacher has {last + 1} steps"
            )
        return Cell(variant, seed, student, targets, self.variants[variant].pick)

    def _settings(self, variant: str) -> tuple[StudentSpec, TargetsSpec]:
        """Those of all seeds of a variant, validated once."""
        known = remembered(self)
        key = ("settings", variant)
        if key not in known:
            known[key] = changed(self.student, self.targets, self.variants[variant].delta)
        found: tuple[StudentSpec, TargetsSpec] = known[key]
        return found

    def search_cell(self, sweep: str) -> Cell:
        """What the trials of a search start from, with the search's seed."""
        spec = self.sweeps[sweep]
        return self.cell(spec.base or self.reference, spec.seed)

    def search_metrics(self, sweep: str) -> tuple[MetricSpec, ...]:
        """The metrics of a search under the preset, objectives first."""
        preset, scale = self.evaluation.preset, self.data.scale
        return tuple(under_preset(spec, preset, scale) for spec in self.sweeps[sweep].metrics())

    def learners(self) -> list[Cell]:
        """The cells of the grid, and what the trials of searches start from."""
        return [*self.cells(), *(self.search_cell(name) for name in self.sweeps)]

    def cells(self) -> list[Cell]:
        """Every student of the grid, variant by variant."""
        return [self.cell(variant, seed) for variant in self.variants for seed in self.seeds]
