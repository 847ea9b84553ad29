"""What SLURM said of the jobs that it ended, read from the logs that its executor keeps of them.

A job that a scheduler ends cannot say why: the reason stands in the log of its batch script alone.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from tadsr.plan.job import MANY_JOBS, Job
from tadsr.plan.jobs import Plan

REASONS = {
    r"exceeded (job )?memory limit|oom.kill|out.of.memory": ("over its memory limit", "mem_mb"),
    r"DUE TO TIME LIMIT": ("over its time limit", "runtime"),
    r"DUE TO NODE FAILURE": ("its node failed", ""),
    r"CANCELLED AT": ("cancelled", ""),
}
"""Pattern in a log to words and to the resource that there was too little of. SLURM says that a job
is cancelled in the other cases, too, so that comes last."""


@dataclass(frozen=True)
class Ended:
    """The last of the attempts at a job that SLURM ended."""

    reason: str
    resource: str
    """Of which there was too little: a key of `execution.resources`, or empty."""
    attempts: int
    """How many ended so or otherwise."""
    log: Path

    def describe(self, stage: str) -> str:
        """For one line of output."""
        more = f"; ask for more with execution.resources.{stage}.{self.resource}"
        times = f" at attempt {self.attempts}" if self.attempts > 1 else ""
        remedy = more if self.resource else ""
        return f"{self.reason}{times}, says SLURM job {self.log.stem}{remedy} (log: {self.log})"


def slurm_logs(plan: Plan) -> Path:
    """The folder of the logs of batch scripts; those of jobs that succeed are deleted."""
    return plan.root / "logs" / "slurm"


def ended_by_scheduler(plan: Plan, job: Job) -> Ended | None:
    """What SLURM said of the attempts at a job since the run began; None where it said nothing."""
    folder = slurm_logs(plan) / f"rule_{job.stage}"
    if job.stage in MANY_JOBS:
        folder /= job.name
    # The log of an array's task is a link, which leads nowhere until the task begins.
    written = [path for path in folder.glob("*.log") if path.is_file()]
    logs = sorted(written, key=lambda path: path.stat().st_mtime_ns)
    for log in reversed(logs):
        text = log.read_text(encoding="utf-8", errors="replace")
        for pattern, (reason, resource) in REASONS.items():
            if re.search(pattern, text, re.IGNORECASE):
                return Ended(reason, resource, len(logs), log)
    return None


def went_on(plan: Plan, job: Job, ended: Ended) -> bool:
    """Whether a later attempt is under way, or did the job."""
    since = ended.log.stat().st_mtime_ns
    signs = (plan.receipt(job.id), plan.progress(job.id))
    return any(path.is_file() and path.stat().st_mtime_ns > since for path in signs)
