"""The results that `benchmarks/plan_scale.py` plans over: all of them finished, nothing trained.

    python -m benchmarks.plan_scale_results freeze|finish EXPERIMENT

`freeze` writes experiment.json as `tadsr run` does. `finish` makes data sets with `tadsr data`, run
cards and small files in place of models with the product's own writers, a score file for each model
and test set, the comparison with `tadsr compare`, a page that says nothing, and all receipts; then
Snakemake notes what it would know of a run that it had done itself (`--touch`).
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd

from tadsr.cli import main as tadsr
from tadsr.commands.evaluate import score_identity
from tadsr.commands.run import REPOSITORY, freeze_experiment
from tadsr.evaluation.scores import write_scores
from tadsr.files import sha256_file, write_text
from tadsr.metrics.card import make_card
from tadsr.plan import Plan
from tadsr.plan.artefacts import report_files
from tadsr.plan.receipts import write_receipt
from tests.commands.whole import make_trained

IMAGES = ("a", "b", "c", "d")


def main() -> None:
    """Do what the command line says."""
    what, experiment = sys.argv[1:]
    given = Plan.load(experiment)
    given.root.mkdir(parents=True, exist_ok=True)
    frozen = freeze_experiment(given)
    if what == "finish":
        finish(frozen)


def finish(frozen: Path) -> None:
    """Everything up to the publishing, which leaves nothing but a receipt."""
    stage("data", frozen)
    stage("weights", "check", frozen)
    plan = Plan.load(frozen)
    make_trained(plan)
    score(plan)
    stage("compare", frozen)
    for place in ("index.html", "figures/effects.svg", "tables/main.csv"):
        write_text(plan.root / "report" / place, "nothing\n")
    files = report_files(plan.root / "report")
    write_receipt(plan, "report", {n: done(digest) for n, digest in files.items()})
    write_receipt(plan, "publish", {})
    touch(frozen)


def stage(*arguments: str | Path) -> None:
    """A `tadsr` command, in this process."""
    if tadsr([str(argument) for argument in arguments]):
        sys.exit(1)


def done(content: str) -> dict[str, str]:
    """A cell of a receipt."""
    return {"status": "done", "content": content}


def score(plan: Plan) -> None:
    """A score file for each model and test set, and the receipts of the evaluations."""
    experiment = plan.experiment
    cards = {spec.id: make_card(spec, None, None, "cpu").to_dict() for spec in experiment.metrics()}
    rng = np.random.default_rng(0)
    for job in plan.stage("evaluate"):
        cells = {}
        for name in job.cells:
            for dataset in experiment.data.test:
                rows = [(i, metric, 25 + rng.normal()) for i in IMAGES for metric in cards]
                frame = pd.DataFrame(rows, columns=["image", "metric", "value"])
                path = plan.evaluation(name) / f"{dataset}.parquet"
                identity = score_identity(plan, name, dataset)
                write_scores(path, frame, {**identity, "cards": cards})
                cells[f"{name}@{dataset}"] = done(sha256_file(path))
        write_receipt(plan, job.id, cells)


def touch(frozen: Path) -> None:
    """Have Snakemake take the outputs for its own."""
    profile = REPOSITORY / "workflow" / "profiles" / "local"
    command = [sys.executable, "-m", "snakemake", "--snakefile", REPOSITORY / "Snakefile",
               "--workflow-profile", profile, "--config", f"experiment={frozen}",
               "--cores", "1", "--touch", "--quiet", "all"]  # fmt: skip
    subprocess.run([str(part) for part in command], check=True)


if __name__ == "__main__":
    main()
