from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from tadsr.config.student import (
    AdversarialSpec,
    LossesSpec,
    RegressionSpec,
    ScoreDistillationSpec,
)
from tadsr.diffusion import ResShiftScheduler, predict_x0
from tadsr.distillation.losses import (
    AdversarialLoss,
    RegressionLoss,
    ScoreDistillationLoss,
    build_losses,
)
from tadsr.distillation.step import StudentStep
from tadsr.models import LatentDiscriminator, SwinUNet2DModel
from tadsr.seeds import torch_generator
from tests.tiny import NETWORK

SHAPE = (3, 12, 8, 8)


def network() -> SwinUNet2DModel:
    """Random weights throughout: the zero-initialised layers too, so that gradients pass."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        unet = SwinUNet2DModel(
            in_channels=12, out_channels=12, sample_size=8, **NETWORK.model_dump()
        )
        for parameter in unet.parameters():
            torch.nn.init.normal_(parameter, std=0.1)
    return unet.eval()


def make_step(z_stu: Tensor | None = None, **replaced: Tensor) -> StudentStep:
    draws = torch.randn(5, *SHAPE, generator=torch_generator(0, "step"))
    teacher = network()
    tensors = dict(zip(("x_T", "z_y", "z_0", "z_tch"), draws, strict=False)) | replaced
    return StudentStep(
        **tensors,
        z_stu=(draws[4] if z_stu is None else z_stu).detach().clone().requires_grad_(),
        lq=torch.randn(3, 3, 8, 8, generator=torch_generator(0, "lq")),
        student=teacher,
        teacher=teacher,
        scheduler=ResShiftScheduler(prediction_type="residual", sigma_r=0.5),
        generator=lambda axis: torch_generator(7, axis, 0),
    )


def gradient(loss: Callable[[StudentStep], Tensor], step: StudentStep) -> Tensor:
    loss(step).backward()
    assert step.z_stu.grad is not None
    return step.z_stu.grad * step.z_stu.numel()


def test_regression_is_the_mean_squared_gap() -> None:
    step = make_step()
    value = RegressionLoss(RegressionSpec())(step)
    expected = ((step.z_stu - step.z_tch) ** 2).mean()
    torch.testing.assert_close(value, expected)


@pytest.mark.parametrize("t", [0, 1, 2])
@pytest.mark.parametrize("reference", ["target", "hr"])
def test_score_distillation_gradient_is_the_identity_of_the_method(t: int, reference: str) -> None:
    """g = (1 - eta)/(kappa sqrt(eta)) {(z_stu - z_ref) - [F(x^stu) - F(x^ref)]}, TAD-SR."""
    step = make_step()
    loss = ScoreDistillationLoss(ScoreDistillationSpec(reference=reference, num_timesteps=t + 1))
    # With num_timesteps = t + 1 the draws vary; the samples drawn at t itself are compared.
    generator = torch_generator(7, "score distillation", 0)
    drawn = torch.randint(t + 1, (3,), generator=generator)
    noise = torch.randn(SHAPE, generator=generator)
    other = step.z_tch if reference == "target" else step.z_0
    eta = float(step.scheduler.sqrt_etas[t] ** 2)
    scale = 2.0 * eta**0.5
    with torch.no_grad():
        denoised = [
            predict_x0(
                step.teacher, step.scheduler, (1 - eta) * z + eta * step.z_y + scale * noise, t,
                step.z_y, step.lq,
            )
            for z in (step.z_stu, other)
        ]  # fmt: skip
    gap = (step.z_stu.detach() - other) - (denoised[0] - denoised[1])
    expected = (1 - eta) / scale * gap
    at_t = drawn == t
    assert at_t.any()
    torch.testing.assert_close(gradient(loss, step)[at_t], expected[at_t], rtol=1e-3, atol=1e-3)


def test_score_distillation_does_not_run_back_through_the_teacher() -> None:
    step = make_step()
    loss = ScoreDistillationLoss(ScoreDistillationSpec())
    torch.testing.assert_close(gradient(loss, step), loss.gradient(step), rtol=1e-5, atol=1e-6)
    assert all(p.requires_grad and p.grad is None for p in step.teacher.parameters())


def test_at_the_target_hsd_rests_and_sds_does_not() -> None:
    step = make_step(z_stu=make_step().z_tch)
    hsd = ScoreDistillationLoss(ScoreDistillationSpec(reference="target"))
    sds = ScoreDistillationLoss(ScoreDistillationSpec(reference="noise"))
    assert hsd.gradient(step).abs().max() < 1e-4
    assert sds.gradient(step).abs().mean() > 0.1, "the teacher is no perfect denoiser"


def test_sds_is_the_estimated_noise_minus_the_noise() -> None:
    step = make_step()
    generator = torch_generator(7, "score distillation", 0)
    t = torch.randint(3, (3,), generator=generator)
    noise = torch.randn(SHAPE, generator=generator)
    with torch.no_grad():
        x_t = step.scheduler.add_noise(step.z_stu, step.z_y, noise, t)
        x_0 = predict_x0(step.teacher, step.scheduler, x_t, t, step.z_y, step.lq)
        expected = step.scheduler.eps_from_x0(x_0, x_t, t, step.z_y) - noise
    loss = ScoreDistillationLoss(ScoreDistillationSpec(reference="noise"))
    torch.testing.assert_close(loss.gradient(step), expected, rtol=1e-4, atol=1e-4)


@pytest.fixture(params=["time_aware", "multiple", "vanilla"])
def adversarial(request: pytest.FixtureRequest) -> AdversarialLoss:
    with torch.random.fork_rng():
        torch.manual_seed(1)
        discriminator = LatentDiscriminator(network().feature_channels, request.param, 15)
    return AdversarialLoss(AdversarialSpec(discriminator=request.param), discriminator)


def test_the_discriminator_is_silent_at_first_and_speaks_after_a_step(
    adversarial: AdversarialLoss,
) -> None:
    assert gradient(adversarial, make_step()).abs().max() == 0
    optimiser = torch.optim.AdamW(adversarial.discriminator.parameters(), lr=1e-2)
    optimiser.zero_grad()
    adversarial.discriminator_loss(make_step()).backward()
    optimiser.step()
    step = make_step()
    assert gradient(adversarial, step).abs().max() > 1e-6
    assert all(p.grad is not None for p in step.teacher.input_blocks.parameters()), (
        "the gradient runs through the teacher's encoder"
    )
    assert all(p.grad is None for p in step.teacher.output_blocks.parameters()), (
        "whose decoder is not run"
    )


def test_the_discriminators_loss_is_hinge_and_spares_the_student(
    adversarial: AdversarialLoss,
) -> None:
    step = make_step()
    loss = adversarial.discriminator_loss(step)
    views = adversarial.views(step)
    with torch.no_grad():
        adversarial.discriminator.eval()
        real = adversarial.discriminator(views.real, views.t)
        fake = adversarial.discriminator(views.fake, views.t)
    expected = (1 - real).clamp(min=0).mean() + (1 + fake).clamp(min=0).mean()
    assert float(loss.detach()) == pytest.approx(float(expected), abs=1e-2)
    loss.backward()
    assert step.z_stu.grad is None


def test_the_discriminator_learns_to_tell_them_apart(adversarial: AdversarialLoss) -> None:
    step = make_step(z_stu=make_step().z_0 * 3)
    optimiser = torch.optim.AdamW(adversarial.discriminator.parameters(), lr=1e-2)
    losses = []
    for _ in range(60):
        optimiser.zero_grad()
        loss = adversarial.discriminator_loss(step)
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    assert losses[0] == pytest.approx(2, abs=0.5)
    assert losses[-1] < 0.9 * losses[0]


def test_real_and_fake_meet_the_same_noise_below_the_last_step() -> None:
    spec = AdversarialSpec()
    step = make_step(z_stu=make_step().z_0)
    loss = AdversarialLoss(spec, LatentDiscriminator(step.teacher.feature_channels))
    views = loss.views(step)
    for real, fake in zip(views.real, views.fake, strict=True):
        torch.testing.assert_close(real, fake)
    assert int(views.t.max()) <= 13
    assert loss.views(step) is views, "the two phases of a step share the features"


def test_a_weight_of_zero_builds_nothing() -> None:
    plain = LossesSpec(score_distillation=ScoreDistillationSpec(weight=0.0))
    assert list(build_losses(plain, None)) == ["regression"]


def test_leaving_one_loss_out_does_not_change_the_draws_of_another() -> None:
    step = make_step()
    alone = copy.copy(step)
    both = ScoreDistillationLoss(ScoreDistillationSpec())
    discriminator = LatentDiscriminator(step.teacher.feature_channels)
    AdversarialLoss(AdversarialSpec(), discriminator).views(step)
    torch.testing.assert_close(both.gradient(step), both.gradient(alone), rtol=0, atol=0)
