"""`tadsr evaluate`: upscale the test sets with the upscalers of a job, and measure."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from tadsr.commands.common import (
    JobContext,
    add_job_arguments,
    choose_device,
    job_context,
    load_plan,
    selected_jobs,
    work_through,
)
from tadsr.config.published import PUBLISHED
from tadsr.errors import TadsrError
from tadsr.files import Lock, remove_leftovers, sha256_file
from tadsr.plan import Plan, recipes
from tadsr.plan.artefacts import pipeline_content
from tadsr.plan.receipts import content_of, current_card
from tadsr.runs.folder import lock_path
from tadsr.weights import file_digest as weights_digest

if TYPE_CHECKING:
    from tadsr.evaluation import Upscaler


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    add_job_arguments(parser, named=True)


def run(args: argparse.Namespace) -> int:
    """Evaluate each upscaler of the job on each test set."""
    plan = load_plan(args)
    for job in selected_jobs(plan, args, "evaluate"):
        with job_context(plan, job) as context:
            work_through(context, "models", lambda name: evaluate_upscaler(context, name))
    return 0


def evaluate_upscaler(context: JobContext, name: str) -> None:
    """Score one upscaler on every test set; a diverged student is recorded and left out."""
    plan = context.plan
    folder = plan.evaluation(name)
    if upscaler_content(plan, name) is None:
        print(f"evaluate {name}: diverged, nothing to evaluate", flush=True)
        context.record(name, "diverged", "")
        return
    with Lock(lock_path(folder), f"evaluating {name}", wait=True):
        remove_leftovers(folder)
        for dataset in plan.experiment.data.test:
            digest = evaluate_on(context, name, dataset)
            context.record(f"{name}@{dataset}", "done", digest)


def score_identity(plan: Plan, name: str, dataset: str) -> dict[str, str]:
    """What determines the images of an upscaler on a test set; stored with them and the scores.

    Raises:
        TadsrError: the model or the data set is not there with the settings of now.
    """
    return {
        "upscaler": name,
        "upscaler_content": upscaler_content(plan, name) or "diverged",
        "dataset": dataset,
        "dataset_content": content_of(plan, f"data/{dataset}"),
        "recipe": recipes.evaluation(plan.experiment, name, dataset).digest,
    }


def evaluate_on(context: JobContext, name: str, dataset: str) -> str:
    """Score one upscaler on one test set; returns the digest of the score file."""
    from tadsr.evaluation import evaluate_dataset

    plan = context.plan
    experiment = plan.experiment
    device = choose_device(experiment.execution.device)
    context.work_begins()
    folder = plan.evaluation(name)
    identity = score_identity(plan, name, dataset)
    scores = folder / f"{dataset}.parquet"
    outcome = evaluate_dataset(
        upscaler_factory(plan, name, device), plan.dataset(dataset), scores, folder / dataset,
        experiment.evaluation.specs(), identity, device=device, progress=context.progress,
        threads=experiment.evaluation.threads, scale=experiment.data.scale,
    )  # fmt: skip
    shown = "  ".join(f"{metric} {value:.4f}" for metric, value in outcome.means.items())
    print(f"evaluate {name} on {dataset}: {shown}", flush=True)
    for metric, reason in outcome.missing.items():
        if not reason.startswith("not applicable"):
            print(f"  {metric} is missing: {reason}", flush=True)
    return sha256_file(scores)


def upscaler_content(plan: Plan, name: str) -> str | None:
    """Content digest of what an upscaler was made from; None if that student diverged."""
    if name == "bicubic":
        return "bicubic"
    if name in PUBLISHED:
        return ":".join(weights_digest(part) for part in (name, PUBLISHED[name].codec))
    if name in plan.experiment.evaluation.pipelines:
        return pipeline_digest(plan, name)
    run = "teacher" if name.startswith("teacher-") else f"students/{name}"
    card = current_card(plan, run)
    if card is not None and card["status"] == "diverged":
        return None
    return content_of(plan, run)


def pipeline_digest(plan: Plan, name: str) -> str:
    """Digest of the saved pipeline that `evaluation.pipelines` names."""
    folder = Path(plan.experiment.evaluation.pipelines[name]).expanduser()
    if not (folder / "model_index.json").is_file():
        raise TadsrError(
            f"evaluation.pipelines.{name}: {folder} holds no saved pipeline (model_index.json); "
            "`tadsr weights pipeline` makes one from published weights"
        )
    return pipeline_content(folder)


def upscaler_factory(plan: Plan, name: str, device: str) -> Callable[[], Upscaler]:
    """How to load an upscaler, if it turns out that images are missing."""
    from tadsr.evaluation import Bicubic, PipelineUpscaler, published_upscaler

    steps = recipes.steps_of(name)
    if name == "bicubic":
        return lambda: Bicubic(plan.experiment.data.scale)
    if name in PUBLISHED:
        return lambda: published_upscaler(name, steps, device)
    pipelines = plan.experiment.evaluation.pipelines
    if name in pipelines:
        return lambda: PipelineUpscaler(Path(pipelines[name]).expanduser(), steps, device)
    folder = plan.teacher if name.startswith("teacher-") else plan.student(name)
    return lambda: PipelineUpscaler(folder / "model", steps, device)
