"""L_reg: the student's answer shall be the teacher's (TAD-SR, section 3; SinSR, section 4.2)."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from tadsr.distillation.step import StudentStep


class RegressionLoss:
    """Mean of (z_stu - z_tch)^2."""

    def __call__(self, step: StudentStep) -> Tensor:
        """The squared error of this step."""
        return F.mse_loss(step.z_stu, step.z_tch)
