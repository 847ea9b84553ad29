"""The results that `benchmarks/report_scale.py` compares and reports; a helper of it."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.report_page import BASELINES, LEVEL, make_experiment, make_images
from tadsr.commands.evaluate import score_identity
from tadsr.commands.run import freeze_experiment
from tadsr.evaluation.scores import write_scores
from tadsr.files import sha256_file, write_text
from tadsr.metrics.card import make_card
from tadsr.plan import Plan, recipes
from tadsr.plan.artefacts import model_content
from tadsr.plan.receipts import write_receipt
from tadsr.runs import Run
from tests.commands.whole import make_trained

LOSSES = ("loss/regression", "loss/score_distillation", "loss/adversarial", "val/target_mse")
POINTS = 100


def main() -> None:
    """Write everything up to the scores below results/many."""
    args = argparse.Namespace(**json.loads(sys.argv[1]), models=0)
    args.models = args.variants + len(BASELINES)
    experiment = make_experiment(args)
    plan = Plan(experiment, Path("results/many"))
    images = [f"image-{i:04d}" for i in range(args.images)]
    make_images(plan.root, experiment, images[: args.pictures], args.side)
    for name in experiment.data.all():
        recipe = recipes.dataset(experiment, experiment.data.all()[name])
        with Run.open(plan.dataset(name), recipe.as_dict(), {}, root=plan.root,
                      content=model_content) as made:  # fmt: skip
            made.finish("done", f"images of {name}")
    make_trained(plan)
    write_curves(plan)
    for job in plan.stage("evaluate"):
        write_job(plan, job.id, images)
    frozen = freeze_experiment(plan)
    print(f"{frozen}: {len(images) * len(LEVEL)} scores of each model on each test set")


def write_curves(plan: Plan) -> None:
    """Curves of some length, in place of the one line that `make_trained` leaves."""
    rng = np.random.default_rng(4)
    for run in ("teacher", *(f"students/{cell.name}" for cell in plan.experiment.cells())):
        lines = [{"images": 10 * i, **{name: 1 / i + 0.1 * rng.random() for name in LOSSES}}
                 for i in range(1, POINTS + 1)]  # fmt: skip
        text = "".join(json.dumps(line) + "\n" for line in lines)
        write_text(plan.root / run / "metrics.jsonl", text)


def write_job(plan: Plan, job: str, images: list[str]) -> None:
    """Score files of the models of a job, as `tadsr evaluate` leaves them."""
    specs = plan.experiment.metrics()
    cards = {spec.id: make_card(spec, None, None, "cpu").to_dict() for spec in specs}
    cells = {}
    for name in plan.jobs[job].cells:
        for place, dataset in enumerate(plan.experiment.data.test):
            path = plan.evaluation(name) / f"{dataset}.parquet"
            identity = score_identity(plan, name, dataset)
            write_scores(path, made_up(images, name, place), {**identity, "cards": cards})
            cells[f"{name}@{dataset}"] = {"status": "done", "content": sha256_file(path)}
    write_receipt(plan, job, cells)


def made_up(images: list[str], name: str, place: int) -> pd.DataFrame:
    """Scores in which images, models and seeds each have effects of their own."""
    variant = name.partition("/")[0]
    own, run, common = (np.random.default_rng([place, *text.encode()])
                        for text in (variant, name, "images"))  # fmt: skip
    parts = []
    for metric, (level, effect) in LEVEL.items():
        hardness = common.normal(size=len(images))
        noise = 0.3 * run.normal(size=len(images)) + 0.05 * run.normal() + 0.1 * own.normal()
        values = level + effect * (hardness + noise)
        parts.append(pd.DataFrame({"image": images, "metric": metric, "value": values}))
    return pd.concat(parts, ignore_index=True)


if __name__ == "__main__":
    main()
