"""A made-up experiment: 5 variants x 3 seeds, one diverged, one metric missing, three test sets."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from tadsr.compare import Comparison, Summary, compare, find_alarms, summarize, to_frame
from tadsr.config import METRICS, Experiment
from tadsr.evaluation.cost_records import CostRecord
from tadsr.files import write_json
from tadsr.report.content import ReportContent, gather
from tadsr.report.sweeps import read_sweeps
from tests.report.made_up_sweeps import with_sweeps, write_sweeps

# variant: shift from the teacher's single step, in units of each metric's effect below
VARIANTS = {"full": 1.0, "no_score_distillation": 0.45, "no_discriminator": 0.8,
            "vanilla_discriminator": 0.93, "distill_only": 0.3}  # fmt: skip
BASELINES = {"bicubic": -2.0, "teacher-15": 1.15, "teacher-1": 0.0}
LEVEL = {"psnr": (26.9, -0.6), "ssim": (0.79, -0.012), "lpips": (0.34, -0.06),
         "clipiqa": (0.45, 0.07), "niqe": (6.2, -0.9)}  # fmt: skip
DIVERGED = ("distill_only", 1)
MISSING = "weights musiq-koniq are not here; tadsr weights fetch musiq-koniq"
IMAGES = [f"photo-{i:02d}" for i in range(6)]


def experiment_settings() -> dict[str, Any]:
    return {
        "name": "synthetic",
        "seeds": [0, 1, 2],
        "reference": "full",
        "primary": [{"dataset": "photos-bicubic", "metric": "lpips", "margin": 0.01},
                    {"dataset": "photos-realesrgan", "metric": "lpips"}],
        "data": {"test": {
            "photos-bicubic": {"kind": "photos", "split": "test", "degradation": "bicubic"},
            "photos-realesrgan": {"kind": "photos", "split": "test", "degradation": "realesrgan"},
            "photos-real": {"kind": "lr_only", "path": "real"}}},
        "variants": {name: {"description": f"the {name} recipe & <nothing> else", "delta": {}}
                     if name == "full" else
                     {"description": f"without what {name} leaves out",
                      "delta": {"student.losses.adversarial.weight": 0.0}}
                     for name in VARIANTS},
        "evaluation": {"visual_images": 2},
    }  # fmt: skip


def make_results(root: Path) -> Experiment:
    """Write a whole results folder below `root`."""
    experiment = Experiment.model_validate_json(json.dumps(experiment_settings()))
    rng = np.random.default_rng(7)
    cells = _cells(rng)
    scores = _scores(rng)
    diverged = {DIVERGED[0]: [DIVERGED[1]]}
    primary = [(e.dataset, e.metric) for e in experiment.primary]
    comparisons = compare(scores, "full", primary, diverged=diverged, resamples=50)
    summaries = summarize(scores, diverged=diverged)
    folder = root / "comparison"
    folder.mkdir(parents=True)
    scores.to_parquet(folder / "scores.parquet", index=False)
    to_frame(comparisons, Comparison).to_parquet(folder / "comparisons.parquet", index=False)
    to_frame(summaries, Summary).to_parquet(folder / "means.parquet", index=False)
    write_json(folder / "alarms.json", [asdict(a) for a in find_alarms(comparisons, summaries)])
    write_json(folder / "cells.json", cells)
    write_json(folder / "cards.json", {name: _card(name) for name in LEVEL})
    write_json(folder / "missing.json", {"musiq": MISSING})
    write_json(folder / "costs.json", _costs())
    _runs(root, rng, cells)
    _pictures(root, rng)
    return experiment


def _costs() -> dict[str, Any]:
    """Twenty runs of the fast models, three of the slow one, which others disturbed."""
    seconds = {"bicubic": 0.0021, "teacher-15": 1.93, "teacher-1": 0.139, "students": 0.14}
    costs = {}
    for name, median in seconds.items():
        slow = name == "teacher-15"
        records = [
            CostRecord(
                lr_side=side,
                parameters={} if name == "bicubic" else {"denoiser": 1_800_000, "codec": 200_000},
                macs=(15 if slow else 1) * 2_230_000_000 * (side // 64) ** 2,
                seconds=[median * (side // 64) ** 2 * (1 + 0.01 * (i - (1 if slow else 9.5)))
                         for i in range(3 if slow else 20)],
                warmup=2, weight_bytes=8_000_000, peak_bytes=8_000_000 + 800 * side**2,
                memory_method="made up", device="cpu", device_name="Processor X", threads=1,
                processor="Processor X", torch="2.14.1", dtype="float32", load_average=1.0,
                busy_elsewhere=0.9 if slow else 0.0,
            ) for side in (64, 128)
        ]  # fmt: skip
        measured = "full/seed-0" if name == "students" else name
        costs[name] = {"measured_on": measured, "records": [r.to_dict() for r in records]}
    return costs


def _cells(rng: np.random.Generator) -> list[dict[str, Any]]:
    cells = []
    for name, shift in VARIANTS.items():
        for seed in range(3):
            lost = (name, seed) == DIVERGED
            end = 0.021 - 0.009 * shift + 0.0004 * float(rng.standard_normal())
            cells.append({
                "variant": name, "seed": seed, "status": "diverged" if lost else "done",
                "message": "val/target_mse went from 0.0301 to 41.2 by image 480" if lost else "",
                "results": {} if lost else {"val_start_mse": 0.0301, "val_target_mse": end},
                "seconds": 41.5 + 3 * seed})  # fmt: skip
    return cells


def _scores(rng: np.random.Generator) -> pd.DataFrame:
    rows = []
    easy = {(d, i): rng.normal() for d in ("photos-bicubic", "photos-realesrgan", "photos-real")
            for i in IMAGES}  # fmt: skip
    for metric, (level, effect) in LEVEL.items():
        for (dataset, image), offset in easy.items():
            if dataset == "photos-real" and METRICS[metric].needs_reference:
                continue
            base = level + 0.6 * effect * offset - (1.5 * effect if "esrgan" in dataset else 0)
            for name, shift in BASELINES.items():
                rows.append((name, -1, dataset, image, metric, base + effect * shift))
            for name, shift in VARIANTS.items():
                for seed in range(3):
                    if (name, seed) != DIVERGED:
                        noise = 0.02 * rng.normal() + 0.03 * np.sin(7 * seed + len(name))
                        value = base + effect * (shift + noise)
                        rows.append((name, seed, dataset, image, metric, value))
    columns = ["variant", "seed", "dataset", "image", "metric", "value"]
    return pd.DataFrame(rows, columns=columns)


def _card(metric: str) -> dict[str, Any]:
    spec = METRICS[metric]
    return {"metric": metric, "pyiqa": spec.pyiqa, "options": dict(spec.options),
            "color_space": spec.color_space, "border_crop": 0, "libraries": {"pyiqa": "0.1.15"},
            "tensors": "ab12" * 16 if spec.weights else None,
            "verified": {"lpips": True, "clipiqa": False, "niqe": True}.get(metric),
            "context": {"device": "cpu", "torch": "2.14.1"}, "dtype": "float32",
            "bit_depth": 8, "backbone": "a network", "grey": "rgb",
            "reference_resize": "none: pairs of unequal size are refused"}  # fmt: skip


def _run_card(status: str, seconds: float) -> dict[str, Any]:
    return {"status": status, "key": "k" * 64, "recipe": {"stage": "student"},
            "recipe_digest": "0123456789abcdef" * 4, "upstream": {"teacher": "fe" * 32},
            "content": "c0ffee" * 10, "command": "tadsr student", "seconds": seconds, "results": {},
            "environment": {"python": "3.11.9", "torch": "2.14.1", "processors": "2"},
            "message": ""}  # fmt: skip


def _runs(root: Path, rng: np.random.Generator, cells: list[dict[str, Any]]) -> None:
    write_json(root / "teacher" / "run.json", _run_card("done", 161.2))
    write_json(root / "targets" / "deterministic-12345678" / "run.json", _run_card("done", 22.9))
    lines = [{"images": 96 * i, "loss/denoising": 0.4 / i**0.5, "val/error": 0.2 / i**0.7}
             for i in range(1, 101)]  # fmt: skip
    _write_lines(root / "teacher" / "metrics.jsonl", lines)
    for cell in cells:
        folder = root / "students" / cell["variant"] / f"seed-{cell['seed']}"
        write_json(folder / "run.json", _run_card(cell["status"], cell["seconds"]))
        steps = 50 if cell["status"] == "diverged" else 100
        lines = [{"images": 0, "val/target_mse": 0.0301}]
        for i in range(1, steps + 1):
            wild = np.exp(0.12 * max(0, i - 25)) if cell["status"] == "diverged" else 1.0
            line = {
                "images": 10 * i,
                "learning_rate/student": 2e-4,
                "loss/regression": wild * (0.012 + 0.02 / i**0.5 + 0.002 * rng.random()),
            }
            if cell["variant"] not in ("no_score_distillation", "distill_only"):
                line["loss/score_distillation"] = 0.3 / i**0.3 + 0.05 * rng.normal()
            if cell["variant"] not in ("no_discriminator", "distill_only"):
                line["loss/adversarial"] = -0.3 + 0.2 * rng.normal()
                line["loss/discriminator"] = 1.8 - 0.004 * i + 0.1 * rng.random()
            if i % 10 == 0:
                shift = VARIANTS[cell["variant"]]
                line["val/target_mse"] = wild * (0.021 - 0.009 * shift + 0.009 / (i / 10) ** 0.8)
            lines.append(line)
        _write_lines(folder / "metrics.jsonl", lines)


def _write_lines(path: Path, lines: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")


def _pictures(root: Path, rng: np.random.Generator) -> None:
    students = [f"{name}/seed-{seed}" for name in VARIANTS for seed in range(3)]
    for dataset in ("photos-bicubic", "photos-realesrgan", "photos-real"):
        for k, image in enumerate(IMAGES[:3]):
            y, x = np.mgrid[0:128, 0:160] / 16.0
            waves = np.stack([np.sin(x + k) * np.cos(y * (1 + k)), np.sin(x * y / 3),
                              np.cos(y + c_shift(x))], axis=-1)  # fmt: skip
            hr = np.clip(127 + 110 * waves, 0, 255).astype(np.uint8)
            lr = hr.reshape(32, 4, 40, 4, 3).mean(axis=(1, 3)).astype(np.uint8)
            _save(root / "data" / dataset / "lr" / f"{image}.png", lr)
            if dataset != "photos-real":
                _save(root / "data" / dataset / "hr" / f"{image}.png", hr)
            for upscaler in (*BASELINES, *students):
                if upscaler != f"{DIVERGED[0]}/seed-{DIVERGED[1]}":
                    noisy = np.clip(hr + rng.normal(0, 12, hr.shape), 0, 255).astype(np.uint8)
                    _save(root / "evaluations" / upscaler / dataset / f"{image}.png", noisy)


def c_shift(x: np.ndarray) -> np.ndarray:
    return x**2 / 9


def _save(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Experiment, Path]:
    """The made-up experiment and its results folder; do not change the folder."""
    root = tmp_path_factory.mktemp("results") / "synthetic"
    return make_results(root), root


@pytest.fixture(scope="session")
def content(made: tuple[Experiment, Path]) -> ReportContent:
    experiment, root = made
    return gather(experiment, root)


@pytest.fixture(scope="session")
def searched(content: ReportContent, tmp_path_factory: pytest.TempPathFactory) -> ReportContent:
    """The made-up experiment with three searches."""
    root = tmp_path_factory.mktemp("sweeps") / "synthetic"
    write_sweeps(root)
    experiment = with_sweeps(content.experiment)
    return replace(content, experiment=experiment, sweeps=read_sweeps(experiment, root))


@pytest.fixture
def imported(content: ReportContent) -> ReportContent:
    """The same results as if of a published teacher, with online targets and published models."""
    experiment = content.experiment
    changed = experiment.model_copy(update={
        "teacher": experiment.teacher.model_copy(update={"weights": "resshift-realsrx4-s15-v1"}),
        "targets": experiment.targets.model_copy(update={"mode": "online"}),
        "data": experiment.data.model_copy(update={"scale": 1}),
    })  # fmt: skip
    baselines = (*content.baselines, "sinsr-v1", "resshift-realsrx4-s4-v3")
    return replace(content, experiment=changed, baselines=baselines)
