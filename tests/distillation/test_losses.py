from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from tadsr.config.student import (
    AdversarialSpec,
    LossesSpec,
    ScoreDistillationSpec,
)
from tadsr.diffusion import ResShiftScheduler, predict_x0
from tadsr.distillation.losses import (
    AdversarialLoss,
    GroundTruthLoss,
    InverseLoss,
    RegressionLoss,
    ScoreDistillationLoss,
    build_losses,
)
from tadsr.distillation.losses.score_distillation import score_gradient
from tadsr.distillation.step import StudentStep
from tadsr.models import LatentDiscriminator, SwinUNet2DModel
from tadsr.models.swin_unet import SwinUNetOutput
from tadsr.seeds import torch_generator
from tadsr.training.draws import Draws
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
        draws=Draws(7, range(3)),
    )


def gradient(loss: Callable[[StudentStep], Tensor], step: StudentStep) -> Tensor:
    loss(step).backward()
    assert step.z_stu.grad is not None
    return step.z_stu.grad * step.z_stu.numel()


def test_regression_is_the_mean_squared_gap() -> None:
    step = make_step()
    value = RegressionLoss()(step)
    expected = ((step.z_stu - step.z_tch) ** 2).mean()
    torch.testing.assert_close(value, expected)


@pytest.mark.parametrize("t", [0, 1, 2, 13])
@pytest.mark.parametrize("reference", ["target", "hr"])
def test_score_distillation_gradient_is_the_identity_of_the_method(t: int, reference: str) -> None:
    """g = (1 - eta)/(kappa sqrt(eta)) {(z_stu - z_ref) - [F(x^stu) - F(x^ref)]}, TAD-SR."""
    step = make_step()
    noise = torch.randn(SHAPE, generator=torch_generator(3, "noise"))
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
    with torch.no_grad():
        found = score_gradient(
            step, ScoreDistillationSpec(reference=reference), noise, torch.full((3,), t)
        )
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-3)


def test_factors_of_the_published_schedule() -> None:
    """(1 - eta_t) / (kappa sqrt(eta_t)) at t = 0, 1, 2 as stated for the SR model."""
    eta = ResShiftScheduler().sqrt_etas[:3] ** 2
    factors = (1 - eta) / (2 * eta.sqrt())
    assert factors.tolist() == pytest.approx([25.0, 4.21, 2.75], rel=2e-3)


@pytest.mark.parametrize(("num_timesteps", "most"), [(1, 0), (3, 2), (100, 14), ("wide", 13)])
def test_t_is_drawn_from_the_range_that_is_asked_for(num_timesteps: Any, most: int) -> None:
    step = make_step()
    drawn: list[int] = []

    class Recorder:
        gaussian = step.draws.gaussian

        def steps(self, axis: str, steps: int, device: Any) -> Tensor:
            found = Draws(7, range(600)).steps(axis, steps, device)
            drawn.extend(found.tolist())
            return found[:3]

    step = dataclasses.replace(step, draws=Recorder())
    ScoreDistillationLoss(ScoreDistillationSpec(num_timesteps=num_timesteps)).gradient(step)
    counts = torch.bincount(torch.tensor(drawn), minlength=most + 1)
    assert len(counts) == most + 1
    assert counts.min() > 0.4 * 600 / (most + 1), "uniform: each t about equally often"


@pytest.mark.parametrize("prediction_type", ["sample", "residual"])
def test_the_released_code_divides_the_teachers_input_twice(prediction_type: str) -> None:
    """By sqrt(kappa^2 eta + 1): 1.0008, 1.027, 1.060 at t = 0, 1, 2."""
    step = dataclasses.replace(
        make_step(), scheduler=ResShiftScheduler(prediction_type=prediction_type, sigma_r=0.5)
    )
    seen: list[Tensor] = []

    class Spy(torch.nn.Module):
        def forward(self, x: Tensor, t: Tensor, lq: Tensor) -> Any:
            seen.append(x)
            return step.teacher(x, t, lq)

    noise, t = torch.randn(SHAPE, generator=torch_generator(3, "noise")), torch.tensor([0, 1, 2])
    for twice in (False, True):
        spec = ScoreDistillationSpec(reference="noise", input_scaled_twice=twice)
        score_gradient(dataclasses.replace(step, teacher=Spy()), spec, noise, t)
    ratio = (seen[0] / seen[1]).flatten(1).median(dim=1).values
    assert ratio.tolist() == pytest.approx([1.0008, 1.027, 1.060], abs=5e-4)


@pytest.mark.parametrize("loss", ["score_distillation", "adversarial"])
def test_the_released_codes_noise_is_uniform(loss: str) -> None:
    asked: list[str] = []

    class Recorder:
        steps = make_step().draws.steps

        def uniform(self, axis: str, like: Tensor) -> Tensor:
            asked.append(axis)
            return Draws(7, range(3)).uniform(axis, like)

    step = dataclasses.replace(make_step(), draws=Recorder())
    if loss == "adversarial":
        discriminator = LatentDiscriminator(step.teacher.feature_channels)
        AdversarialLoss(AdversarialSpec(noise="uniform"), discriminator).views(step)
    else:
        ScoreDistillationLoss(ScoreDistillationSpec(noise="uniform")).gradient(step)
    assert len(asked) == 1


