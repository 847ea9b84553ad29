from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.testing import assert_close

from tadsr.errors import ConfigError, TadsrError
from tadsr.models import SwinUNet2DModel, import_swin_unet
from tadsr.models.published_unet import stored_buffers

State = dict[str, Tensor]
MASK = "input_blocks.1.1.blocks.1.attn_mask"
SMALL: dict[str, Any] = {
    "model_channels": 32,
    "channel_mult": (1, 2),
    "num_res_blocks": (1, 1),
    "attention_resolutions": (16, 8),
    "sample_size": 16,
    "num_head_channels": 16,
    "swin_embed_dim": 32,
    "mlp_ratio": 2.0,
    "lq_size": 16,
}


@pytest.fixture(scope="module")
def golden(shared: Path) -> Path:
    return shared / "golden/unet_swin.state_dict.safetensors"


@pytest.fixture(scope="module")
def unet_state(golden: Path) -> State:
    state: State = load_file(golden)
    return state


def saved(folder: Path, state: State, name: str = "changed.safetensors") -> Path:
    save_file({key: value.clone().contiguous() for key, value in state.items()}, folder / name)
    return folder / name


def network(**changes: Any) -> SwinUNet2DModel:
    """A network without the zero initial weights that would hide differences."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        unet: SwinUNet2DModel = SwinUNet2DModel(**{**SMALL, **changes})
        for parameter in unet.parameters():
            if not parameter.any():
                nn.init.normal_(parameter, std=0.05)
    unet.eval()
    return unet


def as_published(unet: SwinUNet2DModel) -> State:
    """What a published file of `unet` holds: its tensors, and the indices and masks."""
    return {**unet.state_dict(), **dict(stored_buffers(unet))}


def settings(unet: SwinUNet2DModel) -> dict[str, Any]:
    return {name: value for name, value in unet.config.items() if not name.startswith("_")}


def test_the_structure_is_read_off_the_shapes(golden: Path) -> None:
    assert settings(import_swin_unet(golden)) == {
        "in_channels": 3,
        "out_channels": 3,
        "lq_channels": 3,
        "model_channels": 32,
        "channel_mult": (1, 2),
        "num_res_blocks": (1, 1),
        "attention_resolutions": (16, 8),
        "sample_size": 16,
        "num_head_channels": 16,
        "swin_depth": 2,
        "swin_embed_dim": 32,
        "window_size": 8,
        "mlp_ratio": 2.0,
        "use_scale_shift_norm": True,
        "lq_size": 16,
        "lq_stack": None,
        "dropout": 0.0,
    }


def test_every_stored_weight_arrives(golden: Path, unet_state: State) -> None:
    own = import_swin_unet(golden).state_dict()
    derived = {k for k in unet_state if k.endswith(("relative_position_index", "attn_mask"))}
    assert own.keys() == unet_state.keys() - derived
    assert all(torch.equal(own[key], unet_state[key]) for key in own)


def test_the_stored_buffers_are_those_of_the_published_file(
    golden: Path, unet_state: State
) -> None:
    own = dict(stored_buffers(import_swin_unet(golden)))
    derived = {k for k in unet_state if k.endswith(("relative_position_index", "attn_mask"))}
    assert own.keys() == derived
    assert all(torch.equal(own[key], unet_state[key].to(own[key].dtype)) for key in own)


@pytest.mark.parametrize(
    "changes",
    [
        {"channel_mult": (1, 1, 2), "num_res_blocks": (2, 1, 3), "sample_size": 32, "lq_size": 32},
        {"channel_mult": (2, 3), "swin_depth": 4, "num_head_channels": 8},
        {"channel_mult": (1,), "num_res_blocks": (2,), "attention_resolutions": (16,)},
        {"attention_resolutions": ()},
        {"attention_resolutions": (8,)},
        {"attention_resolutions": (16,)},
        {"window_size": 4, "sample_size": 32, "lq_size": 32, "attention_resolutions": (32, 16)},
        {"window_size": 5, "sample_size": 20, "lq_size": 20, "attention_resolutions": (20, 10)},
        {"sample_size": 48, "lq_size": 48, "attention_resolutions": (24,)},
        {"mlp_ratio": 4.0, "swin_embed_dim": 48},
        {"mlp_ratio": 37 / 32},
        {"use_scale_shift_norm": False},
        {"in_channels": 8, "out_channels": 8},
        {"lq_channels": 4},
    ],
)
def test_networks_of_other_settings_import_as_they_are(
    tmp_path: Path, changes: dict[str, Any]
) -> None:
    unet = network(**changes)
    own = import_swin_unet(saved(tmp_path, as_published(unet)))
    assert settings(own) == settings(unet)
    side = unet.size_multiple
    generator = torch.Generator().manual_seed(1)
    x_t = torch.randn(1, unet.config.in_channels, side, 2 * side, generator=generator)
    lq = torch.randn(1, unet.config.lq_channels, side, 2 * side, generator=generator)
    with torch.no_grad():
        t = torch.tensor([3])
        assert torch.equal(own(x_t, t, lq).sample, unet(x_t, t, lq).sample)


def test_a_size_that_does_not_show_is_the_least_possible_or_given(tmp_path: Path) -> None:
    unet = network(sample_size=32, lq_size=32, attention_resolutions=(32, 16))
    path = saved(tmp_path, dict(unet.state_dict()))  # no buffers, as in averages of parameters
    assert import_swin_unet(path).config.sample_size == 16
    own = import_swin_unet(path, sample_size=32)
    assert settings(own) == settings(unet)
    with pytest.raises(ConfigError, match="a latent of 24 does not suit") as info:
        import_swin_unet(path, sample_size=24)
    assert str(path) in str(info.value)


def test_averages_of_parameters_find_their_masks_beside_the_raw_weights(tmp_path: Path) -> None:
    unet = network(sample_size=32, lq_size=32, attention_resolutions=(32, 16))
    mean = {"model_ema." + k.replace(".", ""): v + 1 for k, v in unet.state_dict().items()}
    path = tmp_path / "lightning.pth"
    torch.save({"state_dict": {**as_published(unet), **mean}}, path)
    own = import_swin_unet(path)
    assert settings(own) == settings(unet)
    assert torch.equal(own.out[2].bias, unet.out[2].bias + 1)
    assert torch.equal(import_swin_unet(path, weights="raw").out[2].bias, unet.out[2].bias)


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "module._orig_mod."])
def test_wrapped_nested_and_half_precision_checkpoints_import(
    tmp_path: Path, unet_state: State, prefix: str
) -> None:
    path = tmp_path / "checkpoint.pth"
    wrapped = {prefix + k: v.half() if v.is_floating_point() else v for k, v in unet_state.items()}
    torch.save({"state_dict": wrapped, "iters_start": 3}, path)
    own = import_swin_unet(path)
    assert own.dtype == torch.float32
    state = own.state_dict()
    assert all(torch.equal(state[key], unet_state[key].half().float()) for key in state)


def keys_to_spoil() -> list[str]:
    """All of the network's keys, in an order that mixes them; the tests take some."""
    keys = sorted(network().state_dict())
    random.Random(0).shuffle(keys)
    return keys


