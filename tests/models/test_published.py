from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from tadsr.errors import TadsrError
from tadsr.models import import_swin_unet, import_vq_f4

State = dict[str, Tensor]
MASK = "input_blocks.1.1.blocks.1.attn_mask"


@pytest.fixture(scope="module")
def unet_state(shared: Path) -> State:
    state: State = load_file(shared / "golden/unet_swin.state_dict.safetensors")
    return state


def test_the_structure_is_read_off_the_shapes(shared: Path) -> None:
    config = import_swin_unet(shared / "golden/unet_swin.state_dict.safetensors").config
    expected = {
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
    }
    assert {name: config[name] for name in expected} == expected


def test_every_stored_weight_arrives(shared: Path, unet_state: State) -> None:
    own = import_swin_unet(shared / "golden/unet_swin.state_dict.safetensors").state_dict()
    derived = {k for k in unet_state if k.endswith(("relative_position_index", "attn_mask"))}
    assert own.keys() == unet_state.keys() - derived
    assert all(torch.equal(own[key], unet_state[key]) for key in own)


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "module._orig_mod."])
def test_wrapped_and_nested_checkpoints_import(
    tmp_path: Path, unet_state: State, prefix: str
) -> None:
    path = tmp_path / "checkpoint.pth"
    wrapped = {prefix + key: value for key, value in unet_state.items()}
    torch.save({"state_dict": wrapped, "iters_start": 3}, path)
    own = import_swin_unet(path).state_dict()
    assert all(torch.equal(own[key], unet_state[key]) for key in own)


def test_half_precision_checkpoints_become_single(tmp_path: Path, unet_state: State) -> None:
    path = tmp_path / "half.safetensors"
    save_file({k: v.half() if v.is_floating_point() else v for k, v in unet_state.items()}, path)
    assert import_swin_unet(path).dtype == torch.float32


def test_a_training_checkpoint_of_the_codec_imports(shared: Path, tmp_path: Path) -> None:
    state = load_file(shared / "golden/vq_f4.state_dict.safetensors")
    path = tmp_path / "vq.pth"
    torch.save({"state_dict": {**state, "loss.discriminator.weight": torch.zeros(2)}}, path)
    codec = import_vq_f4(path)
    assert torch.equal(codec.vq.quantize.embedding.weight, state["quantize.embedding.weight"])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"out.0.bias": None}, "1 missing: out.0.bias;"),
        ({"stranger.weight": torch.zeros(1)}, "1 unexpected: stranger.weight;"),
        (
            {"out.0.bias": torch.zeros(5)},
            r"1 of another shape: out.0.bias \(5,\) instead of \(32,\);",
        ),
        ({MASK: torch.zeros(4, 64, 64)}, "attn_mask differs"),
        (
            {"feature_extractor.0.weight": torch.zeros(1)},
            "1 unexpected: feature_extractor.0.weight",
        ),
        ({"input_blocks.0.0.weight": None}, "1 missing: input_blocks.0.0.weight"),
    ],
)
def test_what_does_not_fit_is_one_line_with_the_file(
    tmp_path: Path, unet_state: State, change: dict[str, Tensor | None], words: str
) -> None:
    path = tmp_path / "changed.safetensors"
    changed = {**unet_state, **change}
    save_file({k: v for k, v in changed.items() if v is not None}, path)
    with pytest.raises(TadsrError, match=words) as info:
        import_swin_unet(path)
    assert str(path) in str(info.value)
    assert "\n" not in str(info.value)


def test_a_denoiser_is_no_codec(shared: Path) -> None:
    with pytest.raises(TadsrError, match="no VQ autoencoder"):
        import_vq_f4(shared / "golden/unet_swin.state_dict.safetensors")


class Bomb:
    """Would run a command when unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.marker),)


def test_a_file_that_would_run_code_is_refused(tmp_path: Path) -> None:
    path, marker = tmp_path / "bomb.pth", tmp_path / "ran"
    torch.save({"state_dict": Bomb(marker)}, path)
    with pytest.raises(TadsrError, match=r"needs 'posix\.mkdir' beyond plain tensors"):
        import_swin_unet(path)
    assert not marker.exists()


@pytest.mark.parametrize("name", ["none.pth", "text.pth", "text.safetensors", "list.pth"])
def test_files_that_are_no_checkpoints_are_named(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    if name.startswith("text"):
        path.write_text("<html>404</html>")
    if name.startswith("list"):
        torch.save([1, 2], path)
    with pytest.raises(TadsrError, match=name) as info:
        import_swin_unet(path)
    assert "\n" not in str(info.value)
