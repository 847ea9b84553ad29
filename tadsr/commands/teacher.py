"""`tadsr teacher`: train the teacher, go on with its training, or import a published one."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from tadsr.commands.common import (
    JobContext,
    add_job_arguments,
    choose_device,
    job_context,
    load_plan,
    meet,
    selected_jobs,
)
from tadsr.errors import TadsrError
from tadsr.files import sha256_file
from tadsr.plan import Plan, recipes
from tadsr.plan.artefacts import model_content, pipeline_content
from tadsr.plan.receipts import content_of
from tadsr.runs import Run, team
from tadsr.weights import Missing, file_digest, status


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    add_job_arguments(parser, named=False)


def run(args: argparse.Namespace) -> int:
    """Make the teacher; one that diverges ends the experiment with an error."""
    plan = load_plan(args)
    meet(plan)
    for job in selected_jobs(plan, args, "teacher"):
        with job_context(plan, job) as context:
            recipe = recipes.teacher(plan.experiment).as_dict()
            upstream = {name: content_of(plan, f"data/{name}") for name in ("train", "val")}
            upstream |= weights_content(plan)
            with Run.open(plan.teacher, recipe, upstream, root=plan.root,
                          content=model_content) as teacher:  # fmt: skip
                if not teacher.finished:
                    context.work_begins()
                    imported = plan.experiment.teacher.imported
                    results = import_it(context) if imported else train_it(context, teacher)
                    teacher.finish("done", model_content(plan.teacher), results=results)
                team.announce(f"teacher: {teacher.card['results']}")
            context.record("teacher", "done", teacher.card["content"])
    return 0


def train_it(context: JobContext, teacher: Run) -> dict[str, Any]:
    """Train from scratch, or go on."""
    from tadsr.training.teacher import train_teacher

    plan = context.plan
    experiment = plan.experiment
    outcome = train_teacher(
        experiment.teacher, plan.dataset("train"), plan.dataset("val"), experiment.data,
        plan.teacher, device=choose_device(experiment.execution.device),
        progress=teacher.timed(context.progress),
    )  # fmt: skip
    if outcome.status != "done":
        raise TadsrError(
            f"{plan.teacher}: the teacher diverged ({outcome.message}); "
            "lower teacher.training.learning_rate"
        )
    return outcome.results


def import_it(context: JobContext) -> dict[str, Any]:
    """Take over a published teacher or a saved pipeline, and measure it on validation crops."""
    from tadsr.training.teacher import import_teacher

    plan = context.plan
    experiment = plan.experiment
    device = choose_device(experiment.execution.device)
    results = team.decide(lambda: import_teacher(
        experiment.teacher, plan.dataset("val"), experiment.data, plan.teacher, device=device
    ))  # fmt: skip
    if results["val/chain_mse"] > results["val/bicubic_mse"]:
        team.announce(
            f"teacher: warning: {experiment.teacher.weights} is further from HR than bicubic on "
            "the validation crops; check that it suits these images"
        )
    return results


def weights_content(plan: Plan) -> dict[str, str]:
    """Digest of each weight file or folder that the teacher is made from, by its role.

    Raises:
        TadsrError: weights that are not here, with the command that gets them.
    """
    return {f"weights: {role}": digest for role, digest in map(_digest, plan.teacher_weights())}


def _digest(named: tuple[str, str]) -> tuple[str, str]:
    role, name = named
    if "/" in name:
        path = Path(name).expanduser()
        if path.is_file():
            return role, sha256_file(path)
        if path.is_dir():
            return role, pipeline_content(path)
        raise TadsrError(f"teacher: {role} '{name}': no such file or folder; check the path")
    found = status(name)
    if isinstance(found, Missing):
        raise TadsrError(f"teacher: {found}")
    return role, file_digest(name)
