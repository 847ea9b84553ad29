"""What every command shares: its arguments, and the life of a job."""

from __future__ import annotations

import argparse
import os
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from pathlib import Path

from tadsr.config.experiment import ExecutionSpec
from tadsr.config.plugins import Clause
from tadsr.errors import (
    ConfigError,
    StorageError,
    TadsrError,
    listed,
    nearest,
    storage_error,
    without_secrets,
)
from tadsr.files import write_json, write_text
from tadsr.plan import Job, Plan
from tadsr.plan.jobs import COMPUTING
from tadsr.plan.receipts import inputs_digest, write_receipt
from tadsr.plan.times import settle_inputs
from tadsr.runs import Progress, team
from tadsr.runs.devices import devices

TOGETHER = ("teacher", "student")
"""Stages that `accelerate launch` may start in several processes."""


def add_experiment_arguments(parser: argparse.ArgumentParser, *, optional: bool = False) -> None:
    """The experiment file, overrides and the results folder: the same on every command."""
    parser.add_argument("experiment", nargs="?" if optional else None,
                        help="experiment file (YAML), or a frozen experiment.json")  # fmt: skip
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", dest="overrides",
                        help="change a setting, such as student.training.images=480")  # fmt: skip
    parser.add_argument("--results", default="results", metavar="DIR",
                        help="where results lie (default: results)")  # fmt: skip


def add_job_arguments(parser: argparse.ArgumentParser, *, named: bool) -> None:
    """Arguments of a stage command; `named` stages are told which job to do."""
    add_experiment_arguments(parser)
    if named:
        parser.add_argument("job", nargs="*", help="which jobs (default: all of the stage)")
    parser.add_argument("--expect", metavar="DIGEST",
                        help="refuse to run if the job's recipe digest is another")  # fmt: skip


def load_plan(args: argparse.Namespace) -> Plan:
    """The plan for a command's arguments."""
    return Plan.load(args.experiment, args.overrides, args.results)


@dataclass
class JobContext:
    """A job under way: where it reports to, and what its receipt will hold."""

    plan: Plan
    job: Job
    progress: Progress
    cells: dict[str, dict[str, str]] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    """Of what the bytes of a rendering depend on, for the receipt."""
    startup: float = 0.0

    def work_begins(self) -> None:
        """Mark the end of start-up: interpreter and library imports are behind us."""
        if not self.startup:
            self.startup = _seconds_since_process_start()

    def record(self, cell: str, status: str, content: str) -> None:
        """Note a finished cell for the receipt."""
        self.cells[cell] = {"status": status, "content": content}


def selected_jobs(plan: Plan, args: argparse.Namespace, stage: str) -> list[Job]:
    """The jobs a command line names, `--expect` checked."""
    if team.size() > 1 and stage not in TOGETHER:
        raise ConfigError(
            f"tadsr {stage}: several processes share the trainings alone ({', '.join(TOGETHER)}); "
            "run this stage without accelerate launch"
        )
    jobs = {job.name: job for job in plan.stage(stage)}
    names = getattr(args, "job", None) or list(jobs)
    for name in names:
        if name not in jobs:
            raise ConfigError(f"tadsr {stage}: no job '{name}': {nearest(name, list(jobs))}")
    chosen = [jobs[name] for name in names]
    if args.expect:
        for job in chosen:
            if job.digest != args.expect:
                raise TadsrError(
                    f"{args.experiment}: the recipe of {job.id} is {job.digest[:12]}, expected "
                    f"{args.expect[:12]}: the settings changed since; run `tadsr run` again"
                )
    return chosen


