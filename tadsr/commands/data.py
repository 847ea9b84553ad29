"""`tadsr data`: make the data sets of an experiment."""

from __future__ import annotations

import argparse

from tadsr.commands.common import add_job_arguments, job_context, load_plan, selected_jobs
from tadsr.files import digest_json
from tadsr.plan import recipes
from tadsr.plan.jobs import Plan, source_stamp
from tadsr.runs import Run


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    add_job_arguments(parser, named=False)


def run(args: argparse.Namespace) -> int:
    """Make what is missing; a data set that is there and whole is kept."""
    plan = load_plan(args)
    for job in selected_jobs(plan, args, "data"):
        with job_context(plan, job) as context:
            from tadsr.data.manifest import build_dataset, dataset_content

            context.work_begins()
            for index, (name, spec) in enumerate(plan.experiment.data.all().items()):
                context.progress.start_cell(index, name)
                folder = plan.dataset(name)
                source = {"source": source_digest(plan, name)}
                with Run.open(folder, recipes.dataset(spec).as_dict(), source, root=plan.root,
                              content=dataset_content) as data:  # fmt: skip
                    if not data.finished:
                        frame = build_dataset(name, spec, folder)
                        results = {"images": len(frame)}
                        data.finish("done", dataset_content(folder), results=results)
                    images = data.card["results"]["images"]
                    print(f"data {name}: {images} images", flush=True)
                context.record(name, "done", data.card["content"])
    return 0


def source_digest(plan: Plan, name: str) -> str:
    """Digest of what a data set is made from: the files of its folder, and the training crop."""
    spec = plan.experiment.data.all()[name]
    return digest_json([source_stamp(spec.path), spec.crop])
