"""Measured cost of a pipeline against what can be known of it otherwise.

Run: `python benchmarks/model_cost.py [MODEL]`, MODEL being a trained `model/` folder; without one,
a network of the demo's size with random weights is measured, on one thread. Prints MACs beside the
count from settings, latency of one step and of all, and peak memory beside the growth of resident
memory that the kernel sees in a fresh process (Linux alone).
"""

from __future__ import annotations

import multiprocessing
import sys
from pathlib import Path

import torch
from one_step import demo_pipeline

from tadsr import TADSRPipeline
from tadsr.config.teacher import NetworkSpec
from tadsr.evaluation import PipelineUpscaler, measure_cost
from tadsr.plan.operations import network_cost

SIZES = (64, 128)


def load(model: str | None) -> TADSRPipeline:
    """The pipeline to measure."""
    torch.set_num_threads(1)
    return TADSRPipeline.from_pretrained(model) if model else demo_pipeline()


def resident(name: str) -> int:
    """A line of the kernel's account of this process, in bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * int(next(line for line in lines if line.startswith(name)).split()[1])


def growth_of_resident_memory(model: str | None, steps: int, side: int) -> int:
    """Bytes by which the peak rises above what is resident before the first run."""
    upscaler = PipelineUpscaler(load(model), steps, "cpu")
    lr = torch.rand(3, side, side)
    before = resident("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")
    upscaler.upscale(lr, "cost")
    return resident("VmHWM") - before


def macs_from_settings(pipeline: TADSRPipeline, steps: int, side: int) -> float:
    """Of the denoiser at this size, all steps."""
    config = pipeline.unet.config
    network = NetworkSpec(**{key: config[key] for key in NetworkSpec.model_fields})
    latent = side * pipeline.config.scale // pipeline.codec.spatial_factor
    return steps * network_cost(network, pipeline.codec.channels, latent).forward / 2


def main() -> None:
    """Measure and print."""
    model = sys.argv[1] if len(sys.argv) > 1 else None
    pipeline = load(model)
    every = pipeline.scheduler.config.num_train_timesteps
    found = {
        steps: measure_cost(PipelineUpscaler(pipeline, steps, "cpu"), SIZES) for steps in (1, every)
    }
    for steps, records in found.items():
        for record in records:
            side = record.lr_side
            assert record.macs and record.median and record.peak_bytes
            with multiprocessing.get_context("spawn").Pool(1) as pool:
                growth = pool.apply(growth_of_resident_memory, (model, steps, side))
            tensors = record.peak_bytes - record.weight_bytes
            print(f"{steps:2} steps, LR {side}x{side}: {record.macs / 1e9:.3f} GMAC (denoiser from "
                  f"settings {macs_from_settings(pipeline, steps, side) / 1e9:.3f}), "
                  f"{1e3 * record.median:.0f} ms (slowest of {len(record.seconds)} "
                  f"{1e3 * (record.slowest or 0):.0f}, {record.busy_elsewhere} cores elsewhere), "
                  f"tensors {tensors / 1e6:.1f} MB, resident memory grew by {growth / 1e6:.1f} MB",
                  flush=True)  # fmt: skip
    for one, many in zip(*found.values(), strict=True):
        assert one.median and many.median
        print(
            f"LR {one.lr_side}: one step {many.median / one.median:.1f} times faster than {every}"
        )


if __name__ == "__main__":
    main()
