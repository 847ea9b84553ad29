"""L_G and L_D: a discriminator on the frozen teacher's features of diffused latents (TAD-SR).

Real latents Enc(HR) and the student's answers are diffused with the same noise to the same t,
uniform on {0, ..., T-2}; the teacher's encoder (and middle block) turn them into features, and the
discriminator's heads tell them apart (hinge). Its heads start from zero, so that the student feels
nothing at the first step.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from tadsr.config.student import AdversarialSpec
from tadsr.diffusion import encoder_features
from tadsr.distillation.step import StudentStep, draw_noise
from tadsr.models.discriminator import LatentDiscriminator

AXIS = "adversarial"


@dataclass(frozen=True)
class Views:
    """Teacher features of real and fake latents at steps t, (N,); only `fake` has a graph."""

    t: Tensor
    real: list[Tensor]
    fake: list[Tensor]


class AdversarialLoss:
    """-mean D(fake) for the student, and the hinge loss of the discriminator it plays against."""

    def __init__(self, spec: AdversarialSpec, discriminator: LatentDiscriminator) -> None:
        self.spec = spec
        self.discriminator = discriminator

    def __call__(self, step: StudentStep) -> Tensor:
        """L_G of this step; the gradient runs through the frozen teacher's encoder."""
        views = self.views(step)
        logits: Tensor = self.discriminator(views.fake, views.t)
        return -logits.float().mean()

    def discriminator_loss(self, step: StudentStep) -> Tensor:
        """L_D of this step: mean relu(1 - D(real)) + mean relu(1 + D(fake))."""
        views = self.views(step)
        features = [
            torch.cat([real, fake.detach()])
            for real, fake in zip(views.real, views.fake, strict=True)
        ]
        real, fake = self.discriminator(features, views.t.repeat(2)).float().chunk(2)
        return F.relu(1 - real).mean() + F.relu(1 + fake).mean()

    def views(self, step: StudentStep) -> Views:
        """Features for both phases of the step, computed once: the student is the same in both."""
        if AXIS not in step.shared:
            steps = step.scheduler.num_train_timesteps - (not self.spec.last_timestep)
            t = step.draws.steps(f"{AXIS} t", steps, step.z_stu.device)
            noise = draw_noise(self.spec.noise, step, AXIS)
            with torch.no_grad():
                real = self._features(step, step.z_0, noise, t)
            step.shared[AXIS] = Views(t, real, self._features(step, step.z_stu, noise, t))
        views: Views = step.shared[AXIS]
        return views

    def _features(
        self, step: StudentStep, latent: Tensor, noise: Tensor, t: Tensor
    ) -> list[Tensor]:
        x_t = step.scheduler.add_noise(latent, step.z_y, noise, t)
        return encoder_features(
            step.teacher, step.scheduler, x_t, t, step.z_y, step.lq,
            middle=self.spec.features == "encoder_middle",
        )  # fmt: skip
