"""Settings of a hyper-parameter search: files in `sweeps/` beside the experiment file."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from tadsr.config.base import (
    Config,
    Fraction,
    Name,
    Positive,
    PositiveFloat,
    Seed,
    Weight,
    mistake_at,
    no_duplicates,
)
from tadsr.config.deltas import Delta
from tadsr.config.metrics import AskedMetric, MetricSpec
from tadsr.config.sweep_space import Parameter, Value, grid_points

BEST_OF = "best-of-"
"""What the names of variants that a search finds start with."""


class Scored(Config):
    """A metric on validation images."""

    metric: AskedMetric
    dataset: str = "val"
    """Validation images alone; there to say so."""

    @model_validator(mode="after")
    def _on_validation_images(self) -> Scored:
        if self.dataset != "val":
            raise mistake_at("dataset", f"'{self.dataset}': a search sees validation images alone, "
                             "never a test set; write val, or leave it out")  # fmt: skip
        if self.metric.per_set:
            raise mistake_at("metric", f"'{self.metric.id}' is one number per set; a search needs "
                             "one per image")  # fmt: skip
        return self


class Goal(Scored):
    """An objective: the mean of a metric over the validation images."""

    direction: Literal["maximize", "minimize"] | None = None
    """Follows from the metric; one that contradicts it is an error."""

    @model_validator(mode="after")
    def _improves(self) -> Goal:
        if self.direction not in (None, self.optimised):
            raise mistake_at("direction", f"better {self.metric.title} is {self.metric.direction}; "
                             f"write {self.optimised}, or leave it out")  # fmt: skip
        return self

    @property
    def optimised(self) -> Literal["maximize", "minimize"]:
        """Optuna's word for the metric's direction."""
        return "maximize" if self.metric.higher_is_better else "minimize"


class Constraint(Scored):
    """What a winner has to keep to, against the teacher in all its steps on the same images."""

    margin: Weight
    """How much worse than the teacher the mean may be, in the metric's units."""

    @property
    def name(self) -> str:
        """As Optuna and the results call it."""
        return f"{self.metric.id} against the teacher"

    def violation(self, value: float, teacher: float) -> float:
        """Above 0 where the constraint is broken, by so much."""
        behind = teacher - value if self.metric.higher_is_better else value - teacher
        return behind - self.margin


class SamplerSpec(Config):
    """What proposes the next trial's settings."""

    kind: Literal["tpe", "gp", "nsga2", "random", "grid"] = "tpe"
    startup_trials: Positive = 10
    """Random ones, before `tpe` and `gp` begin to learn."""


class PrunerSpec(Config):
    """What ends a trial early."""

    kind: Literal["hyperband", "wilcoxon", "none"] = "hyperband"
    """`hyperband`: on the mean score, at looks whose distance grows by `factor`. `wilcoxon`: once,
    from the differences to the best trial image by image."""
    first: Fraction = 1 / 9
    """Of the training: the first look of hyperband, the only one of wilcoxon."""
    factor: int = Field(default=3, ge=2)
    threshold: PositiveFloat = 0.01
    """p below which wilcoxon ends a trial. Strict, because two trainings of one recipe differ too,
    and image scores share that difference."""

    @model_validator(mode="after")
    def _sensible(self) -> PrunerSpec:
        if not 0 < self.first < 1:
            raise mistake_at("first", f"{self.first:g}: the first look comes between start and end")
        if self.threshold > 0.1:
            raise mistake_at("threshold", f"{self.threshold:g} would end trials by chance; give at "
                             "most 0.1")  # fmt: skip
        return self


class Budget(Config):
    """When a search ends: at the number of trials, or when they took so many hours in all."""

    trials: Positive | None = None
    hours: PositiveFloat | None = None
    """Of trials, summed over the workers; those under way are finished."""


