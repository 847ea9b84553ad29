"""The state of each cell of the grid, read from receipts, run cards and locks alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tadsr.locks import is_locked
from tadsr.plan.jobs import Job, Plan
from tadsr.plan.receipts import current_card, fresh_jobs
from tadsr.plan.scheduler import ended_by_scheduler, went_on
from tadsr.runs.folder import lock_path
from tadsr.runs.progress import read_progress


@dataclass(frozen=True)
class CellStatus:
    """Where a cell, or a job without cells of its own, stands."""

    stage: str
    name: str
    state: str
    """waiting, running, interrupted, done, diverged or failed."""
    detail: str = ""


QUIET = 120.0
"""Seconds without news after which a job's note of progress is a dead process's."""


def run_state(plan: Plan, run: str, job: Job) -> tuple[str, str]:
    """State and detail of a run folder, named from the results folder."""
    card = current_card(plan, run)
    if card is None:
        return "waiting", ""
    status = str(card["status"])
    if status == "running":
        if is_locked(lock_path(plan.root / run)):
            return "running", _how_far(read_progress(plan.progress(job.id)))
        return "interrupted", "the same command goes on"
    if status == "failed":
        return "failed", str(card["message"]) + _log(plan, job)
    return status, str(card.get("message", ""))


def grid_status(plan: Plan) -> list[CellStatus]:
    """Every job, with one line per cell for the trained things."""
    rows = []
    fresh = fresh_jobs(plan)
    for job in plan.jobs.values():
        if job.stage in ("teacher", "targets", "student"):
            rows += [_trained(plan, job, cell) for cell in job.cells]
        else:
            rows.append(_simple(plan, job, job.id in fresh))
    return rows


def _trained(plan: Plan, job: Job, cell: str) -> CellStatus:
    runs = {"teacher": "teacher", "targets": f"targets/{cell}", "student": f"students/{cell}"}
    state, detail = run_state(plan, runs[job.stage], job)
    failure = failure_of(plan, job) if state in ("waiting", "interrupted") else ""
    whole = not any(other in failure for other in job.cells)  # it failed before any of its cells
    if state == "waiting" and failure and (whole or cell in failure):
        state, detail = "failed", failure
    if state == "interrupted" and failure:
        detail = failure
    return CellStatus(job.stage, cell, state, detail)


def failure_of(plan: Plan, job: Job) -> str:
    """Why a job failed when it was last tried, and its log; empty if it did not.

    By its own account, or of a job that a scheduler ended by the scheduler's.
    """
    path = plan.log(job.id).with_suffix(".failed")
    if path.is_file():
        return path.read_text(encoding="utf-8").strip() + _log(plan, job)
    ended = ended_by_scheduler(plan, job)
    return "" if ended is None or went_on(plan, job, ended) else ended.describe(job.stage)


def _log(plan: Plan, job: Job) -> str:
    """Where a job's output went; who ran the stage by hand saw it."""
    log = plan.log(job.id)
    return f" (log: {log})" if log.is_file() else ""


def _simple(plan: Plan, job: Job, fresh: bool) -> CellStatus:
    if fresh:
        return CellStatus(job.stage, job.name, "done")
    failure = failure_of(plan, job)
    if failure:
        return CellStatus(job.stage, job.name, "failed", failure)
    note = read_progress(plan.progress(job.id))
    if note["age"] is None:
        return CellStatus(job.stage, job.name, "waiting")
    if note["age"] > QUIET and not is_locked(plan.root / ".lock"):
        return CellStatus(job.stage, job.name, "interrupted", "the same command goes on")
    return CellStatus(job.stage, job.name, "running", _how_far(note))


def _how_far(note: dict[str, Any]) -> str:
    return ", ".join(filter(None, [f"job {note['share']:.0%}", note["pace"]]))
