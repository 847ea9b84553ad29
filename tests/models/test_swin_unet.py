from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.testing import assert_close

from tadsr.errors import ConfigError
from tadsr.models import SwinUNet2DModel, import_swin_unet
from tadsr.models.swin_blocks import relative_position_index, timestep_embedding

SMALL: dict[str, Any] = {
    "model_channels": 32,
    "channel_mult": (1, 2),
    "num_res_blocks": 1,
    "attention_resolutions": (16, 8),
    "sample_size": 16,
    "num_head_channels": 16,
    "swin_embed_dim": 32,
    "mlp_ratio": 2.0,
}
PUBLISHED_PARAMETERS = 118_593_583  # 118.59 M, ResShift


def randomised(**changes: Any) -> SwinUNet2DModel:
    """A small network without the zero initial weights that would hide differences."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        unet: SwinUNet2DModel = SwinUNet2DModel(**{**SMALL, **changes})
        for parameter in unet.parameters():
            if not parameter.any():
                nn.init.normal_(parameter, std=0.05)
    return unet.eval()


def inputs(n: int, height: int, width: int, channels: int = 3) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    x_t, lq = (torch.randn(n, c, height, width, generator=generator) for c in (channels, 3))
    return x_t, torch.arange(n) * 3, lq


@pytest.mark.parametrize("size", ["", "_wide"])
def test_it_computes_the_published_function(shared: Path, size: str) -> None:
    unet = import_swin_unet(shared / "golden/unet_swin.state_dict.safetensors")
    golden = load_file(shared / "golden/unet_swin.io.safetensors")
    with torch.no_grad():
        y = unet(golden[f"x{size}"], golden[f"t{size}"], golden[f"lq{size}"]).sample
    assert_close(y, golden[f"y{size}"], atol=1e-5, rtol=0)


def test_the_published_size_has_the_published_number_of_parameters() -> None:
    with torch.device("meta"):
        unet = SwinUNet2DModel()
    assert sum(p.numel() for p in unet.parameters()) == PUBLISHED_PARAMETERS
    assert unet.feature_channels == [160, 320, 320, 640, 640]
    assert unet.size_multiple == 64


def test_building_on_another_device_leaves_cached_tables_usable() -> None:
    relative_position_index.cache_clear()
    with torch.device("meta"):
        SwinUNet2DModel(**SMALL)
    assert relative_position_index(8).device.type == "cpu"


@pytest.mark.parametrize("mult", [(1,), (1, 2)])
def test_encoder_features_are_those_of_the_full_pass(mult: tuple[int, ...]) -> None:
    unet = randomised(channel_mult=mult, attention_resolutions=(16,))
    seen: dict[str, Tensor] = {}
    for name, module in unet.named_modules():
        if (name.startswith("input_blocks.") and name.count(".") == 1) or name == "middle_block":
            module.register_forward_hook(lambda m, i, o, name=name: seen.update({name: o}))
    decoder_ran = []
    unet.out.register_forward_hook(lambda m, i, o: decoder_ran.append(True))
    with torch.no_grad():
        features = unet.encoder_features(*inputs(2, 16, 16))
        assert not decoder_ran
        unet(*inputs(2, 16, 16))
    down = ["input_blocks.2"] if len(mult) == 2 else []
    last = "input_blocks.3" if len(mult) == 2 else "input_blocks.1"
    expected = [seen[name] for name in (*down, last, "middle_block")]
    assert len(features) == len(expected)
    for own, full in zip(features, expected, strict=True):
        assert torch.equal(own, full)
    assert [f.shape[1] for f in features] == unet.feature_channels


def test_features_pass_gradients_to_the_latent() -> None:
    unet = randomised().requires_grad_(False)
    x_t, t, lq = inputs(1, 16, 16)
    x_t.requires_grad_()
    unet.encoder_features(x_t, t, lq)[-1].sum().backward()
    assert x_t.grad is not None
    assert x_t.grad.abs().max() > 0


@pytest.mark.parametrize(("height", "width"), [(16, 16), (16, 48), (32, 16), (48, 64)])
def test_any_multiple_of_the_unit_runs_at_any_size(height: int, width: int) -> None:
    unet = randomised()
    with torch.no_grad():
        assert unet(*inputs(1, height, width)).sample.shape == (1, 3, height, width)


def test_a_single_level_runs_on_multiples_of_one_window() -> None:
    unet = randomised(channel_mult=(1,), attention_resolutions=(16,), in_channels=48)
    assert unet.size_multiple == 8
    with torch.no_grad():
        assert unet(*inputs(1, 8, 24, channels=48)).sample.shape == (1, 3, 8, 24)


def test_other_sizes_are_refused_with_the_multiple() -> None:
    with pytest.raises(ValueError, match=r"24x16.*multiples of 16"):
        randomised()(*inputs(1, 24, 16))


def test_samples_of_a_batch_do_not_mix() -> None:
    unet = randomised()
    x_t, t, lq = inputs(3, 16, 32)
    with torch.no_grad():
        together = unet(x_t, t, lq).sample
        for i in range(3):
            alone = unet(x_t[i : i + 1], t[i : i + 1], lq[i : i + 1]).sample
            assert_close(together[i : i + 1], alone, atol=1e-5, rtol=0)


def test_time_and_condition_matter() -> None:
    unet = randomised()
    x_t, t, lq = inputs(1, 16, 16)
    with torch.no_grad():
        base = unet(x_t, t, lq).sample
        assert (unet(x_t, t + 1, lq).sample - base).abs().max() > 1e-4
        assert (unet(x_t, t, lq + 1).sample - base).abs().max() > 1e-4


def test_a_larger_condition_is_brought_down_to_the_latent() -> None:
    unet = randomised(lq_size=64)
    x_t, t, _ = inputs(1, 16, 32)
    lq = torch.randn(1, 3, 64, 128, generator=torch.Generator().manual_seed(2), requires_grad=True)
    unet(x_t, t, lq).sample.sum().backward()
    assert lq.grad is not None
    assert lq.grad.abs().max() > 0


def test_a_new_network_puts_out_zero() -> None:
    assert not SwinUNet2DModel(**SMALL)(*inputs(1, 16, 16)).sample.any()


def test_saving_and_loading_changes_no_bit(tmp_path: Path) -> None:
    unet = randomised(dropout=0.1)
    unet.save_pretrained(tmp_path)
    loaded = SwinUNet2DModel.from_pretrained(tmp_path, use_safetensors=True)
    with torch.no_grad():
        assert torch.equal(unet(*inputs(1, 16, 16)).sample, loaded(*inputs(1, 16, 16)).sample)


def test_the_time_embedding_has_cosines_first() -> None:
    embedding = timestep_embedding(torch.tensor([0, 5]), 4)
    angles = torch.tensor([5.0, 5.0 / 100])
    assert_close(embedding[0], torch.tensor([1.0, 1.0, 0.0, 0.0]))
    assert_close(embedding[1], torch.cat([angles.cos(), angles.sin()]))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"num_head_channels": 24}, "num_head_channels"),
        ({"sample_size": 24}, "multiple of 16"),
        ({"attention_resolutions": (32,)}, "attention_resolutions names 32.*16, 8"),
        ({"num_res_blocks": (1, 1, 1)}, "num_res_blocks"),
        ({"lq_size": 48}, "lq_size"),
    ],
)
def test_sizes_that_do_not_fit_are_named(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        SwinUNet2DModel(**{**SMALL, **changes})
