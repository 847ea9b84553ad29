"""The one place that says what determines an artefact.

A recipe is a tree: a stage, its settings, the recipes it builds on, and a stage version that is
raised when the stage's maths changes. Its digest is the artefact's identity. No paths, hosts or
comments take part, and a loss of weight 0 is not there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, wraps
from typing import Any, Concatenate, ParamSpec, TypeVar

from tadsr.config.base import remembered
from tadsr.config.data import DatasetSpec
from tadsr.config.experiment import Cell, Experiment
from tadsr.config.metrics import MetricSpec
from tadsr.config.models import split_upscaler
from tadsr.config.student import TargetsSpec
from tadsr.files import digest_json

STAGE_VERSIONS = {"data": 2, "teacher": 2, "targets": 2, "student": 2, "sweep": 1,
                  "evaluate": 2, "compare": 5, "report": 10}  # fmt: skip
"""Raise a number when the stage computes something else from the same settings."""

IN_NO_DIGEST = ("checkpoint_every", "validate_every", "validated_weights")
"""Settings of a training that change how it is watched, not what it makes."""


P = ParamSpec("P")
R = TypeVar("R")


def once(make: Callable[Concatenate[Experiment, P], R]) -> Callable[Concatenate[Experiment, P], R]:
    """Have `make` work out each answer about an experiment once: thousands of jobs ask for it.

    An experiment is frozen, so its arguments, which must be hashable, determine the answer.
    """

    @wraps(make)
    def recall(experiment: Experiment, /, *args: P.args, **kwargs: P.kwargs) -> R:
        known = remembered(experiment)
        key = (make.__name__, *args, *sorted(kwargs.items()))
        if key not in known:
            known[key] = make(experiment, *args, **kwargs)
        found: R = known[key]
        return found

    return recall


@dataclass(frozen=True)
class Recipe:
    """All that determines an artefact."""

    stage: str
    settings: Mapping[str, Any]
    upstream: Mapping[str, Recipe] = field(default_factory=dict)

    @cached_property
    def digest(self) -> str:
        """sha256 (hex) of the recipe: the artefact's identity."""
        return digest_json(self.as_dict())

    def as_dict(self) -> dict[str, Any]:
        """The recipe as stored in run cards; upstream recipes by digest."""
        return {
            "stage": self.stage,
            "version": STAGE_VERSIONS[self.stage],
            "settings": dict(self.settings),
            "upstream": {name: recipe.digest for name, recipe in self.upstream.items()},
        }


@once
def dataset(experiment: Experiment, spec: DatasetSpec) -> Recipe:
    """A data set; where its folder lies does not matter, its content digest is upstream."""
    return Recipe("data", spec.settings(experiment.data.scale))


@once
def teacher(experiment: Experiment) -> Recipe:
    """The teacher, trained on `data.train` or published.

    Where weights lie does not matter: their digests are upstream, as a data set's content is.
    """
    spec = experiment.teacher
    settings = spec.model_dump(mode="json")
    settings["training"] = None if spec.imported else _training(settings["training"])
    settings["weights"] = named(spec.weights)
    settings["codec"]["weights"] = named(spec.codec.weights)
    settings["crops"] = [experiment.data.train.crop, experiment.data.val.crop]
    settings["scale"] = experiment.data.scale
    return Recipe("teacher", settings, _learning_data(experiment))


def named(weights: str | None) -> str | None:
    """A name of the weights catalogue as it is; for a path, only that there is one."""
    return "a path" if weights is not None and "/" in weights else weights


@once
def pool(experiment: Experiment, targets: TargetsSpec) -> Recipe:
    """A pool of the teacher's answers."""
    settings = targets.model_dump(mode="json")
    upstream = {"teacher": teacher(experiment), **_learning_data(experiment)}
    return Recipe("targets", settings, upstream)


@once
def pool_name(experiment: Experiment, targets: TargetsSpec) -> str:
    """`<sampler>-<digest8>`: the pool's folder below targets/."""
    return f"{targets.sampler}-{pool(experiment, targets).digest[:8]}"


def student(experiment: Experiment, cell: Cell) -> Recipe:
    """One student: a variant's settings with a seed, on a pool."""
    settings = cell.student.normalised()
    settings["training"] = _training(settings["training"])
    settings["seed"] = cell.seed
    upstream = {"targets": pool(experiment, cell.targets)}
    if cell.pick:
        settings["pick"] = cell.pick.which
        upstream["sweep"] = sweep(experiment, cell.pick.sweep)
    return Recipe("student", settings, upstream)


@once
def sweep(experiment: Experiment, name: str) -> Recipe:
    """A search: space, objectives, sampler and what its trials start from.

    Not its budget: more trials go on with the same search.
    """
    spec, cell = experiment.sweeps[name], experiment.search_cell(name)
    settings = spec.identity()
    settings["metrics"] = metrics(experiment.search_metrics(name))
    settings["student"] = cell.student.normalised()
    settings["student"]["training"] = _training(settings["student"]["training"])
    return Recipe("sweep", settings, {"targets": pool(experiment, cell.targets)})


@once
def of_cell(experiment: Experiment, name: str) -> Recipe:
    """A student of the grid, by `<variant>/seed-<n>`."""
    variant, _, seed = name.partition("/seed-")
    return student(experiment, experiment.cell(variant, int(seed)))


def upscaler(experiment: Experiment, name: str) -> Recipe | None:
    """What made an upscaler: None for bicubic, the teacher, or a student by cell name.

    None also for a published model and for what a user brings: nothing here made it, and the
    digest of its content is part of a score's identity.
    """
    kind = experiment.evaluation.kind(name)
    if kind == "teacher":
        return teacher(experiment)
    return of_cell(experiment, name) if kind == "student" else None


def evaluation(experiment: Experiment, name: str, dataset_name: str) -> Recipe:
    """The images of one upscaler on one test set (metrics are columns of their own)."""
    made_by = upscaler(experiment, name)
    upstream = {"dataset": dataset(experiment, experiment.data.test[dataset_name])}
    if made_by is not None:
        upstream["upscaler"] = made_by
    kind = name if made_by is None else name.split("-")[0]
    settings = {
        "kind": kind,
        "steps": experiment.evaluation.steps(name) or 1,
        "threads": experiment.evaluation.threads,
        "draw": noise_draw(name),
    }
    return Recipe("evaluate", settings, upstream)


def noise_draw(name: str) -> int:
    """Which draw of sampling noise an upscaler is evaluated with.

    A student's is its training seed: pairs of variants share it, and what a draw does to a
    variant's mean is in the scatter over seeds, where intervals and verdicts see it. All others
    have draw 0.
    """
    return split_upscaler(name)[1] or 0


def trained_runs(experiment: Experiment) -> list[str]:
    """The run folders of teacher, target pools and students, below the results folder."""
    cells = experiment.cells()
    targets = dict.fromkeys(cell.targets for cell in experiment.learners())
    pools = [f"targets/{pool_name(experiment, spec)}" for spec in targets]
    return list(dict.fromkeys(["teacher", *pools, *(f"students/{cell.name}" for cell in cells)]))


def metrics(specs: Sequence[MetricSpec]) -> list[dict[str, Any]]:
    """What is asked of the metrics, as part of an evaluate job's digest."""
    return [spec.settings() for spec in specs]


def _training(settings: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in settings.items() if key not in IN_NO_DIGEST}


def _learning_data(experiment: Experiment) -> dict[str, Recipe]:
    return {
        "train": dataset(experiment, experiment.data.train),
        "val": dataset(experiment, experiment.data.val),
    }
