"""`tadsr evaluate`: upscale the test sets with the upscalers of a job, and measure."""

from __future__ import annotations

import argparse
from functools import partial
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
from tadsr.commands.costs import update_cost
from tadsr.commands.upscalers import has_diverged, remarks, upscaler_content, upscaler_factory
from tadsr.errors import StorageError, TadsrError, listed
from tadsr.files import remove_leftovers, sha256_file
from tadsr.locks import Lock
from tadsr.plan import Plan, recipes
from tadsr.plan.receipts import content_of
from tadsr.plan.sources import absence
from tadsr.runs import team
from tadsr.runs.folder import lock_path

if TYPE_CHECKING:
    from tadsr.evaluation.measure import MetricLoader


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    add_job_arguments(parser, named=True)


def run(args: argparse.Namespace) -> int:
    """Evaluate each upscaler of the job on each test set."""
    plan = load_plan(args)
    for job in selected_jobs(plan, args, "evaluate"):
        with job_context(plan, job) as context:
            loader = metric_loader(plan)  # metrics are loaded once, for all models of the job
            work_through(context, "models", partial(evaluate_upscaler, context, loader))
    return 0


def metric_loader(plan: Plan) -> MetricLoader:
    """What loads the metrics of a job, on the device of the experiment."""
    from tadsr.evaluation.measure import MetricLoader

    return MetricLoader(choose_device(plan.experiment.execution.device))


def evaluate_upscaler(context: JobContext, loader: MetricLoader, name: str) -> None:
    """Score one upscaler on every test set; a diverged student is recorded and left out.

    Raises:
        TadsrError: after the last test set, naming those that failed.
    """
    plan = context.plan
    folder = plan.evaluation(name)
    if has_diverged(plan, name):
        print(f"evaluate {name}: diverged, nothing to evaluate", flush=True)
        context.record(name, "diverged", "")
        return
    if reason := absence(plan.experiment, name):
        raise TadsrError(reason)
    failed = []
    with Lock(lock_path(folder), f"evaluating {name}", wait=True, waiting=team.announce):
        remove_leftovers(folder)
        tests = plan.experiment.data.test
        for dataset in plan.experiment.evaluation.test_sets(name, tests):
            try:
                digest = evaluate_on(context, name, dataset, loader)
            except StorageError:
                raise
            except TadsrError as error:  # the other test sets are measured all the same
                print(f"evaluate {name} on {dataset}: failed: {error}", flush=True)
                failed.append(str(error))
                continue
            context.record(f"{name}@{dataset}", "done", digest)
        if not failed:
            update_cost(plan, name, choose_device(plan.experiment.execution.device))
    if failed:
        raise TadsrError(listed(failed))


def score_identity(plan: Plan, name: str, dataset: str) -> dict[str, str]:
    """What determines the images of an upscaler on a test set; stored with them and the scores.

    Raises:
        TadsrError: the model or the data set is not there with the settings of now.
    """
    return {
        "upscaler": name,
        "upscaler_content": upscaler_content(plan, name, dataset),
        "dataset": dataset,
        "dataset_content": content_of(plan, f"data/{dataset}"),
        "recipe": recipes.evaluation(plan.experiment, name, dataset).digest,
    }


def evaluate_on(context: JobContext, name: str, dataset: str, loader: MetricLoader) -> str:
    """Score one upscaler on one test set; returns the digest of the score file."""
    from tadsr.evaluation import evaluate_dataset

    plan = context.plan
    experiment = plan.experiment
    device = choose_device(experiment.execution.device)
    context.work_begins()
    folder = plan.evaluation(name)
    identity = score_identity(plan, name, dataset)
    threads = experiment.evaluation.threads
    for remark in remarks(plan, name, dataset):
        print(f"evaluate {name} on {dataset}: {remark}", flush=True)
    scores = folder / f"{dataset}.parquet"
    outcome = evaluate_dataset(
        upscaler_factory(plan, name, dataset, device), plan.dataset(dataset), scores,
        folder / dataset,
        experiment.metrics(), identity, device=device, progress=context.progress,
        threads=threads, scale=experiment.data.scale, workers=context.job.threads // threads,
        loader=loader,
    )  # fmt: skip
    marks = dict.fromkeys(outcome.unverified, " (unverified)")
    shown = "  ".join(f"{m}{marks.get(m, '')} {value:.4f}" for m, value in outcome.means.items())
    print(f"evaluate {name} on {dataset}: {shown}", flush=True)
    for metric, reason in outcome.missing.items():
        if not reason.startswith("not applicable"):
            print(f"  {metric} is missing: {reason}", flush=True)
    return sha256_file(scores)
