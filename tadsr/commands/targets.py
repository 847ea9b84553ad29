"""`tadsr targets`: store the teacher's answers, once for the whole grid."""

from __future__ import annotations

import argparse

from tadsr.commands.common import (
    add_job_arguments,
    choose_device,
    job_context,
    load_plan,
    selected_jobs,
)
from tadsr.plan import recipes
from tadsr.plan.artefacts import pool_content
from tadsr.plan.receipts import content_of
from tadsr.runs import Run


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    add_job_arguments(parser, named=True)


def run(args: argparse.Namespace) -> int:
    """Make the pools that are named, or all."""
    plan = load_plan(args)
    experiment = plan.experiment
    for job in selected_jobs(plan, args, "targets"):
        with job_context(plan, job) as context:
            spec = plan.targets(job.name)
            folder = plan.root / "targets" / job.name
            upstream = {"teacher": content_of(plan, "teacher")}
            with Run.open(folder, recipes.pool(experiment, spec).as_dict(), upstream,
                          root=plan.root, content=pool_content) as pool:  # fmt: skip
                if not pool.finished:
                    from tadsr.distillation.targets import make_targets

                    context.work_begins()
                    results = make_targets(
                        spec, plan.teacher / "model", plan.dataset("train"), plan.dataset("val"),
                        experiment.data, folder,
                        device=choose_device(experiment.execution.device),
                        progress=pool.timed(context.progress),
                    )  # fmt: skip
                    pool.finish("done", pool_content(folder), results=results)
                print(f"targets {job.name}: {pool.card['results']}", flush=True)
            context.record(job.name, "done", pool.card["content"])
    return 0
