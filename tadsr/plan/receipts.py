"""Receipts: a job's only declared output, written last."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tadsr.config.experiment import Cell
from tadsr.errors import TadsrError
from tadsr.files import digest_json, read_json, with_checksum, write_json
from tadsr.plan.jobs import Job, Plan
from tadsr.plan.recipes import pool_name
from tadsr.runs.folder import read_card


def write_receipt(
    plan: Plan,
    job_id: str,
    cells: dict[str, dict[str, str]],
    versions: dict[str, str] | None = None,
    inputs: str | None = None,
) -> None:
    """Write a job's receipt: its recipe digest, and per cell its status and content digest.

    It holds no times and no hosts: the same work gives the same bytes, and an equal receipt
    stops the propagation of a change. `versions` are those of what the bytes of a rendering
    depend on, so that another version is not taken for a damage. `inputs` is the
    `inputs_digest` of when the job began; without it, that of now.
    """
    job = plan.jobs[job_id]
    receipt = {"stage": job.stage, "job": job.name, "recipe": job.digest, "cells": cells}
    receipt["inputs"] = inputs_digest(plan, job) if inputs is None else inputs
    if versions:
        receipt["versions"] = versions
    write_json(plan.receipt(job_id), with_checksum(receipt))


def read_receipt(plan: Plan, job_id: str) -> dict[str, Any]:
    """A job's receipt; one that is not there yet is an error that names the command."""
    path: Path = plan.receipt(job_id)
    if not path.is_file():
        raise TadsrError(f"{path}: not there yet; run `tadsr run` or first `tadsr {job_id}`")
    receipt: dict[str, Any] = read_json(path)
    return receipt


def inputs_digest(plan: Plan, job: Job, made: dict[str, str] | None = None) -> str:
    """The digest of what the receipts of a job's inputs say was made; without a receipt, nothing.

    `made` keeps the digest of each receipt that was read.
    """
    made = {} if made is None else made
    for name in job.inputs:
        if name not in made:
            path = plan.receipt(name)
            made[name] = digest_json(read_json(path)["cells"]) if path.is_file() else ""
    return digest_json({name: made[name] for name in job.inputs})


def fresh_jobs(plan: Plan) -> set[str]:
    """Ids of the jobs that are done as the experiment stands now, and so are all before them.

    A job is not, if what it was made from was made again since with another content, such as by
    a stage that was run by hand.
    """
    fresh: set[str] = set()
    made: dict[str, str] = {}
    for name, job in plan.jobs.items():  # inputs come before what needs them
        path = plan.receipt(name)
        there = fresh.issuperset(job.inputs) and all(p.is_file() for p in {path, plan.output(name)})
        if not there:
            continue
        receipt = read_json(path)
        made[name] = digest_json(receipt["cells"])
        if _is_of_now(plan, job, receipt, made):
            fresh.add(name)
    return fresh


def is_made(plan: Plan, job_id: str) -> bool:
    """Whether a job's receipt is of the settings of now and of what its inputs' receipts say."""
    path = plan.receipt(job_id)
    return path.is_file() and _is_of_now(plan, plan.jobs[job_id], read_json(path))


def _is_of_now(
    plan: Plan, job: Job, receipt: dict[str, Any], made: dict[str, str] | None = None
) -> bool:
    """Receipts of versions that did not note their inputs are taken as they are."""
    of_now = inputs_digest(plan, job, made)
    return bool(receipt["recipe"] == job.digest and receipt.get("inputs", of_now) == of_now)


def current_card(plan: Plan, run: str) -> dict[str, Any] | None:
    """The run card of a run folder (named from the results folder), if it is of today's recipe.

    None where nothing was run yet, or what lies there was made by other settings.
    """
    card = read_card(plan.root / run)
    if card is None or card.get("recipe_digest") != plan.recipe_digest(run):
        return None
    return card


def student_upstream(plan: Plan, cell: Cell) -> dict[str, str]:
    """Contents of what a student is made from; raises as `content_of`."""
    pool = pool_name(plan.experiment, cell.targets)
    return {"targets": content_of(plan, f"targets/{pool}"), "teacher": content_of(plan, "teacher")}


def content_of(plan: Plan, run: str) -> str:
    """The content digest of a finished run: a data set, the teacher, a pool or a student.

    Raises:
        TadsrError: it is not finished, or was made by other settings than those of now.
    """
    card = current_card(plan, run)
    if card is None or card["status"] != "done":
        other = (
            "not made with the settings of now" if read_card(plan.root / run) else "not made yet"
        )
        why = other if card is None else f"not finished ({card['status']})"
        stage = run.split("/")[0].replace("students", "student")
        raise TadsrError(f"{plan.root / run}: {why}; run `tadsr run`, or first `tadsr {stage}`")
    return str(card["content"])
