"""The two further losses of SinSR (Wang et al., CVPR 2024, arXiv 2311.14760, section 4.2).

Its first loss is `regression`. The second teaches the student the way back, from a result to its
noise, at t = 0; the third lets HR take that way and return:

    inverse:       mean (f(z_tch, 0) - x_T)^2
    ground truth:  mean (f(x_T', T-1) - z_0)^2,   x_T' = f(z_0, 0) held constant
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from tadsr.diffusion import predict_x0
from tadsr.distillation.step import StudentStep


class InverseLoss:
    """The student at t = 0 shall lead the teacher's answer back to its noise."""

    def __call__(self, step: StudentStep) -> Tensor:
        """Mean squared error to x_T."""
        return F.mse_loss(_way_back(step, step.z_tch), step.x_T)


class GroundTruthLoss:
    """From the noise that HR itself leads to, the student shall return to HR."""

    def __call__(self, step: StudentStep) -> Tensor:
        """Mean squared error to z_0; only the way from noise to latent learns."""
        with torch.no_grad():
            x_T = _way_back(step, step.z_0)
        T = step.scheduler.num_train_timesteps
        answer = predict_x0(step.student, step.scheduler, x_T, T - 1, step.z_y, step.lq)
        return F.mse_loss(answer, step.z_0)


def _way_back(step: StudentStep, z: Tensor) -> Tensor:
    """f(z, 0) as an x_T, (N, C, H, W).

    A network of type `sample` puts x_T out as it is, as published. One whose outputs count from
    z_y puts out its noise: in the units of z_0 - z_y, x_T would be far out of its range.
    """
    scheduler, t = step.scheduler, torch.zeros(len(z), dtype=torch.int64, device=z.device)
    output: Tensor = step.student(scheduler.scale_model_input(z, t, step.z_y), t, step.lq).sample
    output = output.to(z.dtype)
    if scheduler.prediction_type == "sample":
        return output
    return scheduler.prior_sample(step.z_y, output)