@pytest.mark.parametrize(
    "key",
    [
        "input_blocks.0.0.weight",
        "input_blocks.2.0.op.weight",
        "middle_block.1.patch_embed.proj.weight",
        "out.2.weight",
        "time_embed.0.weight",
        *keys_to_spoil()[:25],
    ],
)
def test_a_renamed_key_is_named_with_the_one_that_is_missing(tmp_path: Path, key: str) -> None:
    state = as_published(network())
    state[key + "s"] = state.pop(key)
    with pytest.raises(TadsrError) as info:
        import_swin_unet(saved(tmp_path, state))
    assert f": 1 missing: {key}; 1 unexpected: {key}s; " in str(info.value)
    assert "\n" not in str(info.value)


@pytest.mark.parametrize("key", [k for k in keys_to_spoil() if not k.startswith("out.2.")][:25])
def test_a_tensor_of_half_the_channels_is_named_with_both_shapes(tmp_path: Path, key: str) -> None:
    state = as_published(network())
    whole = state[key]
    state[key] = whole[: whole.shape[0] // 2]
    with pytest.raises(TadsrError) as info:
        import_swin_unet(saved(tmp_path, state))
    shapes = f"{key} {tuple(state[key].shape)} instead of {tuple(whole.shape)}"
    assert f": 1 of another shape: {shapes}; " in str(info.value)


def test_a_network_of_half_the_channels_imports_as_one_and_half_of_it_does_not(
    tmp_path: Path,
) -> None:
    half = network(model_channels=16, swin_embed_dim=16, num_head_channels=8)
    state = as_published(half)
    assert settings(import_swin_unet(saved(tmp_path, state))) == settings(half)
    for key, value in as_published(network()).items():
        if key.startswith("output_blocks."):
            state[key] = value
    with pytest.raises(TadsrError, match=r"\d+ of another shape: out.*\.\.\. and \d+ more") as info:
        import_swin_unet(saved(tmp_path, state))
    assert str(info.value).count(" instead of ") == 20


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"stranger.weight": torch.zeros(1)}, "1 unexpected: stranger.weight;"),
        ({MASK: torch.zeros(4, 64, 64)}, "attn_mask differs"),
        ({MASK: None}, f"1 missing: {MASK};"),
        ({"feature_extractor.0.weight": torch.zeros(1)}, "1 unexpected: feature_extractor.0"),
        ({"input_blocks.0.0.weight": torch.zeros(32, 3, 3, 3)}, "takes 3 channels.*lq_channels=0"),
    ],
)
def test_what_does_not_fit_is_one_line_with_the_file(
    tmp_path: Path, unet_state: State, change: dict[str, Tensor | None], words: str
) -> None:
    changed = {**unet_state, **change}
    path = saved(tmp_path, {k: v for k, v in changed.items() if v is not None})
    with pytest.raises(TadsrError, match=words) as info:
        import_swin_unet(path)
    assert str(path) in str(info.value)
    assert "\n" not in str(info.value)


