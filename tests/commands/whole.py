"""A finished experiment in which only the networks are made up: all digests are real."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from tadsr.cli import main
from tadsr.commands.evaluate import score_identity
from tadsr.config.loading import freeze
from tadsr.evaluation import evaluate_dataset
from tadsr.evaluation.measure import MetricLoader
from tadsr.files import sha256_file, write_json, write_text
from tadsr.plan import Plan, recipes
from tadsr.plan.artefacts import model_content, pool_content
from tadsr.plan.receipts import content_of, write_receipt
from tadsr.runs import Run
from tests.commands.whole_search import make_searches, pick_digest
from tests.plan.made_up import MINI

SETTINGS = ["evaluation.metrics=[psnr]"]


class MadeUp:
    """An upscaler: nearest neighbours, with noise of its own."""

    networks = None

    def __init__(self, name: str) -> None:
        self.seed = sum(name.encode())

    def upscale(self, lr: torch.Tensor, image: str) -> torch.Tensor:
        sr = lr.repeat_interleave(4, dim=1).repeat_interleave(4, dim=2)
        noise = np.random.default_rng(self.seed + len(image)).normal(0, 0.02, sr.shape)
        return (sr + torch.from_numpy(noise).float()).clamp(0, 1)


def make_whole(
    folder: Path,
    *overrides: str,
    before_evaluation: Callable[[Plan], None] = lambda plan: None,
    closing: bool = True,
) -> Plan:
    """Carry out the small experiment in `folder`/results; `closing`: up to the report."""
    given = Plan.load(MINI, [*SETTINGS, *overrides], folder / "results")
    frozen = given.root / "experiment.json"
    write_json(frozen, freeze(given.experiment), sort_keys=False)
    plan = Plan.load(frozen)
    stage("data", frozen)
    stage("weights", "check", frozen)
    make_trained(plan)
    before_evaluation(plan)
    plan = Plan.load(frozen)
    for job in plan.stage("evaluate"):
        evaluate(plan, job.id)
    if closing:
        stage("compare", frozen)
        stage("report", frozen)
    return plan


def stage(*arguments: str | Path) -> None:
    assert main([str(argument) for argument in arguments]) == 0


def make_trained(plan: Plan) -> None:
    """Teacher, pools and students: small files under real run cards, and their receipts."""
    experiment = plan.experiment
    data = {name: content_of(plan, f"data/{name}") for name in ("train", "val")}
    made = {"teacher": made_run(plan, "teacher", recipes.teacher(experiment), data)}
    for learner in experiment.learners():
        name = f"targets/{recipes.pool_name(experiment, learner.targets)}"
        recipe = recipes.pool(experiment, learner.targets)
        made[name] = made_run(plan, name, recipe, {"teacher": made["teacher"]})
    make_searches(plan)
    for cell in experiment.cells():
        pool = f"targets/{recipes.pool_name(experiment, cell.targets)}"
        upstream = {"teacher": made["teacher"], "targets": made[pool]}
        if cell.pick:
            upstream["pick"] = pick_digest(plan, cell.pick.sweep, cell.pick.which)
        name = f"students/{cell.name}"
        made[name] = made_run(plan, name, recipes.student(experiment, cell), upstream)
    folders = {"teacher": "{}", "targets": "targets/{}", "student": "students/{}"}
    for job in plan.jobs.values():
        if job.stage in folders:
            contents = {cell: made[folders[job.stage].format(cell)] for cell in job.cells}
            write_receipt(plan, job.id, {cell: {"status": "done", "content": content}
                                         for cell, content in contents.items()})  # fmt: skip


def made_run(plan: Plan, run: str, recipe: recipes.Recipe, upstream: dict[str, str]) -> str:
    """A run folder with a model, or with tensors if it is a pool; returns its content."""
    folder = plan.root / run
    content = pool_content if run.startswith("targets/") else model_content
    tensors = "val.safetensors" if run.startswith("targets/") else "model/unet/net.safetensors"
    with Run.open(folder, recipe.as_dict(), upstream, root=plan.root, content=content) as made:
        if not made.finished:
            write_text(folder / tensors, f"the tensors of {run}, as many as there are\n")
            write_text(folder / "metrics.jsonl", '{"images": 8, "loss/regression": 0.5}\n')
            made.finish("done", content(folder), results={"images": 8.0})
        return str(made.card["content"])


def evaluate(plan: Plan, job: str) -> None:
    """Real images and scores of made-up upscalers, and the receipt."""
    cells = {}
    for name in plan.jobs[job].cells:
        for dataset in plan.experiment.data.test:
            scores = plan.evaluation(name) / f"{dataset}.parquet"
            evaluate_dataset(
                lambda name=name: MadeUp(name), plan.dataset(dataset), scores,
                plan.evaluation(name) / dataset, plan.experiment.metrics(),
                score_identity(plan, name, dataset), threads=1, loader=MetricLoader("cpu"),
            )  # fmt: skip
            cells[f"{name}@{dataset}"] = {"status": "done", "content": sha256_file(scores)}
    write_receipt(plan, job, cells)


def tree(root: Path) -> dict[str, tuple[int, str]]:
    """Time and digest of every file, and the time of every folder."""
    return {
        path.relative_to(root).as_posix(): (
            path.stat().st_mtime_ns,
            sha256_file(path) if path.is_file() else "",
        )
        for path in root.rglob("*")
    }
