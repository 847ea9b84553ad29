"""`tadsr upscale`: pictures of a file or folder, enlarged with a trained model.

To resume, run the same command again: what is there stays. The noise of a picture depends on the
seed and its name alone, so an interrupted run gives the same pictures.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tadsr.commands.common import choose_device
from tadsr.commands.upscale_files import Task, find_model, plan_tasks
from tadsr.config.published import PUBLISHED
from tadsr.errors import ConfigError, DataError, TadsrError
from tadsr.seeds import torch_generator

if TYPE_CHECKING:
    from tadsr.pipeline import TADSRPipeline
    from tadsr.pipeline.foreign import ForeignPipeline

Size = tuple[int, int]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `tadsr upscale`."""
    add = parser.add_argument
    add("input", metavar="IN", help="a picture, or a folder of pictures (sub-folders included)")
    add("output", metavar="OUT", help="a folder (gets PNG files), or a .png, .jpg, .webp, .tif")
    add("--model", required=True, metavar="MODEL",
        help="a saved pipeline, a run's folder, the name of a published model, or the file of a "
             "checkpoint of another architecture")  # fmt: skip
    add("--steps", type=int, metavar="N",
        help="1, or the number of steps of the model's schedule "
             "(default: 1; of a published model, those it is meant for)")  # fmt: skip
    add("--tile", type=int, metavar="N",
        help="work in tiles of NxN input pixels, so that memory suffices for any size")  # fmt: skip
    add("--overlap", type=int, metavar="N", help="input pixels that tiles share (default: enough)")
    add("--seed", type=int, default=12345, help="seed of the noise (default: 12345)")
    add("--stochastic", action="store_true", help="random steps instead of deterministic ones")
    add("--device", choices=("auto", "cpu", "cuda"), default="auto", help="default: auto")
    add("--batch", type=int, default=1, metavar="N",
        help="pictures of one size to run together (default: 1)")  # fmt: skip
    add("--overwrite", action="store_true", help="make pictures again that are already there")


@dataclass
class Progress:
    """What was done, and how long the rest will take by its pixels."""

    total: int
    pixels_left: int
    done: int = 0
    failed: int = 0
    started: float = field(default_factory=time.monotonic)
    pixels_done: int = 0

    def report(self, task: Task, size: Size, made: Size, seconds: float) -> None:
        """Print the line of a finished picture."""
        self.done += 1
        self._count(size)
        sizes = f"{size[0]}x{size[1]} -> {made[0]}x{made[1]}"
        print(f"{self._place()} {task.name}  {sizes}  {seconds:.1f} s{self._left()}", flush=True)

    def fail(self, task: Task, size: Size, reason: object) -> None:
        """Print why a picture failed."""
        self.failed += 1
        self._count(size)
        text = " ".join(str(reason).split())
        print(f"{self._place()} {task.name}  failed: {text}", file=sys.stderr, flush=True)

    def _count(self, size: Size) -> None:
        self.pixels_done += size[0] * size[1]
        self.pixels_left -= size[0] * size[1]

    def _place(self) -> str:
        return f"[{self.done + self.failed}/{self.total}]"

    def _left(self) -> str:
        if self.pixels_left <= 0 or not self.pixels_done:
            return ""
        seconds = (time.monotonic() - self.started) * self.pixels_left / self.pixels_done
        return f"  {seconds / 60:.0f} min left" if seconds >= 90 else f"  {seconds:.0f} s left"


def run(args: argparse.Namespace) -> int:
    """Enlarge what is missing; 1 if a picture failed."""
    if args.batch < 1:
        raise ConfigError(f"--batch is {args.batch}; choose 1 or more")
    model, published = Path(args.model), PUBLISHED.get(args.model)
    if published is None or model.exists():
        model, published = find_model(model), None
    if args.steps is None:
        args.steps = published.steps if published else 1
    tasks = plan_tasks(Path(args.input), Path(args.output))
    waiting = [task for task in tasks if args.overwrite or not task.target.exists()]
    there = len(tasks) - len(waiting)
    failed = done = 0
    if waiting:
        progress = _work(args, model, waiting)
        done, failed = progress.done, progress.failed
    print(f"{done} done, {there} already there, {failed} failed")
    if there and not done:
        print("(--overwrite makes again what is already there)")
    return 1 if failed else 0


