"""Images per second of the random degradations, against a plain loop with OpenCV and Pillow.

Run: `python benchmarks/degradation.py [--device cuda] [--recipe face] [--threads 2]`. Both sides
draw the same programs of 16 crops of 256x256 and run the same steps; the loop is what data loaders
commonly do: `cv2.filter2D` with the kernel cut to its own size, `cv2.resize`, numpy's noise, a
JPEG through Pillow. Rounds alternate between the two; prints medians, the ratio (above 1: ours is
faster) and each step's share of our time.
"""

from __future__ import annotations

import argparse
import io
import statistics
import time
from collections import defaultdict
from collections.abc import Callable

import cv2
import numpy as np
import torch
from PIL import Image
from skimage.data import astronaut

from tadsr.data.degradations import RECIPES
from tadsr.data.noise import LUMA
from tadsr.data.realesrgan import degrade_batch
from tadsr.data.steps import Blur, GaussianNoise, Jpeg, PoissonNoise, Program, Resize, Step
from tadsr.seeds import numpy_generator

BATCH, SIDE, ROUNDS = 16, 256, 15
MODES = {"area": cv2.INTER_AREA, "bilinear": cv2.INTER_LINEAR, "bicubic": cv2.INTER_CUBIC}


def crops() -> torch.Tensor:
    """(16, 3, 256, 256) in [0, 1], overlapping crops of one photograph."""
    photo = astronaut()
    views = [photo[8 * i : 8 * i + SIDE, 16 * i : 16 * i + SIDE] for i in range(BATCH)]
    return torch.from_numpy(np.stack(views)).permute(0, 3, 1, 2).contiguous().float() / 255


def loop_step(image: np.ndarray, step: Step, rng: np.random.Generator) -> np.ndarray:
    """One step on (H, W, 3) float32, as a data loader would write it."""
    if isinstance(step, Blur):
        edge = int(np.argmax(np.any(step.kernel != 0, axis=0)))
        inner = slice(edge, step.kernel.shape[0] - edge)
        return cv2.filter2D(image, -1, step.kernel[inner, inner], borderType=cv2.BORDER_REFLECT_101)
    if isinstance(step, Resize):
        return cv2.resize(image, step.size[::-1], interpolation=MODES[step.mode])
    if isinstance(step, GaussianNoise):
        shape = (*image.shape[:2], 1 if step.grey else 3)
        noise = rng.standard_normal(shape, dtype=np.float32) * np.float32(step.sigma)
        return np.clip(image + noise, 0, 1)
    if isinstance(step, PoissonNoise):
        signal = np.clip(image, 0, 1)
        if step.grey:
            signal = signal @ np.array(LUMA, np.float32)[:, None]
        signal = np.round(signal * 255) / 255
        photons = 2 ** np.ceil(np.log2(len(np.unique(signal))))
        noise = rng.poisson(signal * photons) / photons - signal
        return np.clip(image + step.scale * noise, 0, 1).astype(np.float32)
    assert isinstance(step, Jpeg)
    buffer = io.BytesIO()
    levels = np.round(np.clip(image, 0, 1) * 255).astype(np.uint8)
    Image.fromarray(levels).save(buffer, format="JPEG", quality=step.quality)
    return np.asarray(Image.open(buffer)).astype(np.float32) / 255


def loop_image(image: np.ndarray, program: Program, rng: np.random.Generator) -> np.ndarray:
    for step in program:
        image = image if step is None else loop_step(image, step, rng)
    return np.round(np.clip(image, 0, 1) * 255)


def seconds(work: Callable[[], object], device: torch.device) -> float:
    start = time.perf_counter()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start


def timed_steps(device: torch.device, spent: dict[str, float]) -> Callable[[], None]:
    """Make every step note its time in `spent`; returns the way back."""
    kinds = (Blur, Resize, GaussianNoise, PoissonNoise, Jpeg)
    plain = {kind: kind.run for kind in kinds}

    def wrap(kind: type[Step]) -> None:
        def run(images: torch.Tensor, steps: list[Step]) -> torch.Tensor:
            start = time.perf_counter()
            done = plain[kind](images, steps)
            if device.type == "cuda":
                torch.cuda.synchronize()
            spent[kind.__name__] += time.perf_counter() - start
            return done

        kind.run = staticmethod(run)

    def restore() -> None:
        for kind, run in plain.items():
            kind.run = staticmethod(run)

    for kind in kinds:
        wrap(kind)
    return restore


def main() -> None:
    """Time both and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--recipe", default="realesrgan", choices=sorted(RECIPES))
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    cv2.setNumThreads(arguments.threads)
    device, recipe = torch.device(arguments.device), RECIPES[arguments.recipe]
    images = crops().to(device)
    arrays = [np.ascontiguousarray(i.permute(1, 2, 0).cpu().numpy()) for i in images]

    def ours(round_: int) -> torch.Tensor:
        return degrade_batch(images, round_, range(BATCH), recipe)

    def loop(round_: int) -> list[np.ndarray]:
        done = []
        for n, array in enumerate(arrays):
            rng = numpy_generator(round_, "degradation", n)
            done.append(loop_image(array, recipe.draw(rng, (SIDE, SIDE)), rng))
        return done

    times: dict[str, list[float]] = {"ours": [], "loop": []}
    ours(0), loop(0)
    for round_ in range(ROUNDS):  # the same programs for both, in turns
        times["ours"].append(seconds(lambda r=round_: ours(r), device) / BATCH)
        times["loop"].append(seconds(lambda r=round_: loop(r), device) / BATCH)
    mine, other = statistics.median(times["ours"]), statistics.median(times["loop"])
    print(
        f"{arguments.recipe}, {BATCH} crops of {SIDE}x{SIDE}, {device}, threads {arguments.threads}"
    )
    for name, value in (("degrade_batch", mine), ("loop", other)):
        print(f"{name:15} {1 / value:5.0f} images/s, {value * 1e3:.2f} ms per image")
    print(f"ratio {other / mine:.2f}; shares of degrade_batch:")
    spent: dict[str, float] = defaultdict(float)
    restore = timed_steps(device, spent)
    whole = sum(seconds(lambda r=round_: ours(r), device) for round_ in range(ROUNDS))
    restore()
    spent["drawing and the rest"] = whole - sum(spent.values())
    for name, value in sorted(spent.items(), key=lambda pair: -pair[1]):
        print(f"  {name:22} {100 * value / whole:3.0f} %")


if __name__ == "__main__":
    main()
