"""`tadsr teacher`: train the teacher, or go on with its training."""

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
from tadsr.plan.artefacts import model_content
from tadsr.plan.receipts import content_of
from tadsr.runs import Run


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    add_job_arguments(parser, named=False)


def run(args: argparse.Namespace) -> int:
    """Train the teacher; a teacher that diverges ends the experiment with an error."""
    plan = load_plan(args)
    for job in selected_jobs(plan, args, "teacher"):
        with job_context(plan, job) as context:
            recipe = recipes.teacher(plan.experiment).as_dict()
            upstream = {name: content_of(plan, f"data/{name}") for name in ("train", "val")}
            with Run.open(plan.teacher, recipe, upstream, root=plan.root,
                          content=model_content) as teacher:  # fmt: skip
                if not teacher.finished:
                    from tadsr.training.teacher import train_teacher

                    context.work_begins()
                    experiment = plan.experiment
                    outcome = train_teacher(
                        experiment.teacher, plan.dataset("train"), plan.dataset("val"),
                        experiment.data, plan.teacher,
                        device=choose_device(experiment.execution.device),
                        progress=context.progress,
                    )  # fmt: skip
                    if outcome.status != "done":
                        from tadsr.errors import TadsrError

                        raise TadsrError(
                            f"{plan.teacher}: the teacher diverged ({outcome.message}); "
                            "lower teacher.training.learning_rate"
                        )
                    teacher.finish("done", model_content(plan.teacher), results=outcome.results)
                print(f"teacher: {teacher.card['results']}", flush=True)
            context.record("teacher", "done", teacher.card["content"])
    return 0
