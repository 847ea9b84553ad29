"""Radial spectra, against waves of known frequency and a teacher of known frequencies."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from tadsr.diffusion import ResShiftScheduler
from tadsr.distillation.spectrum import gradient_spectra, radial_spectrum
from tadsr.models.codecs import PixelUnshuffleCodec
from tadsr.models.swin_unet import SwinUNetOutput
from tests.distillation.conftest import World


@pytest.mark.parametrize("frequency", [0.1, 0.25, 0.4])
@pytest.mark.parametrize("angle", [0.0, 0.7])
def test_a_wave_lies_in_the_bin_of_its_frequency(frequency: float, angle: float) -> None:
    y, x = torch.meshgrid(torch.arange(64.0), torch.arange(64.0), indexing="ij")
    along = x * torch.cos(torch.tensor(angle)) + y * torch.sin(torch.tensor(angle))
    wave = torch.sin(2 * torch.pi * frequency * along).expand(2, 3, 64, 64)
    power, mean = radial_spectrum(wave)
    assert abs((int(power.argmax()) + 0.5) / 64 - frequency) < 1.5 / 64
    assert mean == pytest.approx(frequency, abs=0.02)
    assert float(power.sum()) == pytest.approx(1)


def test_white_noise_is_flat_and_scale_does_not_matter() -> None:
    noise = torch.randn(200, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    power, mean = radial_spectrum(noise)
    torch.testing.assert_close(power[1:], torch.full_like(power[1:], 1 / 16), rtol=0.1, atol=0.0)
    # The mean radius of a disc is 2/3 of its own.
    assert mean == pytest.approx(2 / 3 * 0.5, abs=0.01)
    torch.testing.assert_close(radial_spectrum(7 * noise)[0], power)


class LowPass(torch.nn.Module):
    """A denoiser that passes less and less of the fine detail as t grows."""

    def forward(self, x: Tensor, t: Tensor, lq: Tensor) -> Any:
        image = torch.nn.functional.pixel_shuffle(x, 4)
        radius = torch.hypot(torch.fft.fftfreq(32)[:, None], torch.fft.fftfreq(32)[None, :])
        passed = (radius < 0.5 / (1 + t.reshape(-1, 1, 1, 1))).float()
        kept = torch.fft.ifft2(torch.fft.fft2(image) * passed).real
        return SwinUNetOutput(sample=torch.nn.functional.pixel_unshuffle(kept, 4))


def test_what_the_denoiser_does_not_pass_is_what_is_pushed() -> None:
    """For a linear low-pass F, g is the gap's high-pass part: at small t the highest."""
    generator = torch.Generator().manual_seed(0)
    shape = (16, 48, 8, 8)
    z_y, z_0, z_tch = (torch.randn(shape, generator=generator) for _ in range(3))
    pipeline = SimpleNamespace(
        unet=LowPass(), scheduler=ResShiftScheduler(), codec=PixelUnshuffleCodec()
    )
    pairs = {"x_T": z_y, "z_y": z_y, "z_0": z_0, "z_tch": z_tch, "lq": torch.zeros(16, 3, 8, 8)}
    found = gradient_spectra(pipeline, pairs, 0)
    assert found["unit"] == "cycles per image pixel"
    frequencies = [at["frequency"] for at in found["target"]]
    assert frequencies[0] > frequencies[1] > frequencies[2] > found["gap"]["frequency"]
    low = [f < 0.1 for f in found["frequencies"]]
    share = sum(p for p, is_low in zip(found["target"][1]["power"], low, strict=True) if is_low)
    assert share < 0.05, "nothing that the denoiser passes on is pushed"


def test_a_pool_tells_the_spectra_of_its_teacher(world: World) -> None:
    stored = json.loads((world.pool / "spectrum.json").read_text())
    assert len(stored["target"]) == len(stored["noise"]) == 15
    assert len(stored["frequencies"]) == len(stored["noise"][0]["power"]) == 16
    assert all(at["rms"] > 0 for at in stored["target"] + stored["noise"])
