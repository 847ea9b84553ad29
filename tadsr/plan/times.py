"""Times of files, where nothing else can tell: no clock is compared with them, for clocks jump.

Digests say what is up to date. Snakemake compares times of modification; those are in disorder
where a clock was set back meanwhile, or a folder was copied without them.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

from tadsr.plan.jobs import Job, Plan

Stamps = dict[Path, int]
"""Time of modification (ns) of each file that was there."""


def stamps(plan: Plan) -> Stamps:
    """Of receipts, logs and timings: who compares later knows which jobs were at work."""
    paths = [path for job in plan.jobs
             for path in (plan.receipt(job), plan.log(job), plan.timing(job))]  # fmt: skip
    return {path: path.stat().st_mtime_ns for path in paths if path.is_file()}


def is_new(path: Path, before: Stamps) -> bool:
    """Whether a file was written since `before` was taken."""
    return path.is_file() and path.stat().st_mtime_ns != before.get(path)


def settle_times(plan: Plan) -> None:
    """Give outputs the times of the order in which they follow from each other, none to come.

    Call it when the receipts of jobs that are to be done (again) are gone: all others are up to
    date by their digests. Times that are in order stay as they are.
    """
    now, latest = time.time_ns(), dict[str, int]()
    for job in plan.jobs.values():  # inputs come before what needs them
        earliest = max((latest[name] for name in job.inputs if name in latest), default=0)
        for path in _outputs(plan, job):
            if path.exists():
                found = path.stat().st_mtime_ns
                wanted = min(max(found, earliest), now)
                if found != wanted:
                    os.utime(path, ns=(wanted, wanted))
                latest[job.id] = max(wanted, latest.get(job.id, 0))


def settle_inputs(plan: Plan, job: Job) -> None:
    """Let no input of a job that has just ended be younger than what it wrote.

    It is where the clock was set back between the two; Snakemake would call the job failed. The
    time is that of the file itself: the clock of a file server may differ from ours.
    """
    written = plan.output(job.id).stat().st_mtime_ns
    for path in map(plan.output, job.inputs):
        if path.is_file() and path.stat().st_mtime_ns > written:
            os.utime(path, ns=(written, written))


def _outputs(plan: Plan, job: Job) -> list[Path]:
    """What Snakemake looks at; of a folder a file in it that Snakemake made, or else itself."""
    if job.stage != "report":
        return [plan.output(job.id)]
    folders = [plan.output(job.id).parent / name for name in ("figures", "tables")]
    marks = [folder / ".snakemake_timestamp" for folder in folders]
    found = zip(folders, marks, strict=True)
    return [plan.output(job.id), *(mark if mark.exists() else folder for folder, mark in found)]
