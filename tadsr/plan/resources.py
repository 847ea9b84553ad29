"""What a job asks of the machine that it runs on: memory, time, GPUs. Free of torch.

Schedulers end a job that takes more, so estimates are multiplied by a safety factor, and a retry
asks for twice as much. On one machine only the GPUs count (docs/cluster.md).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from tadsr.config.experiment import Cell, Experiment, ResourcesSpec
from tadsr.errors import ConfigError, nearest
from tadsr.plan.estimates import (
    ACTIVATION_BYTES_PER_FLOP,
    ADAM,
    CPU_CORE_FLOPS,
    FLOAT,
    GPU_FLOPS,
    TYPICAL_SIDE,
    Estimates,
    at_once,
    image_count,
)
from tadsr.plan.job import COMPUTING, STAGES, Job

PROCESS_MB = {"data": 800, "weights": 100, "compare": 500, "report": 500, "publish": 500}
"""Resident memory of an empty process of the stage, measured (docs/cluster.md)."""
TORCH_MB = 1200
"""The same of every other stage: they compute, and load torch and diffusers."""
SNAKEMAKE_MB = 400
"""Of the two Snakemake processes that an executor starts around a job, measured."""
CUDA_MB = 3000
"""Main memory that the CUDA libraries and a context take on top."""
BYTES_PER_SCORE = 600
"""Of the frames that comparison and report hold, for each number."""
SCORING_BYTES_PER_PIXEL = 400
"""Metrics on one image, measured with two workers."""

MEMORY_FACTOR = 1.5
RUNTIME_FACTOR = 3.0
"""Of a stated over an estimated need; speeds differ more between machines than sizes do."""
LEAST_MINUTES = 15
"""Less is not worth asking for: file systems and queues of a cluster have bad moments."""
STEP_MB = 100


@dataclass(frozen=True)
class Resources:
    """What the first attempt at a job may take."""

    mem_mb: int
    """Main memory of all its processes, in units of 1 000 000 bytes."""
    runtime: int
    """Minutes of wall-clock time."""
    gpu: int
    """GPUs of its own."""

    def at_attempt(self, attempt: int) -> Resources:
        """Twice the memory and the time at each attempt after the first (counted from 1)."""
        more = 2 ** (attempt - 1)
        return replace(self, mem_mb=self.mem_mb * more, runtime=self.runtime * more)


def stage_resources(experiment: Experiment, jobs: Iterable[Job]) -> dict[str, Resources]:
    """What the jobs of each stage need by their estimates, or by the experiment file.

    Of a stage it is the most that any of its jobs needs, so that they can be one job array. Stages
    that run networks do so on a GPU, unless `execution.device` is cpu.

    Raises:
        ConfigError: `execution.resources` names a stage that there is not.
    """
    stages: dict[str, list[Job]] = {}
    for job in jobs:
        stages.setdefault(job.stage, []).append(job)
    for stage in experiment.execution.resources:
        if stage not in STAGES:
            raise ConfigError(
                f"execution.resources: '{stage}' is no stage: {nearest(stage, list(STAGES))}"
            )
    on_gpu = COMPUTING if experiment.execution.device != "cpu" else ()
    return {
        stage: _resources(experiment, stage, group, int(stage in on_gpu))
        for stage, group in stages.items()
    }


def rule_resources(resources: Resources) -> dict[str, Callable[..., int]]:
    """The `resources:` of a rule, by name, as Snakemake calls them.

    Without a GPU there is no `gpu` at all: the Kubernetes executor takes a 0 for a GPU job.
    """
    named: dict[str, Callable[..., int]] = {
        "mem_mb": lambda wildcards, attempt: resources.at_attempt(attempt).mem_mb,
        "runtime": lambda wildcards, attempt: resources.at_attempt(attempt).runtime,
    }
    if resources.gpu:
        named["gpu"] = lambda wildcards: resources.gpu
    return named


def _resources(experiment: Experiment, stage: str, jobs: list[Job], gpu: int) -> Resources:
    asked = experiment.execution.resources.get(stage, ResourcesSpec())
    gpu = gpu if asked.gpu is None else asked.gpu
    speed = GPU_FLOPS if gpu else CPU_CORE_FLOPS
    minutes = RUNTIME_FACTOR * max(job.start + job.flops / speed for job in jobs) / 60
    process = PROCESS_MB.get(stage, TORCH_MB) + SNAKEMAKE_MB + (CUDA_MB if gpu else 0)
    mem_mb = MEMORY_FACTOR * (process + _content_bytes(experiment, stage, bool(gpu)) / 1e6)
    estimated = Resources(
        mem_mb=STEP_MB * math.ceil(mem_mb / STEP_MB),
        runtime=max(LEAST_MINUTES, math.ceil(minutes)),
        gpu=gpu,
    )
    return replace(estimated, **asked.model_dump(exclude_none=True))


def _content_bytes(experiment: Experiment, stage: str, gpu: bool) -> float:
    """Main memory beyond that of an empty process. What lies on a GPU is not counted."""
    estimates = Estimates(experiment)
    activations = 0.0 if gpu else ACTIVATION_BYTES_PER_FLOP * estimates.network.forward
    weights = FLOAT * (estimates.network.parameters + estimates.codec_parameters)
    if stage == "teacher":
        batch = at_once(experiment.teacher.training)
        return weights + ADAM * estimates.network.parameters + activations * batch
    if stage == "targets":
        batch = max(cell.targets.batch_size for cell in _first_cells(experiment))
        return weights + activations * batch
    if stage == "evaluate":
        return weights + _evaluation_bytes(experiment, estimates, gpu)
    if stage in ("compare", "report"):
        return BYTES_PER_SCORE * _score_count(experiment)
    return 0.0 if stage in PROCESS_MB else _student_bytes(experiment, estimates, gpu)


def _student_bytes(experiment: Experiment, estimates: Estimates, gpu: bool) -> float:
    """Of the most demanding student: jobs of a stage that ask for the same can be one array."""
    students = [cell.student for cell in _first_cells(experiment)]
    needs = [estimates.student_memory(spec, at_once(spec.training)) for spec in students]
    return max(fixed + (0.0 if gpu else activations) for fixed, activations in needs)


def _first_cells(experiment: Experiment) -> list[Cell]:
    """One cell of each variant: its seeds need the same."""
    return [experiment.cell(variant, experiment.seeds[0]) for variant in experiment.variants]


def _evaluation_bytes(experiment: Experiment, estimates: Estimates, gpu: bool) -> float:
    """Of the largest image that a test set's settings tell of: made by one worker, and scored."""
    sides = [spec.size or TYPICAL_SIDE for spec in experiment.data.test.values()]
    sides += [experiment.data.scale * side for side in experiment.evaluation.cost.sizes]
    pixels = max(sides) ** 2
    made = 0.0 if gpu else ACTIVATION_BYTES_PER_FLOP * estimates.upscale(pixels, 1)
    return made + SCORING_BYTES_PER_PIXEL * pixels


def _score_count(experiment: Experiment) -> int:
    images = sum(image_count(spec) for spec in experiment.data.test.values())
    models = len(experiment.evaluation.models) + len(experiment.variants) * len(experiment.seeds)
    return images * models * len(experiment.metrics())
