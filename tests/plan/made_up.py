"""A finished experiment that nothing was trained for: run cards, scores, receipts."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from tadsr.commands.evaluate import score_identity
from tadsr.commands.run import cell_content
from tadsr.evaluation.scores import write_scores
from tadsr.files import write_json, write_text
from tadsr.plan import Plan
from tadsr.plan.receipts import write_receipt
from tadsr.plan.recipes import trained_runs
from tests.conftest import REPOSITORY

MINI = REPOSITORY / "tests" / "integration" / "mini.yaml"


def mini(folder: Path, *overrides: str) -> Plan:
    """The plan of the small experiment with results in `folder`."""
    return Plan.load(MINI, ["evaluation.metrics=[psnr]", *overrides], folder / "results")


def finish_run(plan: Plan, run: str, content: str = "made") -> None:
    """The card of a finished run."""
    card = {"status": "done", "key": "k", "recipe_digest": plan.recipe_digest(run),
            "content": f"{content} {run}", "message": "", "results": {},
            "seconds": 1.0}  # fmt: skip
    write_json(plan.root / run / "run.json", card)


def write_scores_of(plan: Plan, upscaler: str, value: float = 20.0) -> None:
    """Scores of one upscaler on every test set."""
    for dataset, spec in plan.experiment.data.test.items():
        rows = [] if spec.kind == "lr_only" else [("a", "psnr", value), ("b", "psnr", value + 1)]
        frame = pd.DataFrame(rows, columns=["image", "metric", "value"])
        identity = score_identity(plan, upscaler, dataset)
        write_scores(plan.evaluation(upscaler) / f"{dataset}.parquet", frame, identity)


def finish_all(plan: Plan) -> None:
    """Everything up to the page, with receipts."""
    for run in [*(f"data/{name}" for name in plan.experiment.data.all()),
                *trained_runs(plan.experiment)]:  # fmt: skip
        finish_run(plan, run)
    for job in plan.stage("evaluate"):
        for upscaler in job.cells:
            write_scores_of(plan, upscaler)
    write_text(plan.output("report"), "the page")
    for job in plan.jobs.values():
        cells = list(job.cells) or ["index.html"] * (job.stage == "report")
        if job.stage == "evaluate":
            cells = [f"{cell}@{test}" for cell in cells for test in plan.experiment.data.test]
        contents = {} if job.stage in ("publish", "weights") else {
            cell: {"status": "done", "content": str(cell_content(plan, job.stage, cell))}
            for cell in cells
        }  # fmt: skip
        write_receipt(plan, job.id, contents)
