from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.testing import assert_close

from tadsr.diffusion import ResShiftScheduler
from tadsr.errors import ConfigError

TYPES = ("sample", "residual", "preconditioned", "epsilon")


def latents(n: int = 3, seed: int = 0) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(n, 3, 4, 4, generator=generator, dtype=torch.float64) for _ in range(3)]


@pytest.mark.parametrize("name", ["realsrx4_s15", "realsrx4_s4_v3", "custom_s8"])
def test_tables_equal_the_published_ones(shared: Path, name: str) -> None:
    golden = json.loads((shared / "golden/meta.json").read_text())["schedules"][name]
    scheduler = ResShiftScheduler(
        num_train_timesteps=golden["steps"],
        kappa=golden["kappa"],
        min_noise_level=golden["min_noise_level"],
        etas_end=golden["etas_end"],
        power=golden["power"],
    )
    like, t = torch.zeros(golden["steps"], dtype=torch.float64), torch.arange(golden["steps"])
    expected = {
        "sqrt_eta": "sqrt_etas",
        "posterior_x_t": "posterior_mean_coef_xt",
        "posterior_x_0": "posterior_mean_coef_x0",
        "posterior_variance": "posterior_variance",
        "input_scale": "input_scale",
    }
    assert scheduler.sqrt_etas.dtype == torch.float64
    for own, published in expected.items():
        values = scheduler.coefficient(own, t, like)
        assert_close(values, torch.tensor(golden[published], dtype=torch.float64))


def test_cap_of_the_first_step_is_that_of_sinsr() -> None:
    scheduler = ResShiftScheduler(num_train_timesteps=4, min_noise_level=0.2, cap_s0=True)
    expected = torch.tensor([0.0316, 0.3764, 0.6673, 0.99], dtype=torch.float64)
    assert_close(scheduler.sqrt_etas, expected, atol=5e-5, rtol=0)


@pytest.mark.parametrize("t", [0, 1, 7, 14])
def test_deterministic_step_keeps_the_noise_when_the_estimate_is_right(t: int) -> None:
    scheduler = ResShiftScheduler()
    x_0, z_y, noise = latents()
    x_t = scheduler.add_noise(x_0, z_y, noise, t)
    step = scheduler.step(x_0, t, x_t, z_y, deterministic=True)
    expected = scheduler.add_noise(x_0, z_y, noise, t - 1) if t else x_0
    assert_close(step.prev_sample, expected)


@pytest.mark.parametrize("t", [0, 1, 7, 14])
def test_stochastic_step_has_the_mean_and_variance_of_the_forward_process(t: int) -> None:
    scheduler = ResShiftScheduler()
    x_0, z_y, _ = latents()
    zero = torch.zeros_like(x_0)
    mean = scheduler.step(x_0, t, scheduler.add_noise(x_0, z_y, zero, t), z_y, noise=zero)
    assert_close(mean.prev_sample, scheduler.add_noise(x_0, z_y, zero, t - 1) if t else x_0)
    carried = scheduler.coefficient("posterior_x_t", t, x_0) * scheduler.coefficient(
        "noise_std", t, x_0
    )
    variance = carried**2 + scheduler.coefficient("posterior_variance", t, x_0)
    before = scheduler.coefficient("noise_std", t - 1, x_0) ** 2 if t else torch.zeros_like(carried)
    assert_close(variance, before)


def test_noise_is_recovered_from_what_it_made() -> None:
    scheduler = ResShiftScheduler(kappa=0.7)
    x_0, z_y, noise = latents()
    t = torch.tensor([0, 5, 14])
    x_t = scheduler.add_noise(x_0, z_y, noise, t)
    assert_close(scheduler.eps_from_x0(x_0, x_t, t, z_y), noise)


@pytest.mark.parametrize("kind", TYPES)
def test_an_ideal_output_of_each_kind_stands_for_the_clean_latent(kind: str) -> None:
    scheduler = ResShiftScheduler(prediction_type=kind, sigma_r=0.3)
    x_0, z_y, noise = latents()
    for t in (0, 7, torch.tensor([0, 7, 14])):
        x_t = scheduler.add_noise(x_0, z_y, noise, t)
        skip, error = (scheduler.coefficient(name, t, x_t) for name in ("skip", "skip_error"))
        ideal = {
            "sample": x_0, "residual": (x_0 - z_y) / 0.3, "epsilon": noise,
            "preconditioned": (x_0 - z_y - skip * (x_t - z_y)) / error,
        }[kind]  # fmt: skip
        assert_close(scheduler.pred_original_sample(ideal, x_t, t, z_y), x_0)