def test_draws_are_those_of_each_image_alone() -> None:
    like = torch.empty(6, 2, 3)
    whole, part = Draws(7, range(6)), Draws(7, range(4, 6))
    for kind in ("gaussian", "uniform"):
        rows = getattr(whole, kind)("axis", like)
        assert torch.equal(getattr(part, kind)("axis", like[4:]), rows[4:])
        assert len({float(row.sum()) for row in rows}) == 6, "images differ"
    assert torch.equal(part.steps("axis", 15, "cpu"), whole.steps("axis", 15, "cpu")[4:])
    many = Draws(7, range(4000))
    gaussian = many.gaussian("axis", torch.empty(4000, 1))
    uniform = many.uniform("axis", torch.empty(4000, 1))
    assert abs(float(gaussian.mean())) < 0.05 and abs(float(gaussian.std()) - 1) < 0.04
    assert float(uniform.min()) >= 0 and float(uniform.max()) < 1
    assert abs(float(uniform.mean()) - 0.5) < 0.02
    assert not torch.equal(whole.gaussian("other", like), whole.gaussian("axis", like))
    assert not torch.equal(Draws(8, range(6)).gaussian("axis", like), whole.gaussian("axis", like))


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
    step, t = make_step(), torch.tensor([0, 1, 2])
    noise = torch.randn(SHAPE, generator=torch_generator(3, "noise"))
    with torch.no_grad():
        x_t = step.scheduler.add_noise(step.z_stu, step.z_y, noise, t)
        x_0 = predict_x0(step.teacher, step.scheduler, x_t, t, step.z_y, step.lq)
        expected = step.scheduler.eps_from_x0(x_0, x_t, t, step.z_y) - noise
        found = score_gradient(step, ScoreDistillationSpec(reference="noise"), noise, t)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


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


def test_t_of_the_discriminator_reaches_the_last_step_only_if_asked() -> None:
    for last, most in ((False, 13), (True, 14)):
        step = dataclasses.replace(make_step(), draws=Draws(7, [0, 1, 2]))
        drawn = []
        for start in range(0, 600, 3):
            step = dataclasses.replace(step, draws=Draws(7, range(start, start + 3)), shared={})
            spec = AdversarialSpec(last_timestep=last, features="encoder")
            loss = AdversarialLoss(spec, LatentDiscriminator([16]))
            drawn += loss.views(step).t.tolist()
        assert max(drawn) == most


def test_without_the_middle_block_the_discriminator_sees_the_encoder_alone() -> None:
    step = make_step()
    whole = AdversarialLoss(AdversarialSpec(), LatentDiscriminator([16, 16])).views(step)
    step = make_step()
    loss = AdversarialLoss(AdversarialSpec(features="encoder"), LatentDiscriminator([16]))
    views = loss.views(step)
    assert len(views.fake) == 1
    torch.testing.assert_close(views.fake[0], whole.fake[0])
    loss.discriminator_loss(step).backward()
    with torch.no_grad():  # the heads are silent at the start
        for parameter in loss.discriminator.parameters():
            parameter.add_(0.1)
    loss(step).backward()
    assert step.z_stu.grad is not None
    assert all(p.grad is None for p in step.teacher.middle_block.parameters())


def test_sinsrs_inverse_loss_recovers_the_noise_where_it_can() -> None:
    """A teacher whose answer is x_T times a number loses nothing: its inverse can be learnt."""

    class Toy(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.gain = torch.nn.Parameter(torch.ones(2))

        def forward(self, x: Tensor, t: Tensor, lq: Tensor) -> Any:
            gain = self.gain[(t > 0).long()].reshape(-1, 1, 1, 1)
            return SwinUNetOutput(sample=gain * x)

    toy = Toy()
    x_T = make_step().x_T
    step = dataclasses.replace(
        make_step(x_T=x_T, z_tch=0.25 * x_T), student=toy, scheduler=ResShiftScheduler()
    )
    optimiser = torch.optim.Adam(toy.parameters(), lr=0.1)
    for _ in range(200):
        optimiser.zero_grad()
        InverseLoss()(step).backward()
        optimiser.step()
    assert float(InverseLoss()(step).detach()) < 1e-6
    assert float(toy.gain[1].detach()) == 1, "the way forward learns nothing from it"
    # With the way back known, x_T' = f(z_0, 0) = 4 z_0; the way forward then learns to divide.
    for _ in range(300):
        optimiser.zero_grad()
        GroundTruthLoss()(step).backward()
        optimiser.step()
    forward = toy.gain[1] * float(step.scheduler.coefficient("input_scale", 14, x_T))
    assert float(forward.detach()) == pytest.approx(0.25, rel=1e-3)


def test_the_noise_that_hr_leads_to_is_held_constant() -> None:
    step = dataclasses.replace(make_step(), student=network())
    GroundTruthLoss()(step).backward()
    embedding = step.student.time_embed[0].weight.grad
    assert embedding is not None and embedding.abs().max() > 0
    held = make_step()
    with torch.no_grad():
        x_T = predict_x0(held.student, held.scheduler, held.z_0, 0, held.z_y, held.lq)
    answer = predict_x0(held.student, held.scheduler, x_T, 14, held.z_y, held.lq)
    ((answer - held.z_0) ** 2).mean().backward()
    torch.testing.assert_close(embedding, held.student.time_embed[0].weight.grad)


def test_a_weight_of_zero_builds_nothing() -> None:
    plain = LossesSpec(
        score_distillation=ScoreDistillationSpec(weight=0.0),
        adversarial=AdversarialSpec(weight=0.0),
    )
    assert list(build_losses(plain, None)) == ["regression"]


def test_leaving_one_loss_out_does_not_change_the_draws_of_another() -> None:
    step = make_step()
    alone = copy.copy(step)
    both = ScoreDistillationLoss(ScoreDistillationSpec())
    discriminator = LatentDiscriminator(step.teacher.feature_channels)
    AdversarialLoss(AdversarialSpec(), discriminator).views(step)
    torch.testing.assert_close(both.gradient(step), both.gradient(alone), rtol=0, atol=0)
