"""What a loss sees of one training step, and the contract of a loss."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol

from torch import Tensor

from tadsr.config.student import Noise
from tadsr.diffusion import ResShiftScheduler
from tadsr.models.swin_unet import SwinUNet2DModel
from tadsr.training.draws import Draws


@dataclass(frozen=True)
class StudentStep:
    """One batch with the student's answer to it; latents are (N, C, H, W).

    Attributes:
        x_T: the noise the answer starts from, z_y + prior noise.
        z_y: latent of the enlarged LR.
        z_0: latent of the HR image.
        z_tch: the teacher's answer to x_T, the target.
        z_stu: the student's answer, with its graph.
        lq: LR image, (N, 3, h, w) in [-1, 1].
        teacher: frozen; gradients may flow through it.
        draws: noise and time steps of a named axis, the same for every variant of a seed, so
            that leaving out one loss does not change the draws of another.
        shared: what several phases of the step compute once.
    """

    x_T: Tensor  # noqa: N815 - the field's name
    z_y: Tensor
    z_0: Tensor
    z_tch: Tensor
    z_stu: Tensor
    lq: Tensor
    student: SwinUNet2DModel
    teacher: SwinUNet2DModel
    scheduler: ResShiftScheduler
    draws: Draws
    shared: dict[str, Any] = field(default_factory=dict)


class Loss(Protocol):
    """One term of the objective."""

    def __call__(self, step: StudentStep) -> Tensor:
        """A scalar to be minimised: a mean over the images of the step."""
        ...


def draw_noise(kind: Noise, step: StudentStep, axis: str) -> Tensor:
    """Noise of a loss, shaped like the student's answer."""
    draw = step.draws.gaussian if kind == "gaussian" else step.draws.uniform
    return draw(f"{axis} noise", step.z_stu)
