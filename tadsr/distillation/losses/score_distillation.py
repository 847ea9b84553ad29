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
from tadsr.distillation.step import StudentStep, draw_noise

AXIS = "score distillation"


class ScoreDistillationLoss:
    """mean(g z_stu) with g held constant: its gradient is g / number of elements."""

    def __init__(self, spec: ScoreDistillationSpec) -> None:
        self.spec = spec

    def __call__(self, step: StudentStep) -> Tensor:
        """The surrogate of this step; its value means little, its gradient is what counts."""
        return (self.gradient(step) * step.z_stu).mean()

    @torch.no_grad()
    def gradient(self, step: StudentStep) -> Tensor:
        """g, (N, C, H, W): nothing flows back through the teacher."""
        t = step.draws.steps(f"{AXIS} t", self._steps(step), step.z_stu.device)
        noise = draw_noise(self.spec.noise, step, AXIS)
        return score_gradient(step, self.spec, noise, t)

    def _steps(self, step: StudentStep) -> int:
        T, steps = step.scheduler.num_train_timesteps, self.spec.num_timesteps
        return T - 1 if steps == "wide" else min(steps, T)


def score_gradient(
    step: StudentStep, spec: ScoreDistillationSpec, noise: Tensor, t: Tensor
) -> Tensor:
    """g at steps t (N,) with the given noise; both (N, C, H, W)."""
    if spec.reference == "noise":
        return _noise_estimates(step, [step.z_stu], noise, t, spec)[0] - noise
    reference = step.z_tch if spec.reference == "target" else step.z_0
    student, other = _noise_estimates(step, [step.z_stu, reference], noise, t, spec)
    return student - other


def _noise_estimates(
    step: StudentStep, latents: list[Tensor], noise: Tensor, t: Tensor, spec: ScoreDistillationSpec
) -> list[Tensor]:
    """The teacher's eps for each of `latents`, diffused alike, in one call of the teacher."""
    copies, scheduler = len(latents), step.scheduler
    z_y, lq = step.z_y.repeat(copies, 1, 1, 1), step.lq.repeat(copies, 1, 1, 1)
    t = t.repeat(copies)
    x_t = scheduler.add_noise(torch.cat(latents), z_y, noise.repeat(copies, 1, 1, 1), t)
    seen = scheduler.scale_model_input(x_t, t, z_y)
    if spec.input_scaled_twice:
        seen = seen * scheduler.coefficient("input_scale", t, seen)
    output = step.teacher(seen, t, lq).sample.to(x_t.dtype)
    estimate = scheduler.pred_original_sample(output, x_t, t, z_y)
    return list(scheduler.eps_from_x0(estimate, x_t, t, z_y).chunk(copies))
