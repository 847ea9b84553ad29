"""`tadsr student`: distil the students of a job, seed by seed."""

from __future__ import annotations

import argparse
from functools import lru_cache
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
    work_through,
)
from tadsr.config.deltas import changed
from tadsr.config.experiment import Cell
from tadsr.config.sweep import Pick
from tadsr.errors import TadsrError
from tadsr.files import digest_json, write_json
from tadsr.plan import Plan, recipes
from tadsr.plan.artefacts import model_content, pool_content
from tadsr.plan.receipts import student_upstream
from tadsr.runs import Run, team
from tadsr.runs.folder import verify_run
from tadsr.sweeps import BEST, CONFIRMED, read_pick


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    add_job_arguments(parser, named=True)


def run(args: argparse.Namespace) -> int:
    """Train each cell of the job. One that crashes does not stop the others, but fails the job."""
    plan = load_plan(args)
    meet(plan)
    cells = {cell.name: cell for cell in plan.experiment.cells()}
    for job in selected_jobs(plan, args, "student"):
        with job_context(plan, job) as context:
            work_through(context, "students", lambda name: train_cell(context, cells[name]))
    return 0


def train_cell(context: JobContext, cell: Cell) -> None:
    """Train one student, or find it finished; divergence is a result, not a failure."""
    plan = context.plan
    recipe = recipes.student(plan.experiment, cell).as_dict()
    upstream = student_upstream(plan, cell)
    if cell.pick:
        delta = picked(plan, cell.pick)
        upstream["pick"] = digest_json(delta)
        cell = cell._replace(student=changed(cell.student, cell.targets, delta)[0])
    folder = plan.student(cell.name)
    with Run.open(folder, recipe, upstream, root=plan.root, content=model_content) as student:
        if not student.finished:
            from tadsr.distillation.student import train_student
            from tadsr.distillation.targets import open_pool
            from tadsr.training.models import load_frozen

            context.work_begins()
            _check_pool(plan.pool(cell))
            device = choose_device(plan.experiment.execution.device)
            teacher = load_frozen(plan.teacher / "model", device)
            pool = open_pool(cell.targets, plan.pool(cell), teacher, plan.dataset("train"),
                             plan.experiment.data, device)  # fmt: skip
            outcome = train_student(
                cell.student, cell.seed, teacher, pool, folder,
                device=device, progress=student.timed(context.progress),
            )  # fmt: skip
            if cell.pick and outcome.status == "done":
                confirm(plan, cell.pick, folder)
            student.finish(outcome.status, model_content(folder), results=outcome.results,
                           message=outcome.message)  # fmt: skip
        card = student.card
        team.announce(f"student {cell.name}: {card['status']} {card['message']} {card['results']}")
    context.record(cell.name, card["status"], card["content"])


def picked(plan: Plan, pick: Pick) -> dict[str, Any]:
    """What the trial that a search picked changes.

    Raises:
        TadsrError: the search is not done.
    """
    folder = plan.sweep(pick.sweep)
    if not (folder / BEST).is_file():
        raise TadsrError(
            f"{folder / BEST}: not there yet; run `tadsr run`, or first "
            f"`tadsr sweep {plan.argument} {pick.sweep}`"
        )
    delta: dict[str, Any] = read_pick(folder, pick.which)["delta"]
    return delta


def confirm(plan: Plan, pick: Pick, folder: Path) -> None:
    """Score a winner that was trained anew on the images that it was found on."""
    from tadsr.sweeps.trial import Validation

    validation = Validation(plan, pick.sweep, choose_device(plan.experiment.execution.device))
    write_json(folder / CONFIRMED, validation(folder / "model"))


@lru_cache
def _check_pool(folder: Path) -> None:
    """Once per job: a pool with a torn or exchanged shard teaches something else."""
    team.decide(lambda: verify_run(folder, pool_content))
