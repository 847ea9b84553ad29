"""`tadsr plan`: the jobs of an experiment, before anything is started."""

from __future__ import annotations

import argparse

from tadsr.commands.common import add_experiment_arguments, load_plan
from tadsr.config.base import SCALE
from tadsr.plan import Plan
from tadsr.plan.jobs import STAGES


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    add_experiment_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Print jobs and rough costs per stage, and how often each stored target is used."""
    plan = load_plan(args)
    print(f"experiment {plan.experiment.name}: {len(plan.jobs)} jobs, results in {plan.root}")
    print(f"{'stage':10} {'jobs':>5} {'cells':>6} {'rough core-minutes':>19}")
    for stage in STAGES:
        jobs = plan.stage(stage)
        cells = sum(len(job.cells) for job in jobs)
        cost = sum(job.cost * job.threads for job in jobs) / 60
        print(f"{stage:10} {len(jobs):5} {cells:6} {cost:19.1f}")
    for line in target_use(plan):
        print(line)
    return 0


def target_use(plan: Plan) -> list[str]:
    """One line per pool: its size, and how often a student's training uses each pair."""
    lines = []
    for job in plan.stage("targets"):
        spec = plan.targets(job.name)
        crop = (plan.experiment.data.train.crop or 0) // SCALE
        channels = 3 * SCALE**2
        megabytes = (spec.pairs + spec.val_pairs) * (4 * channels + 3) * crop * crop * 4 / 1e6
        images = plan.experiment.student.training.images
        lines.append(
            f"pool {job.name}: {spec.pairs} pairs (about {megabytes:.0f} MB), "
            f"each used {images / spec.pairs:.1f} times by a student"
        )
    return lines
