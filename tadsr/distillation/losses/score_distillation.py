"""L_HSD: high-frequency-enhanced score distillation (TAD-SR), with its ablations.

Both the student's answer and a reference are diffused with the same noise n to the same small t.
The frozen teacher F says which noise it sees in each, eps(x) = [x - (1 - eta_t) F(x) - eta_t z_y] /
(kappa sqrt(eta_t)), and the student's answer moves against the difference g:

    target:  g = eps(x_t^stu) - eps(x_t^tch)     (HSD)
    hr:      g = eps(x_t^stu) - eps(x_t^hr)      (against the ground truth)
    noise:   g = eps(x_t^stu) - n                (SDS, Poole et al., arXiv 2209.14988)

With a shared n, HSD's g is (1 - eta_t)/(kappa sqrt(eta_t)) times the part of the gap that the
teacher's denoiser does not pass on: fine detail at small t. Its factor grows with the inverse of
kappa and with the scale of the latents, so a weight does not carry over from one tier to another.
"""

from __future__ import annotations

import torch
from torch import Tensor

from tadsr.config.student import ScoreDistillationSpec
from tadsr.diffusion import predict_x0
from tadsr.distillation.step import StudentStep
from tadsr.training.latents import gaussian, uniform_steps

AXIS = "score distillation"


class ScoreDistillationLoss:
    """mean(g z_stu) with g held constant: its gradient is g / number of elements."""

    def __init__(self, spec: ScoreDistillationSpec) -> None:
        self.weight = spec.weight
        self.reference = spec.reference
        self.num_timesteps = spec.num_timesteps

    def __call__(self, step: StudentStep) -> Tensor:
        """The surrogate of this step; its value means little, its gradient is what counts."""
        return (self.gradient(step) * step.z_stu).mean()

    @torch.no_grad()
    def gradient(self, step: StudentStep) -> Tensor:
        """g, (N, C, H, W): nothing flows back through the teacher."""
        generator = step.generator(AXIS)
        steps = min(self.num_timesteps, step.scheduler.num_train_timesteps)
        t = uniform_steps(len(step.z_stu), steps, generator, step.z_stu.device)
        noise = gaussian(step.z_stu, generator)
        if self.reference == "noise":
            return noise_estimates(step, [step.z_stu], noise, t)[0] - noise
        reference = step.z_tch if self.reference == "target" else step.z_0
        student, other = noise_estimates(step, [step.z_stu, reference], noise, t)
        return student - other


def noise_estimates(
    step: StudentStep, latents: list[Tensor], noise: Tensor, t: Tensor
) -> list[Tensor]:
    """The teacher's eps for each of `latents`, diffused alike, in one call of the teacher."""
    copies = len(latents)
    z_y, lq = step.z_y.repeat(copies, 1, 1, 1), step.lq.repeat(copies, 1, 1, 1)
    t = t.repeat(copies)
    x_t = step.scheduler.add_noise(torch.cat(latents), z_y, noise.repeat(copies, 1, 1, 1), t)
    estimate = predict_x0(step.teacher, step.scheduler, x_t, t, z_y, lq)
    return list(step.scheduler.eps_from_x0(estimate, x_t, t, z_y).chunk(copies))
