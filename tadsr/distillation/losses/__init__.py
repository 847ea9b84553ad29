"""The weighted terms of a student's objective, one small file each.

A loss is a class with its settings and `__call__(step) -> Tensor`, a scalar. To add one: its
settings in `tadsr.config.student`, its file here, its line in `build_losses`.
"""

from __future__ import annotations

from tadsr.config.student import LossesSpec
from tadsr.distillation.losses.adversarial import AdversarialLoss
from tadsr.distillation.losses.regression import RegressionLoss
from tadsr.distillation.losses.score_distillation import ScoreDistillationLoss
from tadsr.distillation.step import Loss
from tadsr.models.discriminator import LatentDiscriminator

__all__ = ["AdversarialLoss", "RegressionLoss", "ScoreDistillationLoss", "build_losses"]


def build_losses(spec: LossesSpec, discriminator: LatentDiscriminator | None) -> dict[str, Loss]:
    """The losses of a recipe by name; a term of weight 0 is left out and costs nothing.

    Args:
        discriminator: for the adversarial term; None when that has weight 0.
    """
    losses: dict[str, Loss] = {}
    if spec.regression.weight:
        losses["regression"] = RegressionLoss(spec.regression)
    if spec.score_distillation.weight:
        losses["score_distillation"] = ScoreDistillationLoss(spec.score_distillation)
    if discriminator is not None:
        losses["adversarial"] = AdversarialLoss(spec.adversarial, discriminator)
    return losses
