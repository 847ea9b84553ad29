"""The cost of each model: measured by the evaluate stage, gathered by compare.

Students of an experiment have one network and one step in common, so one of them is measured for
all. Costs are in no receipt: equal results must give equal receipts.
"""

from __future__ import annotations

from typing import Any

from tadsr.commands.upscalers import has_diverged, upscaler_content, upscaler_factory
from tadsr.errors import TadsrError
from tadsr.evaluation.cost_records import STUDENTS, CostRecord, read_cost, write_cost
from tadsr.plan import Plan

METHOD = 1
"""Raise it when cost is measured in another way: what is stored is then measured anew."""


def update_cost(plan: Plan, name: str, device: str) -> None:
    """Measure a model's cost unless it was measured with its content, these settings and device.

    What was measured beside other work is measured again. Of the students, one is measured, and
    finished images are not. The model is loaded only if there is something to measure.
    """
    spec = plan.experiment.evaluation.cost
    kind = plan.experiment.evaluation.kind(name)
    if not spec.sizes or kind == "images" or (kind == "student" and name != measured_student(plan)):
        return
    from tadsr.evaluation.cost import describe_device, measure_cost

    folder, identity = plan.evaluation(name), cost_identity(plan, name)
    here = describe_device(device)
    known = read_cost(folder, identity, here)
    if known is not None and not any(record.disturbed for record in known):
        return
    load = upscaler_factory(plan, name, _any_test_set(plan), device)
    records = measure_cost(
        load(), spec.sizes, device, repeats=spec.repeats, warmup=spec.warmup,
        threads=plan.experiment.evaluation.threads,
    )  # fmt: skip
    write_cost(folder, identity, here, records)
    for record in records:
        print(f"evaluate {name}: {_line(record)}", flush=True)


def _any_test_set(plan: Plan) -> str:
    """All models but finished images are the same on every test set."""
    return next(iter(plan.experiment.data.test))


def measured_student(plan: Plan) -> str | None:
    """The student that is measured for all: the reference's first seed that did not diverge.

    If all of the reference's did, the first of the other variants'. Students that are not trained
    yet are expected to be.
    """
    experiment = plan.experiment
    for cell in sorted(experiment.cells(), key=lambda cell: cell.variant != experiment.reference):
        if not has_diverged(plan, cell.name):
            return cell.name
    return None


def cost_identity(plan: Plan, name: str) -> dict[str, Any]:
    """What determines a cost besides the device: the model and how it is measured.

    Raises:
        TadsrError: the model is not there, or not with the settings of now.
    """
    experiment = plan.experiment
    return {
        "upscaler": name,
        "upscaler_content": upscaler_content(plan, name, _any_test_set(plan)),
        "steps": experiment.evaluation.steps(name),
        "scale": experiment.data.scale,
        "threads": experiment.evaluation.threads,
        "method": METHOD,
        **experiment.evaluation.cost.model_dump(mode="json"),
    }


def gather_costs(plan: Plan) -> dict[str, dict[str, Any]]:
    """The current costs by model, of the students under one name, with what was measured."""
    evaluation = plan.experiment.evaluation
    if not evaluation.cost.sizes:
        return {}
    rows = {name: name for name in evaluation.models if evaluation.kind(name) != "images"}
    if student := measured_student(plan):
        rows[STUDENTS] = student
    found = {}
    for row, name in rows.items():
        try:
            identity = cost_identity(plan, name)
        except TadsrError:  # the model is not there with the settings of now
            continue
        records = read_cost(plan.evaluation(name), identity)
        if records is not None:
            stored = [record.to_dict() for record in records]
            found[row] = {"measured_on": name, "records": stored}
    return found


def _line(record: CostRecord) -> str:
    """A size's cost for the log."""
    size = f"LR {record.lr_side}x{record.lr_side}"
    if record.missing or record.median is None:
        return f"{size}: {record.missing}"
    macs, peak = (record.macs or 0) / 1e9, (record.peak_bytes or 0) / 1e6
    return (
        f"{size}: {macs:.3g} GMAC, {1000 * record.median:.3g} ms "
        f"(median of {len(record.seconds)}), {peak:.3g} MB"
    )
