"""One real training step of every variant of an experiment, at its full size.

    python benchmarks/full_size.py [ablations/paper.yaml] [--batch 1] [--device auto]

The teacher has the published structure (118.6 M parameters and its codec) and random weights, the
crops are photographs that ship with scikit-image. A step is the product's own: targets from the
teacher's whole chain, all losses, backward, optimiser, average, and the saved state. Each variant
runs in a process of its own. Printed per variant: seconds of the step, peak memory of the process,
and the estimate of `tadsr plan` beside it; at the end, the bytes of activations per FLOP.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from tadsr.config import Experiment
from tadsr.plan.estimates import Estimates

FACE_WIDTHS = (128, 256, 512, 512)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("experiment", nargs="?", default="ablations/paper.yaml")
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--device", default="auto", choices=("auto", "cpu", "cuda"))
    parser.add_argument("--variant", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.device == "auto":
        args.device = "cuda" if torch.cuda.is_available() else "cpu"
    if args.variant:
        print(json.dumps(one_step(args)))
        return
    with tempfile.TemporaryDirectory() as folder:
        args.folder = Path(folder)
        prepare(args)
        for variant in load(args).variants:
            report(args, variant)


def load(args: argparse.Namespace) -> Experiment:
    """The experiment with photographs for images and so many pairs as one batch takes."""
    degradation = Experiment.load(args.experiment).data.train.degradation
    crop = Experiment.load(args.experiment).data.train.crop
    photos = (
        f"kind: folder, path: {args.folder / 'photos'}, degradation: {degradation}, crop: {crop}"
    )
    return Experiment.load(
        args.experiment,
        [
            f"data.train={{{photos}}}",
            f"data.val={{{photos}}}",
            f"targets={{mode: stored, pairs: {args.batch}, val_pairs: 1, batch_size: 1}}",
            f"student.training.images={args.batch}",
            f"student.training.batch_size={args.batch}",
            f"student.training.threads={torch.get_num_threads()}",
        ],
    )


def prepare(args: argparse.Namespace) -> None:
    """The data sets, and a teacher of the published structure."""
    from tadsr.data.images import write_png
    from tadsr.data.manifest import build_dataset
    from tadsr.data.photos import photo_paths
    from tadsr.training.models import save_pipeline

    for photo in photo_paths("train"):  # some are smaller than the crop of faces
        pixels = Image.fromarray(photo.read())
        factor = max(1.0, 520 / min(pixels.size))
        larger = pixels.resize((round(factor * pixels.width), round(factor * pixels.height)))
        write_png(args.folder / "photos" / f"{photo.name}.png", np.array(larger))
    experiment = load(args)
    for role in ("train", "val"):
        build_dataset(role, experiment.data.all()[role], args.folder / role, experiment.data.scale)
    started = time.monotonic()
    save_pipeline(random_teacher(experiment), args.folder / "teacher")
    print(f"teacher made and saved in {time.monotonic() - started:.0f} s", flush=True)


def random_teacher(experiment: Experiment) -> Any:
    """A pipeline of the published structure with random weights."""
    from tadsr.diffusion import ResShiftScheduler
    from tadsr.models import SwinUNet2DModel, VQCodec
    from tadsr.pipeline import TADSRPipeline

    torch.manual_seed(0)
    estimates = Estimates(experiment)
    widths = {} if estimates.factor == 4 else {"block_out_channels": FACE_WIDTHS}
    codes = 8192 if estimates.factor == 4 else 4096
    codec = VQCodec(latent_channels=estimates.channels, num_vq_embeddings=codes, **widths)
    unet = SwinUNet2DModel(
        in_channels=estimates.channels,
        out_channels=estimates.channels,
        sample_size=estimates.side,
        lq_size=estimates.crop // experiment.data.scale,
        **experiment.teacher.network.model_dump(),
    )
    torch.nn.init.normal_(unet.out[2].weight, std=0.01)
    scheduler = ResShiftScheduler(**experiment.teacher.schedule.model_dump())
    return TADSRPipeline(unet=unet, codec=codec, scheduler=scheduler, scale=experiment.data.scale)


def one_step(args: argparse.Namespace) -> dict[str, float]:
    """Targets and one training step of a variant; seconds and peak memory."""
    from tadsr.distillation.student import StudentObjective
    from tadsr.distillation.targets import make_targets, open_pool
    from tadsr.training.loop import fit
    from tadsr.training.models import load_frozen

    experiment = load(args)
    cell = experiment.cell(args.variant, experiment.seeds[0])
    folder = args.folder / args.variant
    data, quiet = experiment.data, lambda done, total: None
    started = time.monotonic()
    make_targets(cell.targets, args.folder / "teacher", args.folder / "train",
                 args.folder / "val", data, folder / "targets", device=args.device,
                 progress=quiet)  # fmt: skip
    targets = time.monotonic() - started
    teacher = load_frozen(args.folder / "teacher", args.device)
    pool = open_pool(cell.targets, folder / "targets", teacher, args.folder / "train", data,
                     args.device)  # fmt: skip
    objective = StudentObjective(cell.student, cell.seed, teacher, pool, args.device)
    outcome, state = fit(objective, cell.student.training, folder, progress=quiet)
    assert outcome.status == "done", outcome.message
    assert state.steps == 1
    if args.device == "cuda":
        peak = float(torch.cuda.max_memory_allocated())
    else:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024.0
    return {
        "step": args.batch / outcome.results["images_per_second"],
        "targets": targets,
        "peak": peak,
    }


def report(args: argparse.Namespace, variant: str) -> None:
    """Run a variant in a process of its own and print what it took."""
    command = [sys.executable, __file__, args.experiment, "--batch", str(args.batch),
               "--device", args.device, "--variant", variant,
               "--folder", str(args.folder)]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{variant}: {done.stderr.strip().splitlines()[-1]}")
    found = json.loads(done.stdout.strip().splitlines()[-1])
    experiment = load(args)
    cell = experiment.cell(variant, experiment.seeds[0])
    estimates = Estimates(experiment)
    fixed, activations = estimates.student_memory(cell.student, args.batch)
    flops = args.batch * estimates.student_image(cell.student, cell.targets)
    print(
        f"{variant:24} step {found['step']:6.1f} s ({flops / 1e12:.2f} TFLOP), targets "
        f"{found['targets']:6.1f} s, peak {found['peak'] / 1e9:5.2f} GB "
        f"(planned {(fixed + activations) / 1e9:5.2f} GB)",
        flush=True,
    )


if __name__ == "__main__":
    main()