class SweepSpec(Config):
    """A hyper-parameter search over students, on validation images."""

    description: str = ""
    base: Name | None = None
    """The variant that trials start from; default: the experiment's reference."""
    space: dict[str, Parameter] = Field(min_length=1)
    """Dotted key below student to what is tried there."""
    objectives: tuple[Goal, ...]
    """One, or two for a Pareto front."""
    constraints: tuple[Constraint, ...] = ()
    sampler: SamplerSpec = SamplerSpec()
    pruner: PrunerSpec | None = None
    """Default: hyperband, or none with two objectives, which no pruner can weigh."""
    budget: Budget = Budget()
    workers: Positive = 1
    """Processes that share the trials. With one, a search gives the same result each time."""
    seed: Seed = 1000
    """Of every trial, and not one of the experiment's: the winner is confirmed with others."""
    references: dict[Name, dict[str, Any]] = Field(default_factory=dict)
    """Further students by name, trained with the search's seed to be shown beside the trials:
    dotted keys below student, as in a variant."""

    @field_validator("objectives", "constraints")
    @classmethod
    def _distinct(cls, scored: tuple[Any, ...]) -> tuple[Any, ...]:
        no_duplicates("metric", tuple(entry.metric.id for entry in scored))
        return scored

    @model_validator(mode="after")
    def _consistent(self) -> SweepSpec:
        self._check_conditions()
        if len(self.objectives) not in (1, 2):
            raise mistake_at("objectives", f"{len(self.objectives)} of them; give 1, or 2 for a "
                             "Pareto front")  # fmt: skip
        if self.pruner and self.pruner.kind != "none" and len(self.objectives) > 1:
            raise mistake_at("pruner", f"{self.pruner.kind} weighs one objective; with two, leave "
                             "it out")  # fmt: skip
        if self.sampler.kind == "grid":
            for key, parameter in self.space.items():
                if parameter.levels() is None:
                    raise mistake_at(f"space.{key}", "a grid needs a step (without log) here")
            if self.budget.trials is not None:
                raise mistake_at("budget.trials", "a grid has as many trials as it has points; "
                                 "leave it out")  # fmt: skip
        elif self.budget.trials is None and self.budget.hours is None:
            raise mistake_at("budget", "say when the search ends, such as {trials: 20}")
        return self

    def _check_conditions(self) -> None:
        above: list[str] = []
        for key, parameter in self.space.items():
            for other, values in parameter.when.items():
                if other not in above:
                    raise mistake_at(f"space.{key}", f"when: '{other}' is no setting of this space "
                                     "above this one")  # fmt: skip
                choices = self.space[other].choices
                for value in values:
                    if value not in choices:
                        raise mistake_at(f"space.{key}", f"when: {other} never is {value!r}; its "
                                         f"choices are {list(choices)}")  # fmt: skip
            above.append(key)

    @property
    def pruning(self) -> PrunerSpec:
        """What ends trials early, the default filled in."""
        kind: Literal["hyperband", "none"] = "hyperband" if len(self.objectives) == 1 else "none"
        return self.pruner or PrunerSpec(kind=kind)

    @property
    def picks(self) -> tuple[str, ...]:
        """What is confirmed: the best trial, or three of the Pareto front."""
        return ("best",) if len(self.objectives) == 1 else ("knee", "end1", "end2")

    def metrics(self) -> tuple[MetricSpec, ...]:
        """Every metric that is measured, objectives first."""
        scored = [entry.metric for entry in (*self.objectives, *self.constraints)]
        return tuple({spec.id: spec for spec in scored}.values())

    def points(self) -> list[dict[str, Value]]:
        """All combinations, of a grid."""
        return grid_points(self.space)

    def deltas(self) -> Iterator[tuple[str, Delta]]:
        """(place, delta) of what has to be valid settings: edges of the space, references."""
        for key, parameter in self.space.items():
            yield from ((f"space.{key}", {key: value}) for value in parameter.edges())
        yield from ((f"references.{name}", delta) for name, delta in self.references.items())

    def identity(self) -> dict[str, Any]:
        """What determines settings and scores of trials, metrics by id; no budget, no workers."""
        settings = self.model_dump(mode="json", include={"space", "sampler", "seed"})
        scored = [("objectives", self.objectives), ("constraints", self.constraints)]
        for name, entries in scored:
            settings[name] = [
                {**entry.model_dump(mode="json", exclude={"metric"}), "metric": entry.metric.id}
                for entry in entries
            ]
        return {**settings, "pruner": self.pruning.model_dump(mode="json")}


class Pick(Config):
    """The trial of a search that a variant is."""

    sweep: Name
    which: Literal["best", "knee", "end1", "end2"]


def variant_name(sweep: str, which: str) -> str:
    """`best-of-<sweep>`; for a Pareto front `best-of-<sweep>-knee`, `-end1`, `-end2`."""
    return f"{BEST_OF}{sweep}" if which == "best" else f"{BEST_OF}{sweep}-{which}"