def _work(args: argparse.Namespace, model: Path, tasks: list[Task]) -> Progress:
    from tadsr.pipeline.pipeline import neighbours

    sizes = {task: _size(task) for task in tasks}
    progress = Progress(len(tasks), sum(width * height for width, height in sizes.values()))
    pipeline = _load(args, model)
    progress.started = time.monotonic()
    for batch in neighbours(tasks, sizes.__getitem__, args.batch):
        _make(args, pipeline, batch, sizes, progress)
    return progress


def _load(args: argparse.Namespace, model: Path) -> TADSRPipeline | ForeignPipeline:
    """The pipeline on its device; steps and tiles that do not suit it are refused here."""
    from tadsr.diffusion.sampling import check_steps
    from tadsr.pipeline import TADSRPipeline
    from tadsr.pipeline.foreign import ForeignPipeline
    from tadsr.pipeline.published import load_published
    from tadsr.pipeline.tiling import choose_overlap

    device = choose_device(args.device, "--device")
    if model.is_file():
        return ForeignPipeline(model, device)
    published = not model.exists()  # a name
    pipeline: TADSRPipeline = (
        load_published(str(model)) if published else TADSRPipeline.from_pretrained(model)
    )
    pipeline.to(device)
    check_steps(args.steps, pipeline.scheduler.num_train_timesteps)
    choose_overlap(args.tile, args.overlap, pipeline.lq_multiple, pipeline.lq_cell)
    # Of the tiles of a large picture: on a terminal, and gone when the picture is done.
    pipeline.set_progress_bar_config(disable=None, leave=False, desc="tiles", unit="tile")
    return pipeline


def _size(task: Task) -> Size:
    """(width, height) as the header says; a file without one fails later, with its reason."""
    from tadsr.data.images import read_size

    try:
        height, width = read_size(task.source)
    except DataError:
        return (0, 0)
    return width, height


def _make(
    args: argparse.Namespace,
    pipeline: TADSRPipeline | ForeignPipeline,
    tasks: list[Task],
    sizes: dict[Task, Size],
    progress: Progress,
) -> None:
    """Make the pictures of a batch; if it fails, one by one, so that only the bad one is lost."""
    begun = time.monotonic()
    try:
        images = _upscale(args, pipeline, tasks)
    except DataError as error:
        if len(tasks) == 1:
            progress.fail(tasks[0], sizes[tasks[0]], error)
            return
        for task in tasks:
            _make(args, pipeline, [task], sizes, progress)
        return
    seconds = (time.monotonic() - begun) / len(tasks)
    for task, image in zip(tasks, images, strict=True):
        try:
            _store(task, image)
            progress.report(task, sizes[task], image.size, seconds)
        except DataError as error:
            progress.fail(task, sizes[task], error)


def _upscale(
    args: argparse.Namespace, pipeline: TADSRPipeline | ForeignPipeline, tasks: list[Task]
) -> list[Any]:
    import torch

    try:
        images: list[Any] = pipeline(
            [task.source for task in tasks],
            num_inference_steps=args.steps,
            generator=[torch_generator(args.seed, task.name) for task in tasks],
            deterministic=not args.stochastic,
            batch_size=args.batch,
            tile_size=args.tile,
            tile_overlap=args.overlap,
        ).images
    except (torch.OutOfMemoryError, MemoryError) as error:
        raise DataError(_no_memory(args)) from error
    except RuntimeError as error:
        if "can't allocate memory" not in str(error):  # PyTorch's allocator on the CPU
            raise
        raise DataError(_no_memory(args)) from error
    return images


def _no_memory(args: argparse.Namespace) -> str:
    remedy = "a smaller --tile" if args.tile else "--tile, such as --tile 128"
    return f"too large for the memory; use {remedy}" + (" or --batch 1" if args.batch > 1 else "")


def _store(task: Task, image: Any) -> None:
    from tadsr.data.pictures import write_picture

    try:
        write_picture(task.target, image)
    except OSError as error:
        raise TadsrError(
            f"{task.target}: cannot be written ({error.strerror or error}); check the path"
        ) from error
