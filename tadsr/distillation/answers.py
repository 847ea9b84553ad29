"""The teacher's answers to (LR, noise) pairs, and all that a student's step needs of them.

Keys of a pair: `lq` (3, h, w); latents (C, H, W) `z_y` of the enlarged LR, `z_0` of HR, `x_T` the
noise that the chain starts from, `z_tch` its end; and with `start_timesteps` also `t_start` (S,),
those steps, and `x_start` (S, C, H, W), the states of the chain there.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from tadsr.config.student import TargetsSpec
from tadsr.data.dataset import Batch
from tadsr.diffusion import ResShiftScheduler, sample, trajectory
from tadsr.training.draws import Draws
from tadsr.training.latents import encode_pairs

PAIR_KEYS = ("lq", "z_y", "z_0", "x_T", "z_tch")
"""Of every pair."""


def answer(
    spec: TargetsSpec, pipeline: Any, batch: Batch, device: str, axis: str
) -> dict[str, Tensor]:
    """The pairs of a batch of crops, (N, ...) per key, on `device`.

    The noise of pair i depends on (seed, axis, i) alone, whatever batch it comes in.

    Args:
        pipeline: the frozen teacher, a `TADSRPipeline` on `device`.
        axis: names the noise; training and validation pairs have noise of their own.
    """
    pairs = encode_pairs(pipeline.codec, batch, device, pipeline.config.scale)
    draws = Draws(spec.seed, batch.indices)
    x_T = pipeline.scheduler.prior_sample(pairs.z_y, draws.gaussian(f"{axis} noise", pairs.z_y))
    stochastic = spec.sampler == "stochastic"
    noise = _chain_noise(draws, axis, pipeline, pairs.z_y) if stochastic else None
    states, z_tch = {}, x_T
    for step in trajectory(
        pipeline.unet, pipeline.scheduler, x_T, pairs.z_y, pairs.lq,
        deterministic=not stochastic, noise=noise,
    ):  # fmt: skip
        if step.t in spec.start_timesteps:
            states[step.t] = step.x_t
        z_tch = step.x_prev
    found = {"lq": pairs.lq, "z_y": pairs.z_y, "z_0": pairs.z_0, "x_T": x_T, "z_tch": z_tch}
    if spec.start_timesteps:
        found["x_start"] = torch.stack([states[t] for t in spec.start_timesteps], dim=1)
        found["t_start"] = torch.tensor([spec.start_timesteps] * len(x_T), device=x_T.device)
    return found


def single_step(network: Any, scheduler: ResShiftScheduler, pairs: dict[str, Tensor]) -> Tensor:
    """A network's answer to pairs in one call at T-1, (N, C, H, W); where students start, for the
    teacher's network."""
    return sample(
        network, scheduler, pairs["x_T"], pairs["z_y"], pairs["lq"], num_inference_steps=1
    )


def _chain_noise(draws: Draws, axis: str, pipeline: Any, like: Tensor) -> Tensor:
    """Step noise of the stochastic chain, (T, N, C, H, W), likewise fixed per pair."""
    steps = pipeline.scheduler.num_train_timesteps
    whole = like[:, None].expand(-1, steps, *like.shape[1:])
    return draws.gaussian(f"{axis} chain", whole).transpose(0, 1)
