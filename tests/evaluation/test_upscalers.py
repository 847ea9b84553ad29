"""Upscalers: sizes, ranges, and noise that depends on the image's name alone."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tadsr.data.resize import bicubic
from tadsr.evaluation import Bicubic, PipelineUpscaler
from tadsr.seeds import torch_generator


def lr_image() -> torch.Tensor:
    return torch.rand(3, 10, 13, generator=torch_generator(0, "lr"))


def test_bicubic() -> None:
    lr = lr_image()
    sr = Bicubic().upscale(lr, "a")
    assert sr.shape == (3, 40, 52)
    assert torch.equal(sr, bicubic(lr[None], scale=4)[0].clamp(0, 1))
    assert bicubic(lr[None], scale=4).max() > 1  # so that clamping matters


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from tadsr.diffusion import ResShiftScheduler
    from tadsr.models import PixelUnshuffleCodec, SwinUNet2DModel
    from tadsr.pipeline import TADSRPipeline

    with torch.random.fork_rng():
        torch.manual_seed(0)
        unet = SwinUNet2DModel(
            in_channels=48, out_channels=48, lq_channels=3, model_channels=32, channel_mult=(1,),
            num_res_blocks=1, attention_resolutions=(16,), sample_size=16, num_head_channels=16,
            swin_depth=2, swin_embed_dim=32, window_size=8, mlp_ratio=2.0,
        )  # fmt: skip
        for parameter in unet.parameters():  # the last layer starts at zero
            torch.nn.init.normal_(parameter, std=0.05)
    folder = tmp_path_factory.mktemp("model")
    codec = PixelUnshuffleCodec(4, 4.0)
    scheduler = ResShiftScheduler(num_train_timesteps=15)
    TADSRPipeline(unet=unet, codec=codec, scheduler=scheduler).save_pretrained(folder)
    return folder


def test_a_saved_pipeline(model: Path) -> None:
    lr = lr_image()
    one = PipelineUpscaler(model, 1, "cpu")
    sr = one.upscale(lr, "a")
    assert sr.shape == (3, 40, 52)
    assert 0 <= sr.min() <= sr.max() <= 1
    state = torch.random.get_rng_state()
    one.upscale(lr, "b")
    assert torch.equal(one.upscale(lr, "a"), sr)  # whatever came between
    assert not torch.equal(one.upscale(lr, "b"), sr)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert torch.equal(PipelineUpscaler(model, 1, "cpu").upscale(lr, "a"), sr)
    assert not torch.equal(PipelineUpscaler(model, 15, "cpu").upscale(lr, "a"), sr)
    other = PipelineUpscaler(model, 1, "cpu", draw=1).upscale(lr, "a")
    assert not torch.equal(other, sr)
    assert torch.equal(PipelineUpscaler(model, 1, "cpu", draw=1).upscale(lr, "a"), other)
