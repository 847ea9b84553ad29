"""How much faster one step is than the teacher's 15, per image, with the same network.

Run: `python benchmarks/one_step.py [MODEL]`, MODEL being a trained `model/` folder; without one, a
network of the demo's size with random weights is timed. Prints median seconds per image and the
ratio; its ceiling is the number of steps.
"""

from __future__ import annotations

import statistics
import sys
import time

import torch

from tadsr import TADSRPipeline
from tadsr.config.teacher import NETWORKS
from tadsr.diffusion import ResShiftScheduler
from tadsr.models import PixelUnshuffleCodec, SwinUNet2DModel

REPEATS = 7
LR_SIDE = 64


def demo_pipeline() -> TADSRPipeline:
    """A pipeline of the demo's size with random weights."""
    torch.manual_seed(0)
    network = NETWORKS["tiny"].model_dump()
    unet = SwinUNet2DModel(in_channels=48, out_channels=48, lq_channels=3, sample_size=16,
                           **network)  # fmt: skip
    return TADSRPipeline(unet=unet, codec=PixelUnshuffleCodec(), scheduler=ResShiftScheduler())


def seconds_per_image(pipeline: TADSRPipeline, steps: int) -> float:
    """Median seconds for one LR image of 64x64 pixels."""
    lq = torch.rand(3, LR_SIDE, LR_SIDE, generator=torch.Generator().manual_seed(1))
    times = []
    for _ in range(REPEATS + 1):
        start = time.perf_counter()
        pipeline(lq, num_inference_steps=steps, output_type="pt")
        times.append(time.perf_counter() - start)
    return statistics.median(times[1:])


def main() -> None:
    """Time both and print the ratio."""
    model = sys.argv[1:]
    pipeline = TADSRPipeline.from_pretrained(model[0]) if model else demo_pipeline()
    steps = pipeline.scheduler.config.num_train_timesteps
    many, one = seconds_per_image(pipeline, steps), seconds_per_image(pipeline, 1)
    print(f"{steps} steps {many * 1e3:.0f} ms, one step {one * 1e3:.0f} ms per image: "
          f"{many / one:.1f} times faster (ceiling {steps})")  # fmt: skip


if __name__ == "__main__":
    main()
