"""The frozen experiment and the receipts: what was planned, and what jobs said they made."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tadsr.commands.verify_audit import Audit
from tadsr.commands.verify_runs import AGAIN
from tadsr.config.loading import freeze
from tadsr.errors import ConfigError
from tadsr.files import checksum_holds, read_json
from tadsr.plan import Job, Plan
from tadsr.plan.sources import model_stamp

FOLDERS = {"data": "data/{}", "teacher": "{}", "targets": "targets/{}", "student": "students/{}"}
"""Stage to the run folder of a cell."""
CLOSING = ("compare", "report", "publish")
GAP = object()


def check_experiment(given: Plan) -> Audit:
    """The audit of the experiment as it was frozen, with what the file says now held against it.

    If receipts agree with the file and not with what was frozen, the latter was changed since,
    and all else is held against the file.
    """
    path = given.root / "experiment.json"
    if not path.is_file():
        audit = Audit(given)
        audit.add("missing", "experiment", path, "not frozen yet", remedy=AGAIN)
        return audit
    try:
        frozen = Plan.load(path)
    except ConfigError as error:
        audit = Audit(given)
        audit.add("wrong", "experiment", path, str(error), remedy=AGAIN)
        return audit
    other = differences(freeze(frozen.experiment), freeze(given.experiment))
    other = {key: values for key, values in other.items() if not key.startswith("execution.")}
    changed = bool(other) and _agreeing(given) > _agreeing(frozen)
    audit = Audit(given if changed else frozen)
    audit.count("experiment", "file")
    for key, (was, now) in other.items():
        audit.add("wrong" if changed else "outdated", "experiment", path, f"{key} is {was}",
                  expected=f"{now} as in {given.argument}", remedy=AGAIN)  # fmt: skip
    return audit


def differences(one: Any, other: Any, key: str = "") -> dict[str, tuple[str, str]]:
    """Dotted key to both values, where two settings differ."""
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        found: dict[str, tuple[str, str]] = {}
        for name in [*one, *(name for name in other if name not in one)]:
            below = f"{key}.{name}" if key else str(name)
            found |= differences(one.get(name, GAP), other.get(name, GAP), below)
        return found
    return {} if one == other else {key: (_said(one), _said(other))}


def _said(value: Any) -> str:
    return "not there" if value is GAP else str(value)[:80]


def _agreeing(plan: Plan) -> int:
    """How many receipts are of the jobs of this plan."""
    found = 0
    for job in plan.jobs.values():
        path = plan.receipt(job.id)
        try:
            receipt = read_json(path) if path.is_file() else {}
        except ValueError:
            continue
        found += checksum_holds(receipt) is not False and receipt.get("recipe") == job.digest
    return found


def read_receipts(audit: Audit) -> None:
    """Read all receipts; those that are damaged are found, and not relied on."""
    merged = audit.plan.root / "merged.json"
    if merged.is_file():  # of `tadsr merge`; the report tells what is in it
        audit.read_sealed("experiment", merged, "merge again")
    for job in audit.plan.jobs.values():
        path = audit.plan.receipt(job.id)
        if path.is_file():
            remedy = f"delete it and {AGAIN}"
            receipt = audit.read_sealed("receipts", path, remedy)
            if receipt is not None:
                audit.receipts[job.id] = receipt


def check_receipts(audit: Audit) -> None:
    """Each receipt against its job and against the run cards; call it after the other checks."""
    excused: set[str] = set()
    for job in audit.plan.jobs.values():
        receipt = audit.receipts.get(job.id)
        if receipt is None:
            _check_absence(audit, job)
            continue
        audit.count("receipts", "receipt")
        path = audit.plan.receipt(job.id)
        if receipt.get("recipe") != job.digest:
            if _rests_on_stamps(audit.plan, job) or excused.intersection(job.inputs):
                excused |= {job.id} - {"data"}  # no other digest has stamps of data in it
                audit.add("unchecked", "receipts", path, "files of yours that it was made from "
                          "have other times or places here; the next `tadsr run` looks at "
                          "them")  # fmt: skip
            else:
                audit.add("outdated", "receipts", path, str(receipt.get("recipe")),
                          expected=job.digest, remedy=AGAIN)  # fmt: skip
        _check_cells(audit, job, receipt.get("cells", {}))


def _check_absence(audit: Audit, job: Job) -> None:
    """A job without a receipt, unless what it made, or the receipt, is named already."""
    path = audit.plan.receipt(job.id)
    if path.is_file() or job.stage == "publish" or not audit.sound(job.stage):
        return
    audit.add("missing", "receipts", path, "no receipt", remedy=AGAIN)


def _rests_on_stamps(plan: Plan, job: Job) -> bool:
    """Whether times and places of a user's files are in a job's digest."""
    if job.stage == "data":
        return any(spec.path for spec in plan.experiment.data.all().values())
    return job.stage == "evaluate" and any(model_stamp(plan.experiment, n) for n in job.cells)


def _check_cells(audit: Audit, job: Job, cells: Mapping[str, Mapping[str, str]]) -> None:
    """The contents of a receipt against those of run cards."""
    if job.stage not in FOLDERS:
        return
    for cell in job.cells:
        content = audit.contents.get(FOLDERS[job.stage].format(cell))
        noted = cells.get(cell, {}).get("content", "nothing")
        if content not in (None, noted):
            audit.add("outdated", "receipts", audit.plan.receipt(job.id), f"{cell} is {noted[:12]}",
                      expected=content or "", remedy=AGAIN)  # fmt: skip
