from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.testing import assert_close

from tadsr.errors import ConfigError
from tadsr.models import SwinUNet2DModel, import_swin_unet
from tadsr.models.swin_blocks import (
    ResBlock,
    SwinLayer,
    relative_position_index,
    timestep_embedding,
)

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


@pytest.mark.parametrize(
    ("factor", "stack"),
    [
        (2, None),
        (4, None),
        (8, None),
        (1, ((6, 1, 1),)),
        (8, ((8, 1, 1), (8, 2, 0), (16, 2, 1), (16, 2, 0))),
    ],
)
def test_a_larger_condition_is_brought_down_by_convolutions(
    factor: int, stack: tuple[tuple[int, int, int], ...] | None
) -> None:
    """The same as convolutions by hand before a network that takes what they put out."""
    unet = randomised(lq_size=16 * factor, lq_stack=stack)
    x_t, t, _ = inputs(1, 16, 32)
    generator = torch.Generator().manual_seed(2)
    lq = torch.randn(1, 3, 16 * factor, 32 * factor, generator=generator, requires_grad=True)
    h = lq
    weights = iter(unet.feature_extractor.parameters())
    for i in range(factor.bit_length() - 1 if stack is None else len(stack)):
        channels, stride, activated = (16 << i, 2, 1) if stack is None else stack[i]
        h = F.conv2d(h, next(weights), next(weights), stride, padding=1)
        assert h.shape[1] == channels
        h = h * h.sigmoid() if activated else h
    assert h.shape[2:] == (16, 32)
    twin = randomised(lq_channels=h.shape[1])
    own = {k: v for k, v in unet.state_dict().items() if not k.startswith("feature_extractor.")}
    twin.load_state_dict(own)
    y = unet(x_t, t, lq).sample
    assert_close(y, twin(x_t, t, h).sample, atol=1e-5, rtol=0)
    y.sum().backward()
    assert lq.grad is not None
    assert lq.grad.abs().max() > 0


def test_a_stack_survives_saving(tmp_path: Path) -> None:
    unet = randomised(lq_size=32, lq_stack=((8, 1, 1), (8, 2, 0)))
    unet.save_pretrained(tmp_path)
    loaded = SwinUNet2DModel.from_pretrained(tmp_path, use_safetensors=True)
    x_t, t, _ = inputs(1, 16, 16)
    lq = torch.randn(1, 3, 32, 32, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        assert torch.equal(unet(x_t, t, lq).sample, loaded(x_t, t, lq).sample)
    assert loaded.config.lq_stack == [[8, 1, 1], [8, 2, 0]]


@pytest.mark.parametrize(
    ("changes", "multiple"),
    [
        ({"channel_mult": (1, 2, 2, 4), "attention_resolutions": (64, 8), "sample_size": 64}, 64),
        ({"channel_mult": (1, 1, 3), "attention_resolutions": (32,), "sample_size": 32}, 32),
        ({"channel_mult": (2, 1)}, 16),
        ({"num_res_blocks": 3}, 16),
        ({"num_res_blocks": (1, 3)}, 16),
        ({"num_res_blocks": (3, 1)}, 16),
        ({"swin_depth": 1}, 16),
        ({"swin_depth": 3}, 16),
        ({"swin_depth": 6, "num_res_blocks": 2}, 16),
        ({"num_head_channels": 8}, 16),
        ({"num_head_channels": 32}, 16),
        ({"swin_embed_dim": 48, "num_head_channels": 12}, 16),
        ({"window_size": 4}, 8),
        ({"window_size": 2, "channel_mult": (1, 1, 1)}, 8),
        ({"window_size": 5, "sample_size": 20, "attention_resolutions": (20, 10)}, 10),
        ({"window_size": 16, "channel_mult": (1,), "attention_resolutions": (16,)}, 16),
        ({"use_scale_shift_norm": False}, 16),
    ],
)
def test_other_settings_run_and_learn(changes: dict[str, Any], multiple: int) -> None:
    unet = randomised(**changes)
    assert unet.size_multiple == multiple
    y = unet(*inputs(2, multiple, 2 * multiple)).sample
    assert y.shape == (2, 3, multiple, 2 * multiple)
    y.square().mean().backward()
    assert all(p.grad is not None and bool(p.grad.any()) for p in unet.parameters())


@pytest.mark.parametrize("depth", [1, 2, 5])
@pytest.mark.parametrize("blocks", [1, (1, 3)])
def test_the_network_has_as_many_blocks_as_asked(depth: int, blocks: Any) -> None:
    unet = randomised(swin_depth=depth, num_res_blocks=blocks)
    low, high = (blocks, blocks) if isinstance(blocks, int) else blocks
    swin = [module for module in unet.modules() if isinstance(module, SwinLayer)]
    residual = [module for module in unet.modules() if isinstance(module, ResBlock)]
    # Two levels in encoder and decoder, and the middle; the decoder has one more per level.
    assert [len(layer.blocks) for layer in swin] == [depth] * 5
    assert len(residual) == low + high + 2 + (low + 1) + (high + 1)


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
        ({"lq_stack": ((8, 2, 1),)}, "divides the condition's size by 2.*set lq_size 32"),
        ({"lq_size": 32, "lq_stack": ((8, 2),)}, r"lq_stack has \[8, 2\]"),
        ({"lq_size": 32, "lq_stack": ((8, 3, 1),)}, r"lq_stack has \[8, 3, 1\]"),
    ],
)
def test_sizes_that_do_not_fit_are_named(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        SwinUNet2DModel(**{**SMALL, **changes})
