"""Whether memory format, compilation and bf16 make a training step faster on this machine.

    python benchmarks/network_formats.py [ablations/demo.yaml] [--variant full] [--images 160]

The product's own loop with `student.training.channels_last`, `.compile` and `.precision` switched,
each against the plain form, in turns. Printed: images per second, the ratio to plain (above 1 is
faster). Compilation itself falls into a round that is not counted.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from pathlib import Path

import torch
from cached_targets import MemoryPool, make_teacher

from tadsr.config import Experiment
from tadsr.distillation.student import StudentObjective
from tadsr.training.loop import fit

FORMS: dict[str, list[str]] = {
    "plain": [],
    "channels_last": ["channels_last=true"],
    "compile": ["compile=true"],
    "bf16": ["precision=bf16"],
}


def main() -> None:
    """Time all forms in turns."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("experiment", nargs="?", default="ablations/demo.yaml")
    parser.add_argument("--variant", default="full")
    parser.add_argument("--images", type=int, default=160)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--forms", nargs="+", default=list(FORMS), choices=list(FORMS))
    args = parser.parse_args()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    speeds: dict[str, list[float]] = {form: [] for form in dict.fromkeys(["plain", *args.forms])}
    for number in range(args.rounds + 1):
        for form, found in speeds.items():
            speed = images_per_second(args, form, device)
            if number:
                found.append(speed)
    for form, found in speeds.items():
        ratios = sorted(one / plain for one, plain in zip(found, speeds["plain"], strict=True))
        print(f"{form:14} {statistics.median(found):8.2f} images/s, "
              f"{statistics.median(ratios):.2f} of plain ({ratios[0]:.2f} to {ratios[-1]:.2f})",
              flush=True)  # fmt: skip


def images_per_second(args: argparse.Namespace, form: str, device: str) -> float:
    """Of one training in that form."""
    settings = [f"images={args.images}", f"batch_size={args.batch}", *FORMS[form]]
    experiment = Experiment.load(args.experiment, [f"student.training.{s}" for s in settings])
    teacher = make_teacher(experiment, device)
    spec = experiment.cell(args.variant, 0).student
    pool = MemoryPool(teacher, "stored", experiment, args.batch)
    objective = StudentObjective(spec, 0, teacher, pool, device)
    with tempfile.TemporaryDirectory() as folder:
        outcome, _ = fit(objective, spec.training, Path(folder), progress=lambda done, total: None)
    assert outcome.status == "done", outcome.message
    return outcome.results["images_per_second"]


if __name__ == "__main__":
    main()