@pytest.mark.parametrize("t", [0, 4, 14])
def test_a_preconditioned_output_of_zero_is_the_best_linear_estimate(t: int) -> None:
    """Against least squares on draws; what the network has left to say has unit variance."""
    scheduler = ResShiftScheduler(prediction_type="preconditioned", sigma_r=0.3)
    generator = torch.Generator().manual_seed(1)
    z_y, gap, noise = (
        torch.randn(400_000, generator=generator, dtype=torch.float64) for _ in range(3)
    )
    x_0 = z_y + 0.3 * gap
    x_t = scheduler.add_noise(x_0, z_y, noise, t)
    seen = x_t - z_y
    slope = float((seen * (x_0 - z_y)).mean() / (seen**2).mean())
    estimate = scheduler.pred_original_sample(torch.zeros_like(x_t), x_t, t, z_y)
    torch.testing.assert_close(estimate, z_y + slope * seen, rtol=0.02, atol=0.01)
    left = (x_0 - estimate) / scheduler.coefficient("skip_error", t, x_t)
    assert float(left.std()) == pytest.approx(1, abs=0.01)
    weighted = scheduler.loss_weight(t, x_t) * (x_0 - estimate) ** 2
    assert float(weighted.mean()) == pytest.approx(1, abs=0.02), "each t counts alike"


@pytest.mark.parametrize("kind", ["sample", "residual", "preconditioned"])
@pytest.mark.parametrize("t", [0, 4, 14])
def test_the_network_sees_unit_variance(kind: str, t: int) -> None:
    scheduler = ResShiftScheduler(prediction_type=kind, sigma_r=0.3)
    generator = torch.Generator().manual_seed(1)
    z_y, gap, noise = (torch.randn(200_000, generator=generator) for _ in range(3))
    # `sample` is scaled for latents of variance 1 that differ little from z_y.
    x_0 = z_y if kind == "sample" else z_y + 0.3 * gap
    seen = scheduler.scale_model_input(scheduler.add_noise(x_0, z_y, noise, t), t, z_y)
    assert float(seen.std()) == pytest.approx(1, abs=0.01)


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("deterministic", [True, False])
def test_one_step_per_sample_equals_separate_steps(kind: str, deterministic: bool) -> None:
    scheduler = ResShiftScheduler(prediction_type=kind)
    output, x_t, z_y = latents()
    noise = latents(seed=5)[0]
    steps = torch.tensor([0, 3, 14])
    options: dict[str, Any] = {"deterministic": deterministic}
    together = scheduler.step(output, steps, x_t, z_y, noise=noise, **options).prev_sample
    for i, t in enumerate(steps.tolist()):
        one = slice(i, i + 1)
        alone = scheduler.step(output[one], t, x_t[one], z_y[one], noise=noise[one], **options)
        assert_close(together[one], alone.prev_sample)


def test_prior_noise_can_be_scaled() -> None:
    z_y, noise, _ = latents()
    full = ResShiftScheduler().prior_sample(z_y, noise) - z_y
    assert_close(full, 2 * 0.99 * noise)
    assert_close(
        ResShiftScheduler(prior_noise_scale=0.7).prior_sample(z_y, noise), z_y + 0.7 * full
    )


def test_a_generator_replaces_given_noise() -> None:
    scheduler = ResShiftScheduler()
    output, x_t, z_y = latents()
    noise = torch.randn(x_t.shape, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    drawn = scheduler.step(output, 4, x_t, z_y, generator=torch.Generator().manual_seed(3))
    assert_close(drawn.prev_sample, scheduler.step(output, 4, x_t, z_y, noise=noise).prev_sample)
    with pytest.raises(ValueError, match="generator"):
        scheduler.step(output, 4, x_t, z_y)


def test_tables_made_in_inference_mode_serve_training() -> None:
    scheduler = ResShiftScheduler()
    x_0, z_y, noise = latents()
    with torch.inference_mode():
        scheduler.add_noise(x_0, z_y, noise, 3)
    x_0.requires_grad_()
    scheduler.add_noise(x_0, z_y, noise, 3).sum().backward()
    assert x_0.grad is not None
    assert_close(x_0.grad, 1 - scheduler.coefficient("eta", 3, z_y).expand_as(x_0))


def test_settings_survive_saving(tmp_path: Path) -> None:
    scheduler = ResShiftScheduler(8, 1.0, 0.1, 0.999, 1.0, "residual", 0.7, 0.25)
    scheduler.save_pretrained(tmp_path)
    loaded = ResShiftScheduler.from_pretrained(tmp_path)
    own = {k: v for k, v in scheduler.config.items() if not k.startswith("_")}
    assert {k: loaded.config[k] for k in own} == own
    assert torch.equal(loaded.sqrt_etas, scheduler.sqrt_etas)
    assert len(loaded) == 8
    assert loaded.sigma_r == 0.25


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"prediction_type": "residuals"}, "'residual'"),
        ({"kappa": 0.0}, "kappa"),
        ({"etas_end": 1.5}, "etas_end"),
        ({"etas_end": 0.01}, "etas_end"),
        ({"num_train_timesteps": 0}, "num_train_timesteps"),
    ],
)
def test_impossible_settings_are_named(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        ResShiftScheduler(**settings)


def test_a_step_outside_the_schedule_is_refused() -> None:
    with pytest.raises(IndexError, match="-1"):
        ResShiftScheduler().coefficient("eta", -1, torch.zeros(1))


def test_residual_prediction_needs_the_low_resolution_latent() -> None:
    with pytest.raises(ValueError, match="lq_latent"):
        ResShiftScheduler(prediction_type="residual").scale_model_input(torch.zeros(1), 0)
