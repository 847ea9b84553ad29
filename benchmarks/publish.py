"""What publishing to MLflow costs: a first time, again with nothing to do, and while following.

    python benchmarks/publish.py [--runs 100] [--points 100]

Made-up results (students of one variant, with curves of `--points` lines and 8 names, scores of
four test sets, one picture each) are published to an SQLite file in a temporary folder. Printed:
seconds of the first publish and of one that finds nothing to do, and their ratio; then seconds a
follower takes to look when there is no news, and to carry one new line of each of 4 curves.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from PIL import Image

from tadsr.config import Experiment
from tadsr.files import write_json, write_text
from tadsr.plan import Plan
from tadsr.publish.client import publish_records
from tadsr.publish.database import create_database
from tadsr.publish.following import Follower
from tadsr.publish.location import ENVIRONMENT
from tadsr.publish.records import DatasetUse, Leaderboard, Point, RunRecord

NAMES = [f"loss/{i}" for i in range(8)]
SETS = [f"set-{i}" for i in range(4)]
NEWS = 4


def timed(work: Callable[[], object]) -> tuple[float, float]:
    """Seconds of `work` by the clock and of CPU time (less disturbed by other work)."""
    begun, used = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - begun, time.process_time() - used


def median(times: list[tuple[float, float]]) -> tuple[float, float]:
    """Of each of the two."""
    clock, used = zip(*times, strict=True)
    return statistics.median(clock), statistics.median(used)


def shown(times: tuple[float, float]) -> str:
    """For the screen."""
    return f"{times[0]:.3f} s ({times[1]:.3f} s CPU)"


def record(index: int, points: int, picture: Path) -> RunRecord:
    """A measured student."""
    curves = [Point(name, 8 * i, index + i / 7) for name in NAMES for i in range(points)]
    scores = [Point(f"{name}/lpips", 0, index / 9, name) for name in SETS]
    return RunRecord(
        f"full/seed-{index}", f"full/seed-{index}", "student", "done", {"tadsr.seed": str(index)},
        {f"student.setting-{i}": str(i) for i in range(40)}, (*curves, *scores),
        tuple(DatasetUse(name, "ab" * 32, "test") for name in SETS),
        images={f"{name}/a": picture for name in SETS},
    )  # fmt: skip


def write_training(plan: Plan, seed: int, points: int) -> None:
    """The folder of a training under way."""
    name = f"students/full/seed-{seed}"
    card = {"status": "running", "recipe_digest": plan.recipe_digest(name), "seconds": 1.0}
    lines = [{"images": 8 * i, **dict.fromkeys(NAMES, 1.0 / (1 + i))} for i in range(points)]
    text = "".join(json.dumps(line) + "\n" for line in lines)
    write_text(plan.root / name / "metrics.jsonl", text)
    write_json(plan.root / name / "run.json", card)


def main() -> None:
    """Print the costs."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--runs", type=int, default=100)
    parser.add_argument("--points", type=int, default=100)
    args = parser.parse_args()
    os.environ.pop(ENVIRONMENT, None)
    with tempfile.TemporaryDirectory() as name:
        results = Path(name)
        create_database(results / "mlflow.db")
        picture = results / "a.png"
        Image.effect_noise((256, 256), 40).convert("RGB").save(picture)
        measure_publishing(results / "published", args.runs, args.points, picture)
        measure_following(results, args.runs, args.points)


def measure_publishing(root: Path, runs: int, points: int, picture: Path) -> None:
    """A first time and again."""
    records = [record(index, points, picture) for index in range(runs)]
    parent = RunRecord("experiment", root.name, "experiment", "done", {})
    board = Leaderboard("set-0/lpips", True, ("set-0/lpips",))

    def publish() -> None:
        publish_records(root.name, parent, records, board, root)

    first = timed(publish)
    again = median([timed(publish) for _ in range(3)])
    print(f"{runs} runs with {points * len(NAMES)} points each: {shown(first)} the first time,")
    print(f"{shown(again)} again: {first[0] / again[0]:.0f} times less")


def measure_following(results: Path, runs: int, points: int) -> None:
    """A look without news, and one with four lines."""
    experiment = Experiment.model_validate_json(json.dumps({
        "name": "followed", "seeds": list(range(runs)), "variants": {"full": {}},
        "reference": "full", "primary": [],
        "data": {"test": {"photos": {"kind": "photos", "split": "test", "degradation": "bicubic"}}},
    }))  # fmt: skip
    plan = Plan(experiment, results / experiment.name)
    for seed in range(runs):
        write_training(plan, seed, points)
    follower = Follower(plan)
    print(f"following {runs} trainings: {shown(timed(follower.carry))} to catch up at the start")
    quiet = median([timed(follower.carry) for _ in range(5)])
    busy = []
    for more in range(1, 6):
        for seed in range(NEWS):
            write_training(plan, seed, points + more)
        busy.append(timed(follower.carry))
    print(f"a look without news: {shown(quiet)}")
    print(f"with one new line of each of {NEWS} curves: {shown(median(busy))}")


if __name__ == "__main__":
    main()
