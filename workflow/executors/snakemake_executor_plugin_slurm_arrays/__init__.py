"""Snakemake's SLURM executor, with job arrays of whatever is ready.

The executor is the published one (snakemake-executor-plugin-slurm). Its own arrays (2.8.0) wait
until every job of a rule is ready at once, for ever if `--jobs` is smaller than that; put retries,
which ask for more, under the limits of first attempts; and look for logs of tasks where none are.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import snakemake_executor_plugin_slurm as published
from snakemake_interface_executor_plugins.executors.base import SubmittedJobInfo
from snakemake_interface_executor_plugins.jobs import JobExecutorInterface

ExecutorSettings = published.ExecutorSettings
common_settings = published.common_settings


class Executor(published.Executor):
    """The published one; jobs that are ready together and ask for the same become one array."""

    def run_jobs(self, jobs: Sequence[JobExecutorInterface]) -> None:
        """Submit the jobs that are ready."""
        super().run_jobs([])  # it notes the event loop that submissions report to
        alike: dict[object, list[JobExecutorInterface]] = {}
        for job in jobs:
            alike.setdefault(_requests(job), []).append(job)
        for members in alike.values():
            if len(members) > 1:
                self._submit_array_jobs(members)
            else:
                self._submit_job(members[0])

    def report_job_submission(self, job_info: SubmittedJobInfo, register_job: bool = True) -> None:
        """Have the log of an array's task also where that of a single job would be."""
        link = _log(job_info)
        if _is_task(job_info) and link is not None:
            link.parent.mkdir(parents=True, exist_ok=True)
            if not link.is_symlink():
                link.symlink_to(Path("..", link.name))
        super().report_job_submission(job_info, register_job=register_job)

    def report_job_success(self, job_info: SubmittedJobInfo) -> None:
        """As the published one deletes the log of a single job, delete that of a task."""
        link = _log(job_info)
        keep = self.workflow.executor_settings.keep_successful_logs
        if link is not None and link.is_symlink() and not keep:
            (link.parent / link.readlink()).unlink(missing_ok=True)
            link.unlink()
        super().report_job_success(job_info)


def _requests(job: JobExecutorInterface) -> object:
    """What must be equal for two jobs to be tasks of one array; groups stay alone."""
    if job.is_group():
        return id(job)
    asked = {name: str(value) for name, value in job.resources.items() if name != "tmpdir"}
    return job.rule.name, job.threads, tuple(sorted(asked.items()))


def _is_task(job_info: SubmittedJobInfo) -> bool:
    return "_" in str(job_info.external_jobid)


def _log(job_info: SubmittedJobInfo) -> Path | None:
    log = (job_info.aux or {}).get("slurm_logfile")
    return None if log is None else Path(log)
