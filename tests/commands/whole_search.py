"""A finished search in which only the trainings are made up: all digests are real."""

from __future__ import annotations

import json

import yaml

from tadsr.commands.sweep import study_content
from tadsr.config.deltas import changed
from tadsr.files import digest_json, write_json, write_text
from tadsr.plan import Plan, recipes
from tadsr.plan.artefacts import sweep_content, trial_content
from tadsr.plan.receipts import content_of, student_upstream, write_receipt
from tadsr.runs import Run
from tadsr.sweeps import SEARCH_JOURNAL, read_pick

WEIGHT = "student.losses.adversarial.weight"
SEARCH = {"weight": {
    "space": {WEIGHT: {"kind": "float", "low": 0.01, "high": 1.0}},
    "objectives": [{"metric": "psnr"}], "budget": {"trials": 2},
}}  # fmt: skip
SETTING = f"sweeps={json.dumps(SEARCH)}"
TRIED = (0.5, 0.25)


def make_searches(plan: Plan) -> None:
    """Carry out each search of an experiment, with trials of TRIED weights, and its receipts."""
    for name in plan.experiment.sweeps:
        folder, recipe = plan.sweep(name), recipes.sweep(plan.experiment, name)
        upstream = student_upstream(plan, plan.experiment.search_cell(name))
        with Run.open(folder, recipe.as_dict(), {**upstream, "val": content_of(plan, "data/val")},
                      root=plan.root, content=study_content) as run:  # fmt: skip
            write_json(folder / "study.json", {"name": name})
            run.finish("done", study_content(folder))
        trials = [make_trial(plan, name, number, weight) for number, weight in enumerate(TRIED)]
        write_json(folder / "trials.json", trials)
        write_json(folder / "references.json", {})
        write_json(folder / "importances.json", {})
        write_text(folder / SEARCH_JOURNAL, "as Optuna writes it\n")
        write_pick(plan, name, trials[1]["settings"])


def make_trial(plan: Plan, name: str, number: int, weight: float) -> dict[str, object]:
    """A trial's run, and what trials.json says of it."""
    cell = plan.experiment.search_cell(name)
    student, _ = changed(cell.student, cell.targets, {WEIGHT: weight})
    recipe = recipes.student(plan.experiment, cell._replace(student=student, pick=None))
    folder = plan.sweep(name) / "trials" / recipe.digest[:16]
    scores = {"psnr": {"camera": 20 - weight}}
    with Run.open(folder, recipe.as_dict(), student_upstream(plan, cell), root=plan.root,
                  content=trial_content) as run:  # fmt: skip
        write_json(folder / "looks.json", {"8": {"psnr": {"camera": 1.0}}, "64": scores})
        run.finish("done", trial_content(folder))
    return {"number": number, "state": "complete", "settings": {WEIGHT: weight}, "scores": scores,
            "run": folder.name}  # fmt: skip


def write_pick(plan: Plan, name: str, delta: object) -> None:
    """What a search found, and the receipts of its jobs."""
    folder = plan.sweep(name)
    picks = {"best": {"trial": 1, "delta": delta, "values": {"psnr": 19.75}}}
    write_text(folder / "best.yaml", yaml.safe_dump({"picks": picks, "front": []}))
    contents = {name: study_content(folder), f"{name}@results": sweep_content(folder)}
    for job in plan.stage("sweep"):
        if job.name.partition("--")[0] == name:
            write_receipt(plan, job.id, {cell: {"status": "done", "content": contents[cell]}
                                         for cell in job.cells})  # fmt: skip


def pick_digest(plan: Plan, sweep: str, which: str) -> str:
    """What a winner's card says that it was trained with."""
    return digest_json(read_pick(plan.sweep(sweep), which)["delta"])
