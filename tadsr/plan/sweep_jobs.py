"""The jobs of hyper-parameter searches: one that begins, the workers, and one that concludes."""

from __future__ import annotations

from tadsr.config.experiment import Experiment
from tadsr.files import digest_json
from tadsr.plan import recipes
from tadsr.plan.estimates import Estimates, image_count
from tadsr.plan.job import Job

CREATE = "--create"
WORKER = "--worker-"
"""What follows a search's name in the names of its jobs; the one that concludes has its name."""

UNKNOWN_TRIALS = 20
"""Assumed for the estimates where hours alone end a search: what fits into them."""


def sweep_jobs(estimates: Estimates) -> list[Job]:
    """All jobs of all searches."""
    experiment = estimates.experiment
    return [job for name in experiment.sweeps for job in _jobs_of(estimates, name)]


def job_name(sweep: str, worker: int) -> str:
    """The name of a worker's job."""
    return f"{sweep}{WORKER}{worker}"


def _jobs_of(estimates: Estimates, name: str) -> list[Job]:
    experiment = estimates.experiment
    spec, cell = experiment.sweeps[name], experiment.search_cell(name)
    recipe = recipes.sweep(experiment, name).digest
    pool = recipes.pool_name(experiment, cell.targets)
    weighted = any(metric.weights for metric in experiment.search_metrics(name))
    inputs = ("data", f"targets/{pool}", *(("weights",) if weighted else ()))
    begun = digest_json([recipe, spec.budget.model_dump(mode="json")])
    references = [spec.references[key] for key in sorted(spec.references)]
    concluded = digest_json([begun, sorted(spec.references), references])
    training = cell.student.training
    trial = training.images * estimates.student_image(cell.student, cell.targets)
    share = -(-trials(experiment, name) // spec.workers)
    create = Job("sweep", name + CREATE, (name,), inputs, begun, flops=_teacher(estimates))
    workers = [
        Job("sweep", job_name(name, index), (), (create.id,), begun, training.threads,
            flops=share * trial)
        for index in range(spec.workers)
    ]  # fmt: skip
    conclude = Job("sweep", name, (f"{name}@results",), tuple(job.id for job in workers),
                   concluded, training.threads, flops=len(references) * trial)  # fmt: skip
    return [create, *workers, conclude]


def trials(experiment: Experiment, name: str) -> int:
    """How many trials a search will have at most, as far as its settings tell."""
    spec = experiment.sweeps[name]
    if spec.sampler.kind == "grid":
        return len(spec.points())
    return spec.budget.trials or UNKNOWN_TRIALS


def _teacher(estimates: Estimates) -> float:
    """FLOPs of the teacher's whole chain on the validation images."""
    spec = estimates.experiment.data.val
    pixels = image_count(spec) * float(spec.size or 512) ** 2
    return estimates.upscale(pixels, estimates.steps)