@contextmanager
def job_context(plan: Plan, job: Job) -> Iterator[JobContext]:
    """Carry a job out: progress while it runs, then its receipt, or the reason of its failure.

    Of several processes that share the job, the main one writes all that.
    """
    failure = plan.log(job.id).with_suffix(".failed")
    progress = Progress(plan.progress(job.id), max(len(job.cells), 1), job.name)
    context = JobContext(plan, job, progress)
    if not team.is_main():
        yield context
        return
    failure.unlink(missing_ok=True)
    begun = time.monotonic()
    started = _seconds_since_process_start()
    inputs = inputs_digest(plan, job)
    try:
        with _devices(job, plan.experiment.execution):
            yield context
    except Exception as error:
        text = " ".join(without_secrets(str(error)).split())[:500]
        with suppress(StorageError):  # `tadsr run` sees a full disk for itself
            write_text(failure, text or type(error).__name__)
        raise
    finally:
        progress.path.unlink(missing_ok=True)
    write_receipt(plan, job.id, context.cells, context.versions, inputs)
    settle_inputs(plan, job)
    wall = started + time.monotonic() - begun
    timing = {"seconds": round(wall, 2), "startup": round(context.startup or started, 2)}
    write_json(plan.timing(job.id), timing)


def _devices(job: Job, execution: ExecutionSpec) -> AbstractContextManager[object]:
    """A GPU or processors of this machine for a job that computes, until it ends."""
    if job.stage not in COMPUTING:
        return nullcontext()
    return devices(job.threads, use_gpu=execution.device != "cpu",
                   jobs_per_gpu=execution.jobs_per_gpu, waiting=team.announce)  # fmt: skip


def work_through(context: JobContext, what: str, work: Callable[[str], None]) -> None:
    """Do each cell of the job; one that crashes does not stop the others, but fails the job.

    Raises:
        TadsrError: after the last cell, naming those that failed.
    """
    failed = []
    for index, name in enumerate(context.job.cells):
        context.progress.start_cell(index, name)
        try:
            work(name)
        except Exception as error:
            if team.size() > 1:
                # The other processes are in the middle of this cell: the launcher ends them all.
                raise
            if refused := storage_error(error, name):
                raise refused from error  # the other cells would meet the same disk
            if not isinstance(error, TadsrError):
                traceback.print_exc()
            print(f"{context.job.stage} {name}: failed: {error}", flush=True)
            failed.append(f"{name}: {error}")
    if failed:
        cells = len(context.job.cells)
        raise TadsrError(f"{len(failed)} of {cells} {what} failed; {listed(failed)}")


def _seconds_since_process_start() -> float:
    """Seconds since the kernel made this process (0 where /proc does not exist)."""
    stat = Path("/proc/self/stat")
    if not stat.is_file():
        return 0.0
    ticks = int(stat.read_text().rsplit(")", 1)[1].split()[19])
    uptime = float(Path("/proc/uptime").read_text().split()[0])
    return max(0.0, uptime - ticks / os.sysconf("SC_CLK_TCK"))


def choose_device(wanted: str, place: str = "execution.device") -> str:
    """The device for what is wanted at `place`; asking for CUDA where there is none is an error.

    Of several processes that share a job, each has its own; they meet here.
    """
    import torch

    if wanted == "cuda" and not torch.cuda.is_available():
        raise TadsrError(f"{place}: cuda was asked for, but torch sees no GPU; use auto")
    if wanted == "auto":
        wanted = "cuda" if torch.cuda.is_available() else "cpu"
    return team.join(wanted) if team.size() > 1 else wanted


def meet(plan: Plan) -> None:
    """Have the processes of `accelerate launch` meet before any of them does anything."""
    if team.size() > 1:
        choose_device(plan.experiment.execution.device)


def show_clauses(file: str, clauses: Sequence[Clause]) -> None:
    """Print one line per thing that is relied on in a user's class; a broken one is an error."""
    for clause in clauses:
        print(f"{'BROKEN' if clause.broken else 'ok':7}{clause.text}"
              f"{': ' if clause.broken else ''}{clause.broken}", flush=True)  # fmt: skip
    broken = sum(bool(clause.broken) for clause in clauses)
    if broken:
        raise TadsrError(f"{file}: breaks {broken} of {len(clauses)} clauses, see above")
