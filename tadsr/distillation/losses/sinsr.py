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
        return F.mse_loss(_student(step, step.z_tch, 0), step.x_T)


class GroundTruthLoss:
    """From the noise that HR itself leads to, the student shall return to HR."""

    def __call__(self, step: StudentStep) -> Tensor:
        """Mean squared error to z_0; only the way from noise to latent learns."""
        with torch.no_grad():
            x_T = _student(step, step.z_0, 0)
        return F.mse_loss(_student(step, x_T, step.scheduler.num_train_timesteps - 1), step.z_0)


def _student(step: StudentStep, x: Tensor, t: int) -> Tensor:
    return predict_x0(step.student, step.scheduler, x, t, step.z_y, step.lq)
