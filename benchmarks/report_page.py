"""How fast the report's page opens with many models and images, against a plain file of its size.

    python benchmarks/report_page.py [--models 50] [--sets 6] [--images 100] [--seeds 3]
                                     [--side 256] [--rounds 5] [--keep FOLDER]

Results are made up (scores from random numbers, a few pictures under many names) and go through
the code of `tadsr compare` and `tadsr report`. The page is then opened in headless Chromium, in
turns with two others: a file of the same size that holds nothing but inert text, and the same page
without images. Printed: the page's size, medians of the time to the end of loading and to the
comparer being usable, and ratios to the plain file in the same round; then what opening the largest
table and going to the next image take. Chromium is `TADSR_CHROMIUM`, or `chromium` in the path.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

from tadsr.compare import Comparison, Summary, compare, summarize, to_frame
from tadsr.config import METRICS, Experiment
from tadsr.files import write_json
from tadsr.report import build_report, html
from tadsr.report.content import gather

LEVEL = {"psnr": (27.0, -0.6), "ssim": (0.79, -0.01), "lpips": (0.34, -0.06), "niqe": (6.2, -0.9),
         "musiq": (55.0, 4.0), "clipiqa": (0.45, 0.07)}  # fmt: skip
BASELINES = ("bicubic", "teacher-15", "teacher-1")


def make_experiment(args: argparse.Namespace) -> Experiment:
    """An experiment of so many models, of which three are baselines."""
    sets = [f"set-{i}" for i in range(args.sets)]
    names = ["full", *(f"variant-{i:02d}" for i in range(args.models - len(BASELINES) - 1))]
    settings = {
        "name": "many",
        "seeds": list(range(args.seeds)),
        "reference": "full",
        "primary": [{"dataset": sets[0], "metric": "lpips"}],
        "data": {"test": {name: {"kind": "pairs", "path": name} for name in sets}},
        "variants": {
            name: {"description": f"what {name} changes",
                   "delta": {} if name == "full" else {"student.losses.adversarial.weight": 0.0}}
            for name in names
        },
        "evaluation": {"models": list(BASELINES), "metrics": list(LEVEL)},
    }  # fmt: skip
    return Experiment.model_validate_json(json.dumps(settings))


def make_scores(experiment: Experiment, images: list[str]) -> pd.DataFrame:
    """Scores of every model, seed, image and metric."""
    rng = np.random.default_rng(3)
    models = [(name, -1) for name in experiment.evaluation.models]
    models += [(name, seed) for name in experiment.variants for seed in experiment.seeds]
    frames = []
    for dataset in experiment.data.test:
        for metric, (level, effect) in LEVEL.items():
            hardness = rng.normal(size=len(images))
            for name, seed in models:
                noise = rng.normal(size=len(images))
                values = level + effect * (hardness + rng.normal() + 0.3 * noise)
                frames.append(pd.DataFrame({
                    "variant": name, "seed": seed, "dataset": dataset, "image": images,
                    "metric": metric, "value": values}))  # fmt: skip
    return pd.concat(frames, ignore_index=True)


def make_comparison(root: Path, experiment: Experiment, scores: pd.DataFrame) -> None:
    """What `tadsr compare` writes."""
    folder = root / "comparison"
    folder.mkdir(parents=True)
    primary = [(e.dataset, e.metric) for e in experiment.primary]
    found = compare(scores, experiment.reference, primary)
    scores.to_parquet(folder / "scores.parquet", index=False)
    to_frame(found, Comparison).to_parquet(folder / "comparisons.parquet", index=False)
    to_frame(summarize(scores), Summary).to_parquet(folder / "means.parquet", index=False)
    write_json(folder / "cards.json", {name: {"metric": name, "pyiqa": METRICS[name].pyiqa,
                                              "verified": True} for name in LEVEL})  # fmt: skip
    write_json(folder / "cells.json", [
        {"variant": name, "seed": seed, "status": "done", "message": "", "seconds": 60.0,
         "results": {"val_start_mse": 0.03, "val_target_mse": 0.01}}
        for name in experiment.variants for seed in experiment.seeds])  # fmt: skip


def make_runs(root: Path, experiment: Experiment) -> None:
    """Run cards and curves."""
    rng = np.random.default_rng(4)
    card = {"status": "done", "key": "k" * 64, "recipe": {}, "recipe_digest": "0123456789ab" * 5,
            "upstream": {"teacher": "fe" * 32}, "content": "c0ffee" * 10, "seconds": 60.0,
            "results": {}, "message": "",
            "environment": {f"package-{i}": f"1.{i}" for i in range(30)}}  # fmt: skip
    folders = [f"students/{n}/seed-{s}" for n in experiment.variants for s in experiment.seeds]
    for folder in ("teacher", *folders):
        write_json(root / folder / "run.json", card)
        lines = [json.dumps({"images": 10 * i, "loss/regression": 1 / i + 0.1 * rng.random()})
                 for i in range(1, 101)]  # fmt: skip
        (root / folder / "metrics.jsonl").write_text("\n".join(lines) + "\n")


def make_images(root: Path, experiment: Experiment, images: list[str], side: int) -> None:
    """Ten pictures per side under all names, as hard links; about 100 kB each at 256 pixels."""
    rng = np.random.default_rng(5)
    pool = {}
    for edge in (side, side // 4):
        for k in range(10):
            y, x = np.mgrid[0:edge, 0:edge] * (256 / edge) / 16
            waves = np.stack([np.sin(x + k), np.sin(x * y / 9), np.cos(y + k)], axis=-1)
            pixels = 127 + 90 * waves + rng.normal(0, 6, waves.shape)
            pool[edge, k] = root / "pool" / f"{edge}-{k}.png"
            pool[edge, k].parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).save(pool[edge, k])
    students = [f"{name}/seed-{experiment.seeds[0]}" for name in experiment.variants]
    for dataset in experiment.data.test:
        folders = [(f"evaluations/{name}/{dataset}", side) for name in (*BASELINES, *students)]
        folders += [(f"data/{dataset}/hr", side), (f"data/{dataset}/lr", side // 4)]
        for j, (folder, edge) in enumerate(folders):
            (root / folder).mkdir(parents=True)
            for i, image in enumerate(images):
                os.link(pool[edge, (i + j) % 10], root / folder / f"{image}.png")


def plain_file(path: Path, size: int) -> Path:
    """A page of `size` bytes of text that a browser reads and does nothing with."""
    start = '<!doctype html><title>plain</title><p>Nothing.</p><script type="application/json">"'
    end = '"</script>\n'
    path.write_text(start + "A" * (size - len(start) - len(end)) + end)
    return path


def opened(browser: Browser, path: Path, action: Callable[[Page], Any] | None = None) -> float:
    """Seconds until a page is loaded and `action` is done, in a context of its own."""
    context = browser.new_context(viewport={"width": 1400, "height": 900})
    page = context.new_page()
    start = time.perf_counter()
    page.goto(path.as_uri(), wait_until="load")
    if action:
        action(page)
    seconds = time.perf_counter() - start
    context.close()
    return seconds


def see_images(page: Page) -> None:
    """Wait until both images of the comparer are there."""
    page.wait_for_function(
        "[...document.querySelectorAll('.stage img')].every(i => i.complete && i.naturalWidth)"
    )


def measure(browser: Browser, report: Path, bare: Path, plain: Path, rounds: int) -> None:
    """Open the three files in turns, and print medians."""
    times: dict[str, list[float]] = {"plain": [], "no images": [], "loaded": [], "usable": []}
    for _ in range(rounds):
        times["plain"].append(opened(browser, plain))
        times["no images"].append(opened(browser, bare))
        times["loaded"].append(opened(browser, report))
        times["usable"].append(opened(browser, report, see_images))
    labels = {"plain": "plain file of the same size, loaded", "no images":
              "the page without images, loaded", "loaded": "the page, loaded",
              "usable": "the page, loaded and two images shown"}  # fmt: skip
    for key, label in labels.items():
        ratios = [a / b for a, b in zip(times[key], times["plain"], strict=True)]
        print(f"{label:40} {statistics.median(times[key]):6.2f} s "
              f"({min(times[key]):.2f} to {max(times[key]):.2f}), "
              f"{statistics.median(ratios):.1f} times the plain file")  # fmt: skip


def measure_use(browser: Browser, report: Path) -> None:
    """What a reader waits for afterwards."""
    page = browser.new_page(viewport={"width": 1400, "height": 900})
    page.goto(report.as_uri())
    see_images(page)
    start = time.perf_counter()
    page.locator("#comparer [data-act=next]").click()
    see_images(page)
    print(f"next image: {time.perf_counter() - start:.2f} s")
    table = page.locator("#table-exploratory")
    rows = table.locator("tbody tr").count()
    start = time.perf_counter()
    page.locator("details", has=table).locator("summary").first.click()
    table.locator("thead button").first.click()
    page.evaluate("new Promise(done => requestAnimationFrame(() => setTimeout(done)))")
    print(f"opening and sorting a table of {rows} rows: {time.perf_counter() - start:.2f} s")
    page.close()


def build(root: Path, args: argparse.Namespace) -> tuple[Path, Path]:
    """The report's page, and one without images beside it."""
    experiment = make_experiment(args)
    images = [f"image-{i:03d}" for i in range(args.images)]
    scores = make_scores(experiment, images)
    make_comparison(root, experiment, scores)
    make_runs(root, experiment)
    make_images(root, experiment, images, args.side)
    print(f"{args.models} models, {args.sets} test sets, {args.images} images each, "
          f"{args.seeds} seeds: {len(scores)} scores")  # fmt: skip
    start = time.perf_counter()
    page = build_report(experiment, root, partial=True)
    files = sum(path.is_file() for path in (root / "report" / "images").rglob("*"))
    size = page.stat().st_size
    print(f"report built in {time.perf_counter() - start:.1f} s: page of {size / 1e6:.1f} MB, "
          f"{files} images beside it")  # fmt: skip
    content = gather(experiment, root, partial=True)
    evaluation = experiment.evaluation.model_copy(update={"visual_images": 0})
    silent = replace(content, experiment=experiment.model_copy(update={"evaluation": evaluation}))
    bare = page.with_name("without-images.html")
    bare.write_text(html.render(silent, html.all_tables(silent), html.all_figures(silent), []))
    return page, bare


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--models", type=int, default=50)
    parser.add_argument("--sets", type=int, default=6)
    parser.add_argument("--images", type=int, default=100)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--side", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--keep", type=Path, help="make the results here, and leave them")
    args = parser.parse_args()
    chromium = os.environ.get("TADSR_CHROMIUM") or shutil.which("chromium")
    if not chromium:
        parser.error("no chromium in the path; set TADSR_CHROMIUM")
    with tempfile.TemporaryDirectory() as temporary, sync_playwright() as playwright:
        report, bare = build((args.keep or Path(temporary)) / "results" / "many", args)
        plain = plain_file(report.with_name("plain.html"), report.stat().st_size)
        browser = playwright.chromium.launch(
            executable_path=chromium, args=["--no-sandbox", "--disable-gpu", "--disable-quic"]
        )
        measure(browser, report, bare, plain, args.rounds)
        measure_use(browser, report)
        browser.close()


if __name__ == "__main__":
    main()