@pytest.mark.parametrize("seed", range(20))
def test_whatever_is_broken_is_an_error_that_can_be_read(tmp_path: Path, seed: int) -> None:
    """Several tensors cut, reshaped, emptied or gone at once: never another exception."""
    draw = random.Random(seed)
    state = as_published(network())
    for key in draw.sample(sorted(state), draw.choice([2, 20, 150])):
        value = state.pop(key)
        kind = draw.randrange(6)
        if kind:
            flat = value.reshape(-1)
            some = flat[: draw.randrange(1, 40)]
            cut = [value[: len(value) // 2], value[None], flat[:0], value.sum(), some]
            state[key if kind < 5 else key.replace(".", "")] = cut[kind - 1].clone()
    with pytest.raises(TadsrError) as info:
        import_swin_unet(saved(tmp_path, state))
    assert "\n" not in str(info.value)


def test_another_network_is_not_taken_for_one(shared: Path, tmp_path: Path) -> None:
    with pytest.raises(TadsrError, match="no Swin UNet"):
        import_swin_unet(shared / "golden/vq_f4.state_dict.safetensors")
    with pytest.raises(TadsrError, match="no Swin UNet"):
        import_swin_unet(saved(tmp_path, {}))


@pytest.mark.parametrize(
    "overrides",
    [
        {"dropout": 0.1},
        {"num_res_blocks": 1},
        {"channel_mult": [1, 2], "attention_resolutions": [8, 16]},
        {"in_channels": 3, "lq_channels": 3, "lq_size": 16, "sample_size": 16},
    ],
)
def test_settings_that_agree_may_be_given(golden: Path, overrides: dict[str, Any]) -> None:
    own = import_swin_unet(golden, **overrides)
    assert own.config.dropout == overrides.get("dropout", 0.0)


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        ({"model_channels": 64}, "model_channels=64 contradicts .*golden.* say 32;"),
        ({"channel_mult": [1, 4]}, r"channel_mult=\[1, 4\] contradicts .* say \(1, 2\);"),
        ({"sample_size": 32}, "sample_size=32 contradicts .* say 16;"),
        ({"lq_size": 64}, "lq_size=64 contradicts .* say 16;"),
        ({"use_scale_shift_norm": False}, "use_scale_shift_norm=False contradicts .* say True;"),
        ({"in_channels": 6}, "takes 6 channels.*in_channels=6.*latent alone"),
        ({"lq_channels": 4}, "takes 6 channels.*lq_channels=4"),
        ({"lq_stack": [[16, 2, 1]]}, "lq_stack=.*contradicts.*no feature_extractor"),
        ({"windowsize": 8}, "'windowsize' is no setting.*'window_size'"),
        ({"dropout": "much"}, "dropout=much is no value"),
        ({"channel_mult": 2}, "channel_mult=2 is no value"),
        ({"use_scale_shift_norm": 1}, "use_scale_shift_norm=1 is no value"),
    ],
)
def test_settings_that_contradict_the_file_are_named_with_its_own(
    golden: Path, overrides: dict[str, Any], words: str
) -> None:
    with pytest.raises(ConfigError, match=words) as info:
        import_swin_unet(golden, **overrides)
    assert "\n" not in str(info.value)


