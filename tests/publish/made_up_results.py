"""A small made-up results folder: 2 variants x 2 seeds, one diverged, one metric missing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
from PIL import Image

from tadsr.compare import Comparison, Summary, compare, summarize, to_frame
from tadsr.config import Experiment
from tadsr.config.loading import freeze
from tadsr.files import write_json, write_text
from tadsr.plan import Plan
from tadsr.plan.receipts import write_receipt

NAME = "small"
SETTINGS: dict[str, Any] = {
    "name": NAME,
    "seeds": [0, 1],
    "reference": "full",
    "primary": [{"dataset": "photos", "metric": "lpips"}],
    "data": {"test": {"photos": {"kind": "photos", "split": "test", "degradation": "bicubic"},
                      "real": {"kind": "lr_only", "path": "real"}}},
    "variants": {"full": {"description": "everything"},
                 "no_gan": {"delta": {"student.losses.adversarial.weight": 0.0}}},
    "evaluation": {"models": ["bicubic", "teacher-1"], "metrics": ["lpips", "musiq"]},
}  # fmt: skip
DIVERGED = ("no_gan", 1)
LEVELS = {"bicubic": 0.5, "teacher-1": 0.4, "full": 0.3, "no_gan": 0.35}
IMAGES = ("a", "b", "c")
MISSING = "weights musiq-koniq are not here; tadsr weights fetch musiq-koniq"


def score(name: str, seed: int, image: str) -> float:
    """The LPIPS of the made-up experiment."""
    return LEVELS[name] + 0.01 * seed + 0.001 * IMAGES.index(image) * (1 + max(seed, 0))


def write_comparison(root: Path, scores: pd.DataFrame) -> None:
    """What `tadsr compare` would leave."""
    experiment = Experiment.model_validate_json(json.dumps(SETTINGS))
    folder = root / "comparison"
    folder.mkdir(parents=True, exist_ok=True)
    diverged = {DIVERGED[0]: [DIVERGED[1]]}
    scores.to_parquet(folder / "scores.parquet", index=False)
    found = compare(scores, "full", [("photos", "lpips")], diverged=diverged, resamples=10)
    to_frame(found, Comparison).to_parquet(folder / "comparisons.parquet", index=False)
    means = summarize(scores, diverged=diverged)
    to_frame(means, Summary).to_parquet(folder / "means.parquet", index=False)
    write_json(folder / "missing.json", {"musiq": MISSING})
    cells = [{"variant": c.variant, "seed": c.seed, "message": "", "results": {}, "seconds": 9.0,
              "status": "diverged" if (c.variant, c.seed) == DIVERGED else "done"}
             for c in experiment.cells()]  # fmt: skip
    write_json(folder / "cells.json", cells)


def make_results(root: Path) -> None:
    """Write the whole folder below `root`."""
    experiment = Experiment.model_validate_json(json.dumps(SETTINGS))
    write_json(root / "experiment.json", freeze(experiment))
    cells = {name: {"status": "done", "content": f"{i}" * 64}
             for i, name in enumerate(experiment.data.all())}  # fmt: skip
    write_json(root / "jobs" / "data.json", {"stage": "data", "job": "data", "cells": cells})
    rows = []
    for name in LEVELS:
        for seed in (0, 1) if name in experiment.variants else (-1,):
            if (name, seed) != DIVERGED:
                rows += [(name, seed, "photos", i, "lpips", score(name, seed, i)) for i in IMAGES]
                _evaluation(root / "evaluations" / (name if seed < 0 else f"{name}/seed-{seed}"))
    columns = ["variant", "seed", "dataset", "image", "metric", "value"]
    write_comparison(root, pd.DataFrame(rows, columns=columns))
    plan = Plan(experiment, root)
    write_training(plan, "teacher", "done", results={"val/single_step_mse": 0.02})
    for cell in experiment.cells():
        status = "diverged" if (cell.variant, cell.seed) == DIVERGED else "done"
        write_training(plan, f"students/{cell.name}", status)
    write_text(root / "report" / "index.html", "<h1>report</h1>")
    write_text(root / "report" / "figures" / "effects.svg", "<svg/>")
    write_text(root / "report" / "tables" / "main-photos.md", "| a | b |\n|---|---|\n| 1 | 2 |\n")
    write_text(root / "report" / "tables" / "main-photos.csv", "model,lpips\nfull,0.3\nother,\n")
    write_text(root / "report" / "images" / "a.png", "loaded by the page on demand")


def _evaluation(folder: Path) -> None:
    (folder / "photos").mkdir(parents=True)
    (folder / "photos.parquet").write_bytes(b"scores")
    for index, image in enumerate(IMAGES):
        Image.new("RGB", (8, 8), (40 * index, 80, 120)).save(folder / "photos" / f"{image}.png")


def write_training(
    plan: Plan,
    name: str,
    status: str,
    *,
    points: int = 4,
    scale: float = 1.0,
    results: dict[str, float] | None = None,
) -> None:
    """The folder of a training that got as far as `points` lines of its curves."""
    folder = plan.root / name
    done = status == "done"
    card = {"status": status, "recipe_digest": plan.recipe_digest(name), "seconds": 9.0,
            "content": "cd" * 32 if status != "running" else None,
            "results": (results or {"val_mse": 0.01}) if done else {},
            "message": "loss became nan" if status == "diverged" else ""}  # fmt: skip
    lines = [{"images": 8 * i, "loss/regression": scale / i, "val/mse": None if i == 2 else 0.5}
             for i in range(1, points + 1)]  # fmt: skip
    write_text(folder / "metrics.jsonl", "".join(json.dumps(line) + "\n" for line in lines))
    write_json(folder / "run.json", card)


def write_receipts(plan: Plan) -> None:
    """Those of every job up to the report, as if `tadsr run` had been through."""
    for job in plan.jobs.values():
        if job.id not in ("data", "publish"):
            write_receipt(plan, job.id, {})
    data = json.loads((plan.root / "jobs" / "data.json").read_text(encoding="utf-8"))
    write_receipt(plan, "data", data["cells"])
