"""The terms of a student's objective, one small file each.

A loss is an object with `__call__(step) -> Tensor`, a scalar. A user's own is a file with a class
`Loss` (`tadsr.distillation.losses.custom`); one of the method has its settings in
`tadsr.config.student`, its file here and its line in `build_losses`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from tadsr.config.student import LossesSpec
from tadsr.distillation.losses.adversarial import AdversarialLoss
from tadsr.distillation.losses.custom import load_loss
from tadsr.distillation.losses.regression import RegressionLoss
from tadsr.distillation.losses.score_distillation import ScoreDistillationLoss
from tadsr.distillation.losses.sinsr import GroundTruthLoss, InverseLoss
from tadsr.distillation.step import Loss
from tadsr.models.discriminator import LatentDiscriminator

__all__ = [
    "AdversarialLoss",
    "GroundTruthLoss",
    "InverseLoss",
    "RegressionLoss",
    "ScoreDistillationLoss",
    "build_losses",
]


def build_losses(spec: LossesSpec, discriminator: LatentDiscriminator | None) -> dict[str, Loss]:
    """The losses of a recipe by name; a term of weight 0 is left out and costs nothing.

    Args:
        discriminator: for the adversarial term; None when that has weight 0.
    """
    builders: dict[str, Callable[[], Loss]] = {
        "regression": RegressionLoss,
        "score_distillation": lambda: ScoreDistillationLoss(spec.score_distillation),
        "adversarial": lambda: AdversarialLoss(spec.adversarial, _required(discriminator)),
        "inverse": InverseLoss,
        "ground_truth": GroundTruthLoss,
    }
    builders |= {name: partial(load_loss, custom) for name, custom in spec.custom.items()}
    return {name: builders[name]() for name in spec.weights()}


def _required(discriminator: LatentDiscriminator | None) -> LatentDiscriminator:
    if discriminator is None:
        raise ValueError("the adversarial loss has a weight, and no discriminator was given")
    return discriminator
