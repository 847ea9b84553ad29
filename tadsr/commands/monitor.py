"""Watching a DAG from its files: stage, jobs done of all, time left."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from tadsr.files import read_json
from tadsr.plan import Plan
from tadsr.plan.job import MANY_JOBS
from tadsr.plan.jobs import STAGES, Job
from tadsr.plan.times import Stamps, is_new
from tadsr.runs.progress import read_progress

SECONDS_BETWEEN_LINES = 15.0
LEAST_PAUSE = 0.5
REST = 20.0
"""The pause between two looks, in times that a look took: however many jobs there are, watching
takes 5 % of a processor."""
MOST_DESCRIBED = 6
"""Running jobs of which a line tells how far they are; of the others it tells how many."""


class Monitor:
    """Runs Snakemake and tells how far the experiment is."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.log = plan.root / "logs" / "snakemake.log"
        self._begun = time.monotonic()
        self._shown = ""
        self._shown_at = 0.0

    def run(self, command: list[str], variables: Mapping[str, str]) -> int:
        """Run `command` with more environment variables to its end, printing progress.

        Returns its exit code.

        Snakemake's own output goes to a log file. It is stopped with us, so that the same
        command can go on after a kill; its jobs hold locks of their own.
        """
        self.log.parent.mkdir(parents=True, exist_ok=True)
        search = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
        environment = {**os.environ, **variables, "PATH": search}
        running = self._running()
        self._cost_at_start = self._cost_done(self._done(running), running)
        with self.log.open("w", encoding="utf-8") as log:
            process = subprocess.Popen(
                command, stdout=log, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
                env=environment, preexec_fn=_die_with_parent,
            )  # fmt: skip
            try:
                while not _ended(process, max(LEAST_PAUSE, REST * self._look())):
                    pass
            except KeyboardInterrupt:
                process.terminate()
                process.wait()
                raise
        self._show(last=True)
        return process.returncode

    def _look(self) -> float:
        """Show what there is; returns the seconds that it took."""
        begun = time.monotonic()
        self._show()
        return time.monotonic() - begun

    def _running(self) -> set[str]:
        return self._with_file("logs", ".progress.json")

    def _done(self, running: set[str]) -> set[str]:
        return self._with_file("jobs", ".json") - running

    def _with_file(self, place: str, ending: str) -> set[str]:
        """Ids of the jobs that have a file there, told by the lists of folders: a look at each of
        thousands of files takes as long as a short job."""
        found: set[str] = set()
        for stage in ("", *(f"{stage}/" for stage in MANY_JOBS)):
            with suppress(FileNotFoundError), os.scandir(self.plan.root / place / stage) as entries:
                names = [entry.name for entry in entries if entry.name.endswith(ending)]
                found.update(stage + name.removesuffix(ending) for name in names)
        return found & self.plan.jobs.keys()

    def _cost_done(self, done: set[str], running: set[str]) -> float:
        jobs = self.plan.jobs
        cost = sum(jobs[job].cost for job in done)
        for job in running:
            cost += jobs[job].cost * read_progress(self.plan.progress(job))["share"]
        return cost

    def _time_left(self, cost: float) -> str:
        """From the estimated costs, scaled by how fast they were worked off so far."""
        total = sum(job.cost for job in self.plan.jobs.values())
        elapsed = time.monotonic() - self._begun
        worked = cost - self._cost_at_start
        if elapsed < 10 or worked < 0.02 * total:
            return ""
        left = (total - cost) * elapsed / worked
        return f", about {left / 60:.0f} min left" if left > 90 else f", about {left:.0f} s left"

    def _show(self, last: bool = False) -> None:
        running = self._running()
        done = self._done(running)
        text = f"[{len(done)}/{len(self.plan.jobs)} jobs]"
        order = [job for job in self.plan.jobs.values() if job.id in running] if running else []
        parts = [self._describe(job) for job in order[:MOST_DESCRIBED]]
        if more := len(running) - len(parts):
            parts.append(f"and {more} more")
        line = f"{text} {' | '.join(parts)}" if parts else text
        now = time.monotonic()
        changed = (len(done), sorted(running))
        due = now - self._shown_at > SECONDS_BETWEEN_LINES
        if (str(changed) == self._shown and not due) or (not parts and not last):
            return
        self._shown, self._shown_at = str(changed), now
        elapsed = f"{(now - self._begun) / 60:.1f} min"
        left = "" if last else self._time_left(self._cost_done(done, running))
        print(f"{line} ({elapsed}{left})", flush=True)

    def _describe(self, job: Job) -> str:
        state = read_progress(self.plan.progress(job.id))
        pace = f", {state['pace']}" if state["pace"] else ""
        return f"{job.stage} {state['label'] or job.name} {state['share']:.0%}{pace}"


def stage_times(plan: Plan, seconds: float, before: Stamps) -> str:
    """A table of the seconds per stage, and of the share that was process start-up.

    Of the jobs that ended since `before` was taken: those of this run.
    """
    lines = [f"{'stage':10} {'jobs':>4} {'job seconds':>12} {'of it start-up':>15}"]
    total = startup = 0.0
    for stage in STAGES:
        times = [entry for job in plan.stage(stage) for entry in _job_times(plan, job, before)]
        spent, started = (sum(t[key] for t in times) for key in ("seconds", "startup"))
        total, startup = total + spent, startup + started
        lines.append(f"{stage:10} {len(times):4} {spent:12.1f} {started:15.1f}")
    share = startup / total if total else 0.0
    lines.append(
        f"experiment {plan.experiment.name}: done in {seconds / 60:.1f} minutes; jobs took "
        f"{total:.0f} s in all, {share:.0%} of it process start-up"
    )
    return "\n".join(lines)


def _job_times(plan: Plan, job: Job, before: Stamps) -> list[dict[str, float]]:
    path = plan.timing(job.id)
    return [read_json(path)] if is_new(path, before) else []


def _ended(process: subprocess.Popen[bytes], seconds: float) -> bool:
    """Whether a process ends within so many seconds."""
    with suppress(subprocess.TimeoutExpired):
        process.wait(seconds)
    return process.returncode is not None


def _die_with_parent() -> None:
    """Linux: have the kernel stop Snakemake when `tadsr run` itself is killed."""
    if sys.platform == "linux":
        import ctypes
        import signal

        pr_set_pdeathsig = 1
        ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGKILL)
