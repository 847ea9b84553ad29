from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor
from torch.testing import assert_close

from tadsr.diffusion import ResShiftScheduler, predict_x0, sample, trajectory
from tadsr.errors import ConfigError
from tadsr.models import SwinUNet2DModel, import_swin_unet

SCHEDULES: dict[str, dict[str, Any]] = {
    "realsrx4_s15": {},
    "realsrx4_s4_v3": {"num_train_timesteps": 4, "min_noise_level": 0.2},
}


class Oracle:
    """A denoiser that always answers `answer`, and remembers what it was asked."""

    def __init__(self, answer: Tensor) -> None:
        self.answer = answer
        self.calls: list[tuple[Tensor, Tensor]] = []

    def __call__(self, x_t: Tensor, t: Tensor, lq: Tensor) -> SimpleNamespace:
        self.calls.append((x_t, t))
        return SimpleNamespace(sample=self.answer)


@pytest.fixture(scope="module")
def unet(shared: Path) -> SwinUNet2DModel:
    return import_swin_unet(shared / "golden/unet_swin.state_dict.safetensors")


@pytest.mark.parametrize("name", SCHEDULES)
def test_stochastic_chain_equals_the_published_one(
    shared: Path, unet: SwinUNet2DModel, name: str
) -> None:
    golden = load_file(shared / "golden/diffusion.io.safetensors")
    g = {k.removeprefix(f"{name}."): v for k, v in golden.items() if k.startswith(f"{name}.")}
    scheduler = ResShiftScheduler(**SCHEDULES[name])
    noisy = scheduler.add_noise(g["x0"], g["y"], g["eps"], g["t"])
    assert_close(noisy, g["q_sample"], atol=1e-6, rtol=0)
    x_T = scheduler.prior_sample(g["y"], g["eps"])
    assert_close(x_T, g["prior_sample"], atol=1e-6, rtol=0)
    options: dict[str, Any] = {"deterministic": False, "noise": g["step_noise"]}
    first = next(iter(trajectory(unet, scheduler, x_T, g["y"], g["lq"], **options)))
    assert_close(first.x_0, g["first_pred_x0"], atol=1e-5, rtol=0)
    assert_close(first.x_prev, g["first_sample"], atol=1e-5, rtol=0)
    z_0 = sample(unet, scheduler, x_T, g["y"], g["lq"], **options)
    assert_close(z_0, g["sample_stochastic"], atol=1e-5, rtol=0)


def test_deterministic_chain_equals_that_of_sinsr(shared: Path, unet: SwinUNet2DModel) -> None:
    g = load_file(shared / "golden/deterministic.io.safetensors")
    scheduler = ResShiftScheduler()
    x_T = scheduler.prior_sample(g["y"], g["eps"])
    assert_close(x_T, g["prior"], atol=1e-6, rtol=0)
    steps = list(trajectory(unet, scheduler, x_T, g["y"], g["lq"]))
    assert [step.t for step in steps] == list(range(14, -1, -1))
    assert_close(steps[0].x_prev, g["after_first_step"], atol=1e-5, rtol=0)
    assert_close(steps[-1].x_prev, g["sample_deterministic"], atol=1e-5, rtol=0)
    z_0 = sample(unet, scheduler, x_T, g["y"], g["lq"])
    assert torch.equal(z_0, steps[-1].x_prev)
    one = sample(unet, scheduler, x_T, g["y"], g["lq"], num_inference_steps=1)
    assert_close(one, g["one_step"], atol=1e-5, rtol=0)


@pytest.mark.parametrize("deterministic", [True, False])
@pytest.mark.parametrize("kind", ["sample", "residual"])
def test_a_chain_with_the_right_answer_ends_there(deterministic: bool, kind: str) -> None:
    scheduler = ResShiftScheduler(prediction_type=kind, sigma_r=0.5)
    z_0, z_y = torch.randn(2, 2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    oracle = Oracle(z_0 if kind == "sample" else (z_0 - z_y) / 0.5)
    generator = torch.Generator().manual_seed(1)
    options: dict[str, Any] = {"deterministic": deterministic, "generator": generator}
    result = sample(oracle, scheduler, z_y, z_y, z_y, num_inference_steps=15, **options)
    assert_close(result, z_0)
    assert [int(t[0]) for _, t in oracle.calls] == list(range(14, -1, -1))
    assert all(t.shape == (2,) for _, t in oracle.calls)


def test_one_step_asks_the_network_once_at_the_noisiest_time() -> None:
    scheduler = ResShiftScheduler()
    x_T, z_0 = torch.randn(2, 2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    oracle = Oracle(z_0)
    result = sample(oracle, scheduler, x_T, x_T, x_T, num_inference_steps=1)
    assert torch.equal(result, z_0)
    ((seen, t),) = oracle.calls
    assert t.tolist() == [14, 14]
    assert_close(seen, x_T / (4 * 0.99**2 + 1) ** 0.5)


@pytest.mark.parametrize("steps", [0, 2, 14, 16])
def test_other_numbers_of_steps_are_refused_in_one_line(steps: int) -> None:
    x = torch.zeros(1, 3, 8, 8)
    with pytest.raises(ConfigError, match=f"num_inference_steps is {steps}.*15") as info:
        sample(Oracle(x), ResShiftScheduler(), x, x, x, num_inference_steps=steps)
    assert "\n" not in str(info.value)


def test_a_prediction_carries_gradients_and_a_chain_does_not() -> None:
    scheduler = ResShiftScheduler()
    answer = torch.zeros(1, 3, 8, 8, requires_grad=True)
    oracle, x = Oracle(answer), torch.zeros(1, 3, 8, 8)
    assert predict_x0(oracle, scheduler, x, 3, x, x).requires_grad
    assert not sample(oracle, scheduler, x, x, x).requires_grad
