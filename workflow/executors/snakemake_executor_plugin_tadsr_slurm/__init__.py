"""Snakemake's SLURM executor, with two things mended: what `sacct` says, and job arrays.

The executor is the published one (snakemake-executor-plugin-slurm). Its faults (2.8.0):

- It knows failures by the exact word. `sacct` says `CANCELLED by 0` of a job that `scancel` ended,
  and the executor waits for it for ever.
- It asks `sacct` for raw numbers. The tasks of an array do not go by these, but the last one has
  the number of the array, and its state is taken for that of all.
- Its arrays (`array-jobs`) wait until every job of a rule is ready at once, for ever if `--jobs` is
  smaller than that; have every task pretend to be the first one, whose result each removes at its
  start and misses at its end; and put retries, which ask for more, under the limits of first
  attempts.
"""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Sequence
from logging import Logger
from pathlib import Path
from typing import Any

import snakemake_executor_plugin_slurm as published
from snakemake_interface_common.exceptions import WorkflowError
from snakemake_interface_executor_plugins.executors.base import SubmittedJobInfo
from snakemake_interface_executor_plugins.jobs import JobExecutorInterface

ExecutorSettings = published.ExecutorSettings
common_settings = published.common_settings
ask = published.query_job_status


async def query_job_status(command: str, logger: Logger) -> tuple[dict[str, str] | None, Any]:
    """SLURM's words for the states of jobs, by the numbers that jobs were submitted with.

    `command` is the published executor's; so is the answer, states and the seconds it took, or
    (None, None) without one.
    """
    states, seconds = await ask(command.replace("JobIdRaw,", "JobID,"), logger)
    return states and {job: (state.split() or [""])[0] for job, state in states.items()}, seconds


published.query_job_status = query_job_status  # which its `check_active_jobs` looks up here


class Executor(published.Executor):
    """The published one; what `array-jobs` names, ready together and alike, becomes one array."""

    def run_jobs(self, jobs: Sequence[JobExecutorInterface]) -> None:
        """Submit the jobs that are ready."""
        super().run_jobs([])  # it notes the event loop that submissions report to
        alike: dict[object, list[JobExecutorInterface]] = {}
        for job in jobs:
            alike.setdefault(self._requests(job), []).append(job)
        for members in alike.values():
            if len(members) > 1:
                self._submit_array_jobs(members)
            else:
                self._submit_job(members[0])

    def _requests(self, job: JobExecutorInterface) -> object:
        """What must be equal for two jobs to be tasks of one array; groups stay alone."""
        if job.is_group() or not self.array_jobs.intersection(("all", job.rule.name)):
            return id(job)
        asked = {name: str(value) for name, value in job.resources.items() if name != "tmpdir"}
        return job.rule.name, job.threads, tuple(sorted(asked.items()))

    def run_array_jobs(self, jobs: Sequence[JobExecutorInterface]) -> None:
        """Submit jobs that ask for the same, as few arrays as the cluster's limit allows."""
        for begin in range(0, len(jobs), self.max_array_size):
            members = jobs[begin : begin + self.max_array_size]
            try:
                array = self._submit_array(members)
            except Exception as error:  # in a thread of its own: nobody else would tell of it
                for job in members:
                    self._report_job_error_threadsafe(SubmittedJobInfo(job), f"sbatch: {error}")
                continue
            self.logger.info(f"Submitted {len(members)} jobs as the tasks of SLURM job {array}.")
            for task, job in enumerate(members, start=1):
                name = f"{array}_{task}"
                log = self._logs(job) / published.get_job_wildcards(job) / f"{name}.log"
                submitted = SubmittedJobInfo(job, external_jobid=name, aux={"slurm_logfile": log})
                self._report_job_submission_threadsafe(submitted)

    def _submit_array(self, jobs: Sequence[JobExecutorInterface]) -> str:
        """Call sbatch; returns the id of the array."""
        first = jobs[0]
        for job in jobs:
            published.validate_slurm_extra(job)
        self._logs(first).mkdir(parents=True, exist_ok=True)
        asked = {
            "run_uuid": self.run_uuid,
            "slurm_logfile": self._logs(first) / "%A_%a.log",
            "comment_str": f"rule_{first.rule.name}_array_of_{len(jobs)}",
            "account": next(self.get_account_arg(first)),
            "partition": self.get_partition_arg(first),
            "workdir": self.workflow.workdir_init,
        }
        settings = self.workflow.executor_settings
        call = published.get_submit_command(first, asked, settings, self._failed_nodes)
        call += f"{published.set_gres_string(first)} --array=1-{len(jobs)}"
        script = _script([self.format_job_exec(job) for job in jobs])
        done = subprocess.run(shlex.split(call), text=True, input=script, capture_output=True)
        if done.returncode != 0:
            raise WorkflowError(f"{done.stderr.strip()} ({call})")
        for name in ("cluster", "clusters", "slurm_cluster"):
            if cluster := first.resources.get(name):
                self._submitted_job_clusters.add(cluster)
        answer = done.stdout.strip().split(";")[0]
        return str(published.validate_or_get_slurm_job_id(answer, done.stdout))

    def _logs(self, job: JobExecutorInterface) -> Path:
        return Path(self.slurm_logdir) / f"rule_{job.rule.name}"

    def report_job_submission(self, job_info: SubmittedJobInfo, register_job: bool = True) -> None:
        """Have the log of an array's task also where that of a single job would be."""
        link = _log(job_info)
        if link is not None and "_" in str(job_info.external_jobid):
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


def _script(commands: Sequence[str]) -> str:
    """A batch script whose n-th task, from 1 on, is the n-th command."""
    cases = "".join(f"{task})\n{text}\n;;\n" for task, text in enumerate(commands, start=1))
    return f'#!/bin/sh\ncase "$SLURM_ARRAY_TASK_ID" in\n{cases}esac\n'


def _log(job_info: SubmittedJobInfo) -> Path | None:
    log = (job_info.aux or {}).get("slurm_logfile")
    return None if log is None else Path(log)
