"""The chain of reverse steps; targets, pipeline and validation all come through here."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from tadsr.diffusion.scheduler import ResShiftScheduler, draw_noise
from tadsr.errors import ConfigError


class Denoiser(Protocol):
    """A network called as `network(x_t, t, lq)` whose result has `.sample`, (N, C, H, W)."""

    def __call__(self, x_t: Tensor, t: Tensor, lq: Tensor, /) -> Any:
        """Predict from a scaled x_t."""


class FeatureEncoder(Protocol):
    """A network whose encoder can be run alone."""

    def encoder_features(
        self, x_t: Tensor, t: Tensor, lq: Tensor, *, middle: bool = True
    ) -> list[Tensor]:
        """Feature maps of the encoder and the middle block."""
        ...


@dataclass(frozen=True)
class ChainStep:
    """One step of a chain: at `t` the state `x_t` gave the estimate `x_0` and led to `x_prev`."""

    t: int
    x_t: Tensor
    x_0: Tensor
    x_prev: Tensor


def predict_x0(
    unet: Denoiser,
    scheduler: ResShiftScheduler,
    x_t: Tensor,
    t: int | Tensor,
    lq_latent: Tensor,
    lq: Tensor,
) -> Tensor:
    """The network's estimate of z_0 from x_t, under any prediction type. Differentiable.

    Args:
        x_t: (N, C, H, W) noisy latent, *not* scaled: the input scale is applied here, once.
        t: a 0-based step, or (N,) with one per sample.
        lq_latent: z_y, (N, C, H, W).
        lq: the network's condition, the low-resolution image in [-1, 1], (N, 3, h, w).
    """
    scaled = scheduler.scale_model_input(x_t, t, lq_latent)
    # Under autocast the network puts out fewer bits; what is computed with it keeps all.
    output: Tensor = unet(scaled, _per_sample(t, x_t), lq).sample.to(x_t.dtype)
    return scheduler.pred_original_sample(output, x_t, t, lq_latent)


def encoder_features(
    unet: FeatureEncoder,
    scheduler: ResShiftScheduler,
    x_t: Tensor,
    t: int | Tensor,
    lq_latent: Tensor,
    lq: Tensor,
    *,
    middle: bool = True,
) -> list[Tensor]:
    """Features of the network's encoder and middle block at x_t. Differentiable.

    Arguments as for `predict_x0`; the decoder is not run, the middle block if `middle`.
    """
    scaled = scheduler.scale_model_input(x_t, t, lq_latent)
    return unet.encoder_features(scaled, _per_sample(t, x_t), lq, middle=middle)


@torch.no_grad()
def trajectory(
    unet: Denoiser,
    scheduler: ResShiftScheduler,
    x_T: Tensor,
    lq_latent: Tensor,
    lq: Tensor,
    *,
    deterministic: bool = True,
    noise: Tensor | None = None,
    generator: torch.Generator | None = None,
) -> Iterator[ChainStep]:
    """Yield the T steps of the whole chain from x_T, noisiest first.

    Args:
        x_T: (N, C, H, W), from `scheduler.prior_sample`.
        deterministic: SinSR's steps; otherwise ResShift's, whose step noise comes from
            `noise`, (T, N, C, H, W) in the order of the steps taken, or from `generator`.
    """
    x_t = x_T
    for index, t in enumerate(reversed(range(scheduler.num_train_timesteps))):
        x_0 = predict_x0(unet, scheduler, x_t, t, lq_latent, lq)
        step_noise = None
        if not deterministic and t > 0:
            step_noise = draw_noise(x_t, generator) if noise is None else noise[index]
        step = scheduler.step_from_x0(
            x_0, t, x_t, lq_latent, deterministic=deterministic, noise=step_noise
        )
        yield ChainStep(t=t, x_t=x_t, x_0=x_0, x_prev=step.prev_sample)
        x_t = step.prev_sample


@torch.no_grad()
def sample(
    unet: Denoiser,
    scheduler: ResShiftScheduler,
    x_T: Tensor,
    lq_latent: Tensor,
    lq: Tensor,
    *,
    num_inference_steps: int | None = None,
    deterministic: bool = True,
    noise: Tensor | None = None,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Go from x_T to z_0 in the whole chain, or in one call of the network at t = T-1.

    Args:
        num_inference_steps: None or T for the whole chain, 1 for the single call. Others are
            refused: the schedule is defined for its T steps only.
        deterministic, noise, generator: as for `trajectory`; without effect for one step.

    Returns:
        z_0, (N, C, H, W).
    """
    T = scheduler.num_train_timesteps
    check_steps(num_inference_steps, T)
    if num_inference_steps == 1:
        return predict_x0(unet, scheduler, x_T, T - 1, lq_latent, lq)
    x_t = x_T
    for step in trajectory(
        unet,
        scheduler,
        x_T,
        lq_latent,
        lq,
        deterministic=deterministic,
        noise=noise,
        generator=generator,
    ):
        x_t = step.x_prev
    return x_t


def check_steps(num_inference_steps: int | None, num_train_timesteps: int) -> None:
    """Refuse a number of steps that is neither 1 nor the schedule's own."""
    if num_inference_steps not in (None, 1, num_train_timesteps):
        raise ConfigError(
            f"num_inference_steps is {num_inference_steps}; this model runs in 1 step or in "
            f"its {num_train_timesteps} steps"
        )


def _per_sample(t: int | Tensor, x_t: Tensor) -> Tensor:
    """`t` as an (N,) int64 tensor beside `x_t`."""
    if isinstance(t, Tensor):
        return t.to(x_t.device).expand(x_t.shape[0])
    return torch.full((x_t.shape[0],), t, device=x_t.device, dtype=torch.int64)
