"""A student's step with stored targets against the same step with the teacher's chain inside.

    python benchmarks/cached_targets.py [ablations/demo.yaml] [--batch 8] [--rounds 5]
    python benchmarks/cached_targets.py ablations/paper.yaml --batch 2 --rounds 3 --variants full

Per variant (`full`, `distill_only`), in one run and in turns:

    stored     all that a step needs lies in memory, as it does in a pool that was read
    inside     the latents lie there, and the teacher's steps are taken within the step
    published  the same, and both latents are encoded within the step (codecs with weights alone)

The step is the product's own objective with AdamW. Networks have the experiment's structure and
random weights. Printed beside each ratio: its ceiling, from the operations of both forms without
the optimiser, which a small batch on a CPU does notice.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import torch
from full_size import random_teacher
from torch import Tensor

from tadsr.config import Experiment
from tadsr.diffusion import ResShiftScheduler, sample
from tadsr.distillation.student import StudentObjective
from tadsr.models import PixelUnshuffleCodec, SwinUNet2DModel
from tadsr.pipeline import TADSRPipeline
from tadsr.plan.estimates import Estimates

VARIANTS = ("full", "distill_only")


def main() -> None:
    """Time all forms of both variants and print the ratios."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("experiment", nargs="?", default="ablations/demo.yaml")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--device", default="auto", choices=("auto", "cpu", "cuda"))
    parser.add_argument("--variants", nargs="+", default=VARIANTS, choices=VARIANTS)
    args = parser.parse_args()
    if args.device == "auto":
        args.device = "cuda" if torch.cuda.is_available() else "cpu"
    experiment = Experiment.load(args.experiment)
    teacher = make_teacher(experiment, args.device)
    vq = not isinstance(teacher.codec, PixelUnshuffleCodec)
    print(f"{experiment.name}: {Estimates(experiment).network.parameters / 1e6:.1f} M parameters, "
          f"batch {args.batch}, {args.device}, {torch.get_num_threads()} threads",
          flush=True)  # fmt: skip
    for variant in args.variants:
        forms = ("stored", "inside", "published") if vq else ("stored", "inside")
        steps = {form: make_step(experiment, variant, teacher, form, args) for form in forms}
        show(variant, in_turns(steps, args), ceilings(experiment, variant))


def make_teacher(experiment: Experiment, device: str) -> Any:
    """A frozen pipeline of the experiment's structure with random weights."""
    vq = experiment.teacher.codec.kind == "vq"
    teacher: Any = random_teacher(experiment) if vq else small_teacher(experiment)
    for module in (teacher.unet, teacher.codec):
        module.to(device).eval().requires_grad_(False)
    return teacher


def small_teacher(experiment: Experiment) -> TADSRPipeline:
    """A pipeline whose codec has no weights."""
    torch.manual_seed(0)
    estimates = Estimates(experiment)
    unet = SwinUNet2DModel(
        in_channels=estimates.channels, out_channels=estimates.channels,
        sample_size=estimates.side, **experiment.teacher.network.model_dump(),
    )  # fmt: skip
    torch.nn.init.normal_(unet.out[2].weight, std=0.01)
    scheduler = ResShiftScheduler(**experiment.teacher.schedule.model_dump())
    return TADSRPipeline(unet=unet, codec=PixelUnshuffleCodec(), scheduler=scheduler)


class MemoryPool:
    """Random pairs on the device; the teacher's answers and latents as the form wants them."""

    def __init__(self, teacher: Any, form: str, experiment: Experiment, batch: int) -> None:
        self.teacher, self.form = teacher, form
        estimates, crop = Estimates(experiment), experiment.data.train.crop or 64
        generator, device = torch.Generator().manual_seed(0), teacher.unet.device

        def draw(*shape: int) -> Tensor:
            return torch.randn(batch, *shape, generator=generator).to(device)

        latent = (estimates.channels, estimates.side, estimates.side)
        self.pairs = {key: draw(*latent) for key in ("z_y", "z_0", "x_T", "z_tch")}
        low = crop // experiment.data.scale
        self.pairs["lq"] = draw(3, low, low).clamp(-1, 1)
        self.images = [draw(3, crop, crop).clamp(-1, 1) for _ in range(2)]

    def __len__(self) -> int:
        return len(self.pairs["lq"])

    def validation(self) -> dict[str, Tensor]:
        """Not used here."""
        return self.pairs

    @torch.no_grad()
    def batch(self, seed: int, start: int, count: int) -> dict[str, Tensor]:
        """The pairs, with what this form of the step computes itself."""
        pairs, teacher = dict(self.pairs), self.teacher
        if self.form == "published":
            pairs["z_y"], pairs["z_0"] = (teacher.codec.encode(image) for image in self.images)
        if self.form != "stored":
            pairs["z_tch"] = sample(
                teacher.unet, teacher.scheduler, pairs["x_T"], pairs["z_y"], pairs["lq"]
            )
        return pairs


def make_step(
    experiment: Experiment, variant: str, teacher: Any, form: str, args: SimpleNamespace
) -> Callable[[], None]:
    """One step of a form, to be called again and again."""
    cell = experiment.cell(variant, 0)
    pool = MemoryPool(teacher, form, experiment, args.batch)
    objective = StudentObjective(cell.student, 0, teacher, pool, args.device)
    take = bare_step(objective)
    return lambda: take(objective.batch(0, args.batch))


def bare_step(objective: StudentObjective) -> Callable[[Any], None]:
    """A step on a batch: forward and backward passes, and AdamW, and nothing else."""
    optimisers = {
        name: torch.optim.AdamW(item.network.parameters(), lr=1e-5, fused=True)
        for name, item in objective.trainables().items()
    }

    def step(batch: Any) -> None:
        for name, terms in objective.phases(batch):
            total = torch.stack([term.weight * term.value for term in terms.values()]).sum()
            optimisers[name].zero_grad()
            total.backward(inputs=optimisers[name].param_groups[0]["params"])
            optimisers[name].step()

    return step


def in_turns(steps: dict[str, Callable[[], None]], args: SimpleNamespace) -> dict[str, list[float]]:
    """Seconds per step of each form, one after the other in each round; the first warms up."""
    times: dict[str, list[float]] = {form: [] for form in steps}
    for number in range(args.rounds + 1):
        for form, step in steps.items():
            started = time.perf_counter()
            step()
            if args.device == "cuda":
                torch.cuda.synchronize()
            if number:
                times[form].append(time.perf_counter() - started)
    return times


def ceilings(experiment: Experiment, variant: str) -> dict[str, float]:
    """What the operations of the forms allow."""
    estimates = Estimates(experiment)
    cell = experiment.cell(variant, 0)
    stored = estimates.student_image(
        cell.student, cell.targets.model_copy(update={"mode": "stored"})
    )
    chain = estimates.steps * estimates.network.forward
    return {
        "inside": (stored + chain) / stored,
        "published": (stored + estimates.answer()) / stored,
    }


def show(variant: str, times: dict[str, list[float]], most: dict[str, float]) -> None:
    """One line per form: median seconds with spread, the ratio to `stored`, its ceiling."""
    stored = times["stored"]
    print(f"{variant:13} stored    {statistics.median(stored):8.3f} s a step")
    for form, own in times.items():
        if form == "stored":
            continue
        ratios = sorted(slow / fast for slow, fast in zip(own, stored, strict=True))
        print(f"{'':13} {form:9} {statistics.median(own):8.3f} s a step: stored targets are "
              f"{statistics.median(ratios):.2f} times faster ({ratios[0]:.2f} to {ratios[-1]:.2f}; "
              f"ceiling {most[form]:.2f})", flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
