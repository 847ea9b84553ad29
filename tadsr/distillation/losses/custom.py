"""Losses of one's own: a Python file with a class `Loss`.

    from tadsr.config.base import Config

    class Loss:
        class Config(Config):           # its settings; may be left out
            power: float = 2.0

        def __init__(self, config: Config) -> None:
            self.config = config

        def __call__(self, step) -> Tensor:
            return (step.z_stu - step.z_0).abs().pow(self.config.power).mean()

`step` is a `StudentStep`. `tadsr loss FILE` holds a file against what the training relies on.
"""

from __future__ import annotations

from tadsr.config.plugins import load_class
from tadsr.config.student import CustomLossSpec
from tadsr.distillation.step import Loss


def load_loss(spec: CustomLossSpec) -> Loss:
    """The loss that a file defines, with its settings.

    Raises:
        ConfigError: the file is not the one that the experiment was read with, cannot be
            imported, has no class `Loss`, or does not take these settings.
    """
    loss: Loss = load_class(
        spec.file, spec.digest, "Loss", spec.settings, kind="a custom loss", docs="docs/losses.md"
    )
    return loss
