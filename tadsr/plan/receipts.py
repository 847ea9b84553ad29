"""Receipts: a job's only declared output, written last."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tadsr.errors import TadsrError
from tadsr.files import read_json, write_json
from tadsr.plan.jobs import Plan


def write_receipt(plan: Plan, job_id: str, cells: dict[str, dict[str, str]]) -> None:
    """Write a job's receipt: its recipe digest, and per cell its status and content digest.

    It holds no times and no hosts: the same work gives the same bytes, and an equal receipt
    stops the propagation of a change.
    """
    job = plan.jobs[job_id]
    receipt = {"stage": job.stage, "job": job.name, "recipe": job.digest, "cells": cells}
    write_json(plan.receipt(job_id), receipt)


def read_receipt(plan: Plan, job_id: str) -> dict[str, Any]:
    """A job's receipt; one that is not there yet is an error that names the command."""
    path: Path = plan.receipt(job_id)
    if not path.is_file():
        raise TadsrError(f"{path}: not there yet; run `tadsr run` or first `tadsr {job_id}`")
    receipt: dict[str, Any] = read_json(path)
    return receipt


def fresh_jobs(plan: Plan) -> set[str]:
    """Ids of the jobs that are done as the experiment stands now, and so are all before them."""
    fresh: set[str] = set()
    for job in plan.jobs.values():  # inputs come before what needs them
        path = plan.receipt(job.id)
        if not path.is_file() or not fresh.issuperset(job.inputs):
            continue
        if path.suffix != ".json" or read_json(path).get("recipe") == job.digest:
            fresh.add(job.id)
    return fresh


def content_of(plan: Plan, job_id: str, cell: str) -> str:
    """The content digest of a cell, from its job's receipt."""
    cells = read_receipt(plan, job_id)["cells"]
    if cell not in cells:
        raise TadsrError(
            f"{plan.receipt(job_id)}: has no '{cell}'; run `tadsr {job_id.split('/')[0]}` again"
        )
    content: str = cells[cell]["content"]
    return content