FACE = ((4, 1, 1), (4, 2, 0), (8, 1, 1), (8, 2, 0))


def face_state(unet: SwinUNet2DModel) -> State:
    """`unet`'s tensors in the naming assumed of face checkpoints: 0, [1], 2.op, 3, [4], 5.op."""
    names = {"3.": "3.", "2.": "2.op.", "5.": "5.op.", "0.": "0."}
    state = {}
    for key, value in as_published(unet).items():
        for own, published in names.items():
            start = f"feature_extractor.{own}"
            key = key.replace(start, f"feature_extractor.{published}") if start in key else key
        state[key] = value
    return state


def test_a_condition_larger_than_the_latent_imports(tmp_path: Path) -> None:
    unet = network(in_channels=8, out_channels=8, lq_size=64, lq_stack=FACE)
    path = saved(tmp_path, face_state(unet))
    assert "feature_extractor.5.op.weight" in load_file(path)
    own = import_swin_unet(path)
    assert settings(own) == settings(unet)
    assert own.config.lq_size == 4 * own.config.sample_size
    generator = torch.Generator().manual_seed(1)
    x_t, lq = (torch.randn(1, c, s, s, generator=generator) for c, s in ((8, 16), (3, 64)))
    state, h = load_file(path), lq
    for name, stride in (("0", 1), ("2.op", 2), ("3", 1), ("5.op", 2)):
        start = f"feature_extractor.{name}."
        h = F.conv2d(h, state[start + "weight"], state[start + "bias"], stride, padding=1)
        h = F.silu(h) if stride == 1 else h
    with torch.no_grad():
        assert_close(own.feature_extractor(lq), h, atol=1e-5, rtol=0)
        t = torch.tensor([2])
        assert torch.equal(own(x_t, t, lq).sample, unet(x_t, t, lq).sample)


def test_plain_convolutions_alone_halve_each(tmp_path: Path) -> None:
    unet = network(lq_size=64)
    own = import_swin_unet(saved(tmp_path, as_published(unet)))
    assert own.config.lq_stack == ((16, 2, 1), (32, 2, 1))
    assert own.config.lq_size == 64


@pytest.mark.parametrize(
    ("spoil", "overrides", "words"),
    [
        ({"0": "1"}, {}, r"convolutions at 1, 2, 3, 5; .*not a known layout"),
        ({"5.op": "7.op"}, {}, r"convolutions at 0, 2, 3, 7; "),
        ({"3": "9"}, {}, "not a known layout"),
        ({}, {"lq_stack": [[4, 1, 1], [4, 2, 0], [8, 1, 1], [9, 2, 0]]}, "contradicts"),
        ({}, {"lq_stack": [[4, 1, 0], [4, 2, 0], [8, 1, 1], [8, 2, 0]]}, "contradicts"),
        ({}, {"lq_stack": [[4, 1, 1], [4, 2, 0]]}, "contradicts"),
        ({}, {"lq_stack": [4, 4]}, r"each entry is \[channels"),
        ({}, {"lq_stack": [[4, 1, 1], [4, 3, 0], [8, 1, 1], [8, 2, 0]]}, r"each entry is"),
        ({}, {"lq_size": 32}, "lq_size=32 contradicts .* say 64"),
    ],
)
def test_a_condition_stack_of_another_kind_is_refused(
    tmp_path: Path, spoil: dict[str, str], overrides: dict[str, Any], words: str
) -> None:
    state = face_state(network(lq_size=64, lq_stack=FACE))
    for before, after in spoil.items():
        start = f"feature_extractor.{before}."
        state = {k.replace(start, f"feature_extractor.{after}."): v for k, v in state.items()}
    with pytest.raises(TadsrError, match=words) as info:
        import_swin_unet(saved(tmp_path, state), **overrides)
    assert "\n" not in str(info.value)


def test_strides_and_the_last_activation_may_be_given(tmp_path: Path) -> None:
    state = face_state(network(lq_size=64, lq_stack=FACE))
    stack = [[4, 2, 1], [4, 2, 0], [8, 1, 1], [8, 2, 1]]
    own = import_swin_unet(saved(tmp_path, state), lq_stack=stack)
    assert own.config.lq_size == 128
    assert isinstance(own.feature_extractor[-1], nn.SiLU)
