"""What `tadsr run` says of jobs that failed, or were tried again."""

from __future__ import annotations

import re
import shutil
from typing import NoReturn

from tadsr.errors import ConfigError, TadsrError, nearest
from tadsr.plan import Plan
from tadsr.plan.jobs import STAGES
from tadsr.plan.receipts import fresh_jobs
from tadsr.plan.scheduler import ended_by_scheduler, went_on
from tadsr.plan.status import failure_of
from tadsr.plan.times import Stamps, is_new

USAGE = 2
"""Snakemake's exit code for flags that it does not know."""

NO_ROOM = 2**20
"""Bytes: with less on the disk, a job can hardly have written why it failed."""


def fail(plan: Plan, code: int, before: Stamps) -> NoReturn:
    """Say which jobs failed and why, and where to find what there is.

    Raises:
        ConfigError: Snakemake did not understand its flags (its exit code 2), or there is no rule
            of a name among them.
        TadsrError: otherwise.
    """
    log = plan.root / "logs" / "snakemake.log"
    said = log.read_text(encoding="utf-8", errors="replace").strip().splitlines() or [""]
    if code == USAGE:
        raise ConfigError(f"Snakemake: {said[-1].split('error: ')[-1]} (log: {log})")
    if unknown := re.search(r"No rule to produce (\S+)", said[-1]):
        raise ConfigError(
            f"Snakemake knows no rule '{unknown[1]}': {nearest(unknown[1], [*STAGES])}"
        )
    show_tried_again(plan)
    failed = failed_jobs(plan, before)
    for line in failed or [no_room(plan) or f"Snakemake: {said[-1]}"]:
        print(f"failed: {line}")
    left = len(plan.jobs) - len(fresh_jobs(plan))
    page = plan.output("report")
    partial = f"; what there is: {page}" if page.is_file() else ""
    raise TadsrError(
        f"experiment {plan.experiment.name}: {left} of {len(plan.jobs)} jobs are not done"
        f"{partial}; the same command goes on (log: {log})"
    )


def failed_jobs(plan: Plan, before: Stamps) -> list[str]:
    """One line per job that failed since `before` was taken: its reason and its log.

    A job that was killed, or whose disk is full, leaves no reason, but a log and no receipt.
    """
    lines = []
    for job in plan.jobs.values():
        reason, log = failure_of(plan, job), plan.log(job.id)
        if not reason and is_new(log, before) and not plan.output(job.id).is_file():
            why = (
                no_room(plan)
                or clock_set_back(plan, job.id)
                or "it ended without a word, killed or out of memory"
            )
            reason = f"{why} (log: {log})"
        if reason:
            lines.append(f"{job.id}: {reason}")
    return lines


def clock_set_back(plan: Plan, job: str) -> str:
    """That Snakemake found a job's output older than its input; empty if it did not."""
    log = plan.root / "logs" / "snakemake.log"
    said = f"Output {plan.output(job)} has older modification time"
    if not log.is_file() or said not in log.read_text(encoding="utf-8", errors="replace"):
        return ""
    return "the clock was set back in the moment when it ended; what it made is kept"


def no_room(plan: Plan) -> str:
    """That the disk of the results is full; empty if it is not."""
    free = shutil.disk_usage(plan.root).free
    if free >= NO_ROOM:
        return ""
    return f"{plan.root}: the disk is full ({free / 1024:.0f} KiB left); free some space"


def show_tried_again(plan: Plan) -> None:
    """Say which jobs a scheduler ended and a later attempt did: they ask for too little."""
    for job in plan.jobs.values():
        ended = ended_by_scheduler(plan, job)
        if ended and went_on(plan, job, ended):
            print(f"tried again: {job.id}: {ended.describe(job.stage)}")
