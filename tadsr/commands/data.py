"""`tadsr data`: make the data sets of an experiment."""

from __future__ import annotations

import argparse
from functools import partial

from tadsr.commands.common import (
    JobContext,
    add_job_arguments,
    job_context,
    load_plan,
    selected_jobs,
    work_through,
)
from tadsr.config.presets import count_remark
from tadsr.errors import DataError
from tadsr.files import digest_json
from tadsr.plan import recipes
from tadsr.plan.jobs import Plan
from tadsr.plan.sources import source_stamp
from tadsr.runs import Run


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    add_job_arguments(parser, named=False)


def run(args: argparse.Namespace) -> int:
    """Make what is missing; a data set that is there and whole is kept.

    All data sets are gone through, so that every image that cannot be used is told in one go.
    """
    plan = load_plan(args)
    for job in selected_jobs(plan, args, "data"):
        with job_context(plan, job) as context:
            context.work_begins()
            work_through(context, "data sets", partial(make_dataset, context))
    return 0


def make_dataset(context: JobContext, name: str) -> None:
    """Bring one data set up to date.

    Raises:
        DataError: images that cannot be used, or that are in the training set too.
    """
    from tadsr.data.manifest import build_dataset, dataset_content

    plan = context.plan
    spec, folder = plan.experiment.data.all()[name], plan.dataset(name)
    source = {"source": source_digest(plan, name)}
    with Run.open(folder, recipes.dataset(plan.experiment, spec).as_dict(), source,
                  root=plan.root, content=dataset_content) as data:  # fmt: skip
        if not data.finished:
            frame = build_dataset(name, spec, folder, plan.experiment.data.scale)
            data.finish("done", dataset_content(folder), results={"images": len(frame)})
        images = data.card["results"]["images"]
        print(f"data {name}: {images} images", flush=True)
    remark = count_remark(spec.preset, images) if spec.limit is None else ""
    if remark:
        print(f"data {name}: note: {remark}", flush=True)
    check_overlap(plan, name)
    context.record(name, "done", data.card["content"])


def check_overlap(plan: Plan, name: str) -> None:
    """Refuse a val or test set with images of the training set, unless its settings accept that.

    Raises:
        DataError: it names the images and the two ways out.
    """
    from tadsr.data.manifest import MANIFEST, shared_images

    if name == "train" or not (plan.dataset("train") / MANIFEST).is_file():
        return  # without a training set, the job has failed already
    shared = shared_images(plan.dataset("train"), plan.dataset(name))
    if not shared:
        return
    shown = ", ".join(shared[:3]) + (", ..." if len(shared) > 3 else "")
    found = f"data {name}: HR images that are in the training set too: {len(shared)} ({shown})"
    if not plan.experiment.data.all()[name].allow_overlap:
        raise DataError(
            f"{found}; take them out, split one folder with 'holdout', or set 'allow_overlap: true'"
        )
    print(f"{found}; accepted by allow_overlap", flush=True)


def source_digest(plan: Plan, name: str) -> str:
    """Digest of what a data set is made from: the files of its folder, and what is asked of them.

    Settings that are not used take no part, so that an experiment without them keeps its digest.
    """
    spec = plan.experiment.data.all()[name]
    asked = {key: getattr(spec, key) for key in ("hr", "lr", "count")}
    used = [[key, value] for key, value in asked.items() if value is not None]
    return digest_json([source_stamp(spec.path), spec.crop, *used])
