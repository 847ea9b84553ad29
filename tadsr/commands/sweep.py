"""`tadsr sweep`: search hyper-parameters: begin, work, conclude."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from tadsr.commands.common import (
    JobContext,
    add_job_arguments,
    choose_device,
    job_context,
    load_plan,
    selected_jobs,
)
from tadsr.config.sweep import SweepSpec
from tadsr.errors import TadsrError
from tadsr.files import read_json, sha256_file, write_json
from tadsr.locks import Lock
from tadsr.plan import Plan, recipes
from tadsr.plan.artefacts import sweep_content
from tadsr.plan.receipts import content_of, student_upstream
from tadsr.plan.sweep_jobs import CREATE, WORKER
from tadsr.runs import Run
from tadsr.sweeps import REFERENCES, STUDY

if TYPE_CHECKING:
    from tadsr.sweeps.study import SweepStudy


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    add_job_arguments(parser, named=True)


def run(args: argparse.Namespace) -> int:
    """Do the jobs that are named, or all: begin each search, do its trials, conclude."""
    from tadsr.sweeps.validity import check_images

    plan = load_plan(args)
    for job in selected_jobs(plan, args, "sweep"):
        name = job.name.partition("--")[0]
        check_images(plan, plan.experiment.sweeps[name])
        with job_context(plan, job) as context, test_sets_closed(plan):
            if job.name.endswith(CREATE):
                create(context, name)
            elif WORKER in job.name:
                do_trials(context, name)
            else:
                conclude(context, name)
    return 0


@contextmanager
def test_sets_closed(plan: Plan) -> Iterator[None]:
    """Nothing that is known of test sets can be read meanwhile."""
    from tadsr.sweeps.guard import closed

    names = plan.experiment.data.test
    with closed([*(plan.dataset(name) for name in names), plan.root / "evaluations"]):
        yield


def create(context: JobContext, name: str) -> None:
    """Begin a search, or bring it up to the trials that are asked for now."""
    from tadsr.sweeps.leases import forget_dead

    plan = context.plan
    folder = plan.sweep(name)
    study = open_study(context, name)
    with search_lock(folder):
        forget_dead(folder)
        study.repeat(crashed=True)
    wanted = study.wanted()
    print(f"sweep {name}: {len(study.finished())} of {wanted or 'as many trials as fit'} done, "
          f"in {folder}", flush=True)  # fmt: skip
    context.record(name, "done", study_content(folder))


def open_study(context: JobContext, name: str) -> SweepStudy:
    """The study of a search with all its trials in it; whoever comes first makes it."""
    from tadsr.sweeps.study import SweepStudy

    plan = context.plan
    spec = plan.experiment.sweeps[name]
    folder = plan.sweep(name)
    cell = plan.experiment.search_cell(name)
    upstream = {**student_upstream(plan, cell), "val": content_of(plan, "data/val")}
    recipe = recipes.sweep(plan.experiment, name).as_dict()
    with Run.open(folder, recipe, upstream, root=plan.root, content=study_content) as run_:
        if not run_.finished:
            context.work_begins()
            write_json(folder / STUDY, describe(plan, name, spec))
            run_.finish("done", study_content(folder))
    with search_lock(folder):
        study = SweepStudy.open(
            spec, f"{plan.experiment.name}/{name}", run_.key,
            where=plan.experiment.execution.sweep_storage, folder=folder,
            images=cell.student.training.images,
        )  # fmt: skip
        study.fill()
    return study


def study_content(folder: Path) -> str:
    """Digest of what a search is, which is all that its run folder is made with."""
    return sha256_file(folder / STUDY) if (folder / STUDY).is_file() else ""


def search_lock(folder: Path) -> Lock:
    """Held while trials are added."""
    return Lock(folder / "search.lock", "a search", wait=True)


def describe(plan: Plan, name: str, spec: SweepSpec) -> dict[str, object]:
    """What the search is, and the teacher's scores on the validation images."""
    from tadsr.sweeps.trial import Validation

    validation = Validation(plan, name, choose_device(plan.experiment.execution.device))
    steps = plan.experiment.teacher.schedule.num_train_timesteps
    return {
        **spec.identity(),
        "metrics": recipes.metrics(plan.experiment.search_metrics(name)),
        "cards": validation.scorer.cards,
        "teacher": {"steps": steps, "scores": validation(plan.teacher / "model", steps)},
    }


def do_trials(context: JobContext, name: str) -> None:
    """Do trials until the search has what was asked for."""
    from tadsr.sweeps.leases import Worker
    from tadsr.sweeps.trial import TrialRunner, means
    from tadsr.sweeps.worker import Search, work

    plan = context.plan
    folder = plan.sweep(name)
    study = open_study(context, name)
    if study.spent():
        return
    with search_lock(folder):  # of an earlier run, in which the search began well
        study.repeat(crashed=True)
    context.work_begins()
    runner = TrialRunner(plan, name, choose_device(plan.experiment.execution.device))
    teacher = means(read_json(folder / STUDY)["teacher"]["scores"])
    with Worker(folder) as worker:
        work(Search(study, worker, runner, runner.images, teacher,
                    lambda: search_lock(folder), context.progress))  # fmt: skip


def conclude(context: JobContext, name: str) -> None:
    """Train the references, pick the winner, and write the results."""
    from tadsr.sweeps.results import write_results
    from tadsr.sweeps.trial import TrialRunner, scores_of

    plan = context.plan
    folder = plan.sweep(name)
    spec = plan.experiment.sweeps[name]
    study = open_study(context, name)
    if not study.spent():
        raise TadsrError(
            f"sweep {name}: {len(study.finished())} of {study.wanted()} trials are done; run "
            f"`tadsr run`, or first `tadsr sweep` with its workers"
        )
    found = {}
    if spec.references:
        context.work_begins()
        runner = TrialRunner(plan, name, choose_device(plan.experiment.execution.device))
        for reference, delta in spec.references.items():
            result = runner(delta, lambda images, scores: False, context.progress)
            scores = scores_of(runner.folder / result.run) if result.status == "done" else {}
            found[reference] = {"delta": delta, "status": result.status, "scores": scores}
    write_json(folder / REFERENCES, found)
    picked = write_results(study, folder)
    for which, chosen in picked.items():
        print(f"sweep {name}: {which} is trial {chosen.number}: {chosen.settings} with "
              f"{chosen.values}", flush=True)  # fmt: skip
    context.record(f"{name}@results", "done", sweep_content(folder))
