"""What the training loop costs beside a bare loop of the same passes on tensors in memory.

    python benchmarks/loop_overhead.py [ablations/demo.yaml] [--images 320] [--rounds 5]

The bare loop does the objective's forward passes, backward passes and optimiser steps and nothing
else: no average, no curves, no checks, no reading of data. Both are run in turns. Printed: seconds
of a step in wall-clock and in CPU time (of all threads), and the ratios, whose ideal is 1. For the
loop, time that goes into validations and saved states is left out of the wall-clock, as it is in
the throughput that `tadsr` reports, and is in the CPU time.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from cached_targets import MemoryPool, bare_step, make_teacher

from tadsr.config import Experiment
from tadsr.distillation.student import StudentObjective
from tadsr.training.loop import fit
from tadsr.training.process import reproducible


def main() -> None:
    """Time both loops in turns and print their ratios."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("experiment", nargs="?", default="ablations/demo.yaml")
    parser.add_argument("--images", type=int, default=320)
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    experiment = Experiment.load(args.experiment, [f"student.training.images={args.images}"])
    teacher = make_teacher(experiment, device)
    for variant in ("full", "distill_only"):
        compare(experiment, variant, teacher, device, args.rounds)


def compare(experiment: Experiment, variant: str, teacher: Any, device: str, rounds: int) -> None:
    """Both loops on one variant."""
    spec = experiment.cell(variant, 0).student
    steps = -(-spec.training.images // spec.training.batch_size)

    def objective() -> StudentObjective:
        pool = MemoryPool(teacher, "stored", experiment, spec.training.batch_size)
        return StudentObjective(spec, 0, teacher, pool, device)

    times: dict[str, list[tuple[float, float]]] = {"bare": [], "loop": []}
    for number in range(rounds + 1):
        for name, run in (("bare", bare_loop), ("loop", real_loop)):
            made = objective()
            cpu = time.process_time()
            wall = run(made)
            cpu = time.process_time() - cpu
            if number:  # the first round warms up
                times[name].append((wall / steps, cpu / steps))
    for column, clock in enumerate(("wall-clock", "CPU time")):
        bare, loop = ([row[column] for row in times[name]] for name in ("bare", "loop"))
        ratios = sorted(b / a for a, b in zip(bare, loop, strict=True))
        print(f"{variant:13} {clock:10} bare {statistics.median(bare) * 1e3:7.1f} ms, loop "
              f"{statistics.median(loop) * 1e3:7.1f} ms a step: ratio "
              f"{statistics.median(ratios):.3f} ({ratios[0]:.3f} to {ratios[-1]:.3f})",
              flush=True)  # fmt: skip


def bare_loop(objective: StudentObjective) -> float:
    """Seconds of all steps."""
    training = objective.spec.training
    step = bare_step(objective)
    batch = objective.batch(0, training.batch_size)
    with reproducible(training.threads):
        started = time.perf_counter()
        for _ in range(training.images // training.batch_size):
            step(batch)
        _wait(objective.device)
        return time.perf_counter() - started


def real_loop(objective: StudentObjective) -> float:
    """Seconds of all steps, as the loop itself counts them."""
    with tempfile.TemporaryDirectory() as folder:
        quiet: Callable[[int, int], None] = lambda done, total: None  # noqa: E731
        outcome, _ = fit(objective, objective.spec.training, Path(folder), progress=quiet)
    assert outcome.status == "done", outcome.message
    return objective.spec.training.images / outcome.results["images_per_second"]


def _wait(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


if __name__ == "__main__":
    main()
