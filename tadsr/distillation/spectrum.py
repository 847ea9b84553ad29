"""Which frequencies score distillation pushes: the radial spectrum of its gradient at each t.

TAD-SR's claim is that at small t the gradient g of its score distillation (reference `target`)
holds fine detail, since it is what the teacher's denoiser does not pass on of the student's gap to
the teacher's answer. Here that can be looked at, against plain SDS (reference `noise`).
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from tadsr.config.student import ScoreDistillationSpec
from tadsr.distillation.answers import PAIR_KEYS, single_step
from tadsr.distillation.losses.score_distillation import score_gradient
from tadsr.distillation.step import StudentStep
from tadsr.models.codecs import PixelUnshuffleCodec
from tadsr.training.draws import Draws

PAIRS = 16
"""Validation pairs that are averaged over."""


@torch.no_grad()
def gradient_spectra(pipeline: Any, pairs: dict[str, Tensor], seed: int) -> dict[str, Any]:
    """Spectra of g where students start, at the teacher's single step. JSON data.

    Args:
        pipeline: the frozen teacher.
        pairs: as in a pool, on the teacher's device; the first `PAIRS` are used.

    Returns:
        `unit` of the frequencies (cycles per pixel of the image, or of the latent where the codec
        cannot be turned back on a gradient), `frequencies` (bins), `pairs`, and for `target` and
        `noise` a list over t of `power` (mean power density per bin, summing to 1), `frequency`
        (mean frequency, weighted with power) and `rms` (of g); likewise `gap`, of z_stu - z_tch.
    """
    step = _first_step(pipeline, {key: pairs[key][:PAIRS] for key in PAIR_KEYS}, seed)
    noise = step.draws.gaussian("spectrum", step.z_stu)
    found: dict[str, Any] = {"gap": _spectrum(step.z_stu - step.z_tch, pipeline.codec)}
    for reference in ("target", "noise"):
        spec = ScoreDistillationSpec(reference=reference)
        found[reference] = [
            _spectrum(_gradient(step, spec, noise, t), pipeline.codec)
            for t in range(step.scheduler.num_train_timesteps)
        ]
    found["pairs"] = len(step.z_stu)
    found["frequencies"] = _bins(len(found["gap"]["power"]))
    found["unit"] = (
        "cycles per image pixel" if _invertible(pipeline.codec) else "cycles per latent pixel"
    )
    return found


def _first_step(pipeline: Any, pairs: dict[str, Tensor], seed: int) -> StudentStep:
    z_stu = single_step(pipeline.unet, pipeline.scheduler, pairs)
    latents: dict[str, Any] = dict(pairs)
    return StudentStep(
        **latents, z_stu=z_stu, student=pipeline.unet, teacher=pipeline.unet,
        scheduler=pipeline.scheduler, draws=Draws(seed, range(len(z_stu))),
    )  # fmt: skip


def _gradient(step: StudentStep, spec: ScoreDistillationSpec, noise: Tensor, t: int) -> Tensor:
    steps = torch.full((len(noise),), t, dtype=torch.int64, device=noise.device)
    return score_gradient(step, spec, noise, steps)


def _invertible(codec: Any) -> bool:
    """Whether a latent is a rearranged image, so that a gradient is one too."""
    return isinstance(codec, PixelUnshuffleCodec)


def _spectrum(latent: Tensor, codec: Any) -> dict[str, Any]:
    """Radial spectrum of (N, C, H, W), in the image where the codec allows it."""
    image = latent
    if _invertible(codec):
        image = F.pixel_shuffle(latent / codec.config.scaling_factor, codec.spatial_factor)
    power, frequency = radial_spectrum(image)
    return {
        "power": power.tolist(),
        "frequency": frequency,
        "rms": float(latent.square().mean().sqrt()),
    }


def radial_spectrum(image: Tensor) -> tuple[Tensor, float]:
    """(Mean power density per radial bin, summing to 1; power-weighted mean frequency).

    A Hann window keeps the borders of a crop from looking like detail. Frequencies beyond 0.5
    cycles per pixel (the corners of the plane) are left out.

    Args:
        image: (N, C, H, W); N and C are averaged over. There are min(H, W) // 2 bins.
    """
    height, width = image.shape[-2:]
    device, kind = image.device, torch.float64
    window = torch.outer(
        torch.hann_window(height, False, dtype=kind, device=device),
        torch.hann_window(width, False, dtype=kind, device=device),
    )
    centred = image.to(kind) - image.to(kind).mean((-2, -1), keepdim=True)
    power = torch.fft.fft2(centred * window).abs().square().mean((0, 1))
    radius = torch.hypot(
        torch.fft.fftfreq(height, dtype=kind, device=device)[:, None],
        torch.fft.fftfreq(width, dtype=kind, device=device)[None, :],
    )
    count = min(height, width) // 2
    inside = radius < 0.5
    bins = (radius[inside] * 2 * count).long()
    total = torch.zeros(count, dtype=kind, device=device).scatter_add_(0, bins, power[inside])
    density = total / torch.bincount(bins, minlength=count)
    frequency = float((power[inside] * radius[inside]).sum() / power[inside].sum())
    return (density / density.sum()).cpu(), frequency


def _bins(count: int) -> list[float]:
    """Centres of the bins."""
    return [(index + 0.5) / (2 * count) for index in range(count)]
