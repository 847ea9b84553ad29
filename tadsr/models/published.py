"""Import of published ResShift, SinSR, TAD-SR and latent-diffusion checkpoints.

The structure of the network is read off the shapes, so no configuration is needed. Every key is
accounted for: loaded, or checked to be what we derive ourselves, or an error.
"""

from __future__ import annotations

import math
import pickle
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from tadsr.errors import TadsrError
from tadsr.models.codecs import VQCodec
from tadsr.models.swin_blocks import relative_position_index, shift_mask
from tadsr.models.swin_unet import SwinUNet2DModel

State = dict[str, Tensor]

WRAPPERS = re.compile(r"^(?:module\.|_orig_mod\.)+")
VQ_RENAMES = (
    (r"\.down\.(\d+)\.block\.", r".down_blocks.\1.resnets."),
    (r"\.down\.(\d+)\.downsample\.", r".down_blocks.\1.downsamplers.0."),
    (r"\.up\.(\d+)\.block\.", r".up_blocks.\1.resnets."),
    (r"\.up\.(\d+)\.upsample\.", r".up_blocks.\1.upsamplers.0."),
    (r"\.mid\.block_1\.", ".mid_block.resnets.0."),
    (r"\.mid\.block_2\.", ".mid_block.resnets.1."),
    (r"\.mid\.attn_1\.norm\.", ".mid_block.attentions.0.group_norm."),
    (r"\.mid\.attn_1\.([qkv])\.", r".mid_block.attentions.0.to_\1."),
    (r"\.mid\.attn_1\.proj_out\.", ".mid_block.attentions.0.to_out.0."),
    (r"\.nin_shortcut\.", ".conv_shortcut."),
    (r"\.norm_out\.", ".conv_norm_out."),
)


def import_swin_unet(path: Path | str) -> SwinUNet2DModel:
    """Read a published denoiser (.pth or .safetensors) into a SwinUNet2DModel in eval mode.

    Raises:
        TadsrError: no such network, an unknown structure, or keys left over or missing.
    """
    state = read_checkpoint(path)
    _expect(path, state, "input_blocks.0.0.weight", "Swin UNet")
    if any(key.startswith("feature_extractor.") for key in state):
        raise TadsrError(
            f"{path}: checkpoints whose LR condition is larger than the latent (face restoration) "
            "cannot be imported; use a super-resolution checkpoint"
        )
    unet: SwinUNet2DModel = SwinUNet2DModel(**_unet_structure(state))
    derived = {key for key in state if key.endswith((".relative_position_index", ".attn_mask"))}
    for key in sorted(derived):
        _check_derived(path, key, state[key], unet)
    _load(path, unet, {key: state[key] for key in state if key not in derived})
    unet.eval()
    return unet


def import_vq_f4(path: Path | str) -> VQCodec:
    """Read a published VQ autoencoder (.pth or .safetensors) into a VQCodec in eval mode.

    Raises:
        TadsrError: no such network, an unknown structure, or keys left over or missing.
    """
    state = read_checkpoint(path)
    _expect(path, state, "quantize.embedding.weight", "VQ autoencoder")
    # Latent diffusion's training checkpoints also hold the loss's own networks.
    state = {key: value for key, value in state.items() if not key.startswith("loss.")}
    levels = 1 + max(int(key.split(".")[2]) for key in state if key.startswith("encoder.down."))
    widths = [
        state[f"encoder.down.{level}.block.0.conv1.weight"].shape[0] for level in range(levels)
    ]
    blocks = [
        key for key in state if re.fullmatch(r"encoder\.down\.0\.block\.\d+\.conv1\.bias", key)
    ]
    codes, channels = state["quantize.embedding.weight"].shape
    codec: VQCodec = VQCodec(
        block_out_channels=tuple(widths),
        layers_per_block=len(blocks),
        latent_channels=channels,
        num_vq_embeddings=codes,
    )
    renamed = {_vq_key(key, levels): value for key, value in state.items()}
    for key, value in renamed.items():
        if ".attentions." in key and value.ndim == 4:
            renamed[key] = value[:, :, 0, 0]
    _load(path, codec.vq, renamed)
    codec.eval()
    return codec


def read_checkpoint(path: Path | str) -> State:
    """A checkpoint's tensors by plain key: unnested, wrapper prefixes removed, float32.

    `.pth` files are read with `weights_only=True`: a file that would run code is refused.
    """
    path = Path(path)
    try:
        if path.suffix == ".safetensors":
            content: Any = load_file(path)
        else:
            content = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise TadsrError(f"{path}: no such file; check the path") from error
    except (SafetensorError, pickle.UnpicklingError, RuntimeError, EOFError, OSError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else "unreadable"
        raise TadsrError(
            f"{path}: not a checkpoint of plain tensors ({reason}); download it again"
        ) from error
    while isinstance(content, Mapping) and isinstance(content.get("state_dict"), Mapping):
        content = content["state_dict"]
    if not isinstance(content, Mapping):
        raise TadsrError(f"{path}: holds no state dict; check that it is a model checkpoint")
    return {
        WRAPPERS.sub("", str(key)): value.float() if value.is_floating_point() else value
        for key, value in content.items()
        if isinstance(value, Tensor)
    }


def _unet_structure(state: State) -> dict[str, Any]:
    """The arguments of SwinUNet2DModel that fit a state dict."""
    model_channels, inputs = state["input_blocks.0.0.weight"].shape[:2]
    out_channels = state["out.2.weight"].shape[0]
    widths, blocks, attended = [], [0], []
    index = 1
    while f"input_blocks.{index}.0.op.weight" in state or _width(state, index):
        if not _width(state, index):
            blocks.append(0)
        else:
            blocks[-1] += 1
            if blocks[-1] == 1:
                widths.append(_width(state, index))
                attended.append(f"input_blocks.{index}.1.patch_embed.proj.weight" in state)
        index += 1
    embed_dim = state["middle_block.1.patch_embed.proj.weight"].shape[0]
    block = "middle_block.1.blocks.0."
    rows, heads = state[f"{block}attn.relative_position_bias_table"].shape
    window = (math.isqrt(rows) + 1) // 2
    sample_size = _sample_size(state, window, len(widths))
    embedding = state["middle_block.0.emb_layers.1.weight"].shape[0]
    return {
        "in_channels": out_channels,
        "out_channels": out_channels,
        "lq_channels": inputs - out_channels,
        "model_channels": model_channels,
        "channel_mult": tuple(width // model_channels for width in widths),
        "num_res_blocks": tuple(blocks),
        "attention_resolutions": tuple(
            sample_size >> level for level, attends in enumerate(attended) if attends
        ),
        "sample_size": sample_size,
        "num_head_channels": embed_dim // heads,
        "swin_depth": len(
            {k.split(".")[3] for k in state if k.startswith("middle_block.1.blocks.")}
        ),
        "swin_embed_dim": embed_dim,
        "window_size": window,
        "mlp_ratio": state[f"{block}mlp.fc1.weight"].shape[0] / embed_dim,
        "use_scale_shift_norm": embedding == 2 * widths[-1],
    }


def _width(state: State, index: int) -> int:
    """Channels that the residual block `index` of the encoder puts out; 0 if it is none."""
    weight = state.get(f"input_blocks.{index}.0.in_layers.2.weight")
    return 0 if weight is None else weight.shape[0]


def _sample_size(state: State, window: int, levels: int) -> int:
    """Side of the trained latent, read off a stored mask; without any, the least possible."""
    level = 0
    for index in range(1, len(state)):
        level += f"input_blocks.{index}.0.op.weight" in state
        mask = state.get(f"input_blocks.{index}.1.blocks.1.attn_mask")
        if mask is not None:
            return (window * math.isqrt(mask.shape[0])) << level
    return window << (levels - 1)


def _check_derived(path: Path | str, key: str, value: Tensor, unet: SwinUNet2DModel) -> None:
    """Refuse a stored index or mask that differs from the one we compute."""
    window = unet.config.window_size
    if key.endswith(".relative_position_index"):
        expected = relative_position_index(window)
    else:
        side = window * math.isqrt(value.shape[0])
        expected = shift_mask(side, side, window, window // 2, value.device)
    if not torch.equal(value, expected):
        raise TadsrError(
            f"{path}: {key} differs from that of the published networks; "
            "this variant of window attention is not known"
        )


def _vq_key(key: str, levels: int) -> str:
    """The diffusers name of a published key; decoder levels count the other way round there."""
    key = re.sub(
        r"^decoder\.up\.(\d+)\.", lambda found: f"decoder.up.{levels - 1 - int(found[1])}.", key
    )
    for pattern, replacement in VQ_RENAMES:
        key = re.sub(pattern, replacement, key)
    return key


def _expect(path: Path | str, state: State, key: str, what: str) -> None:
    if key not in state:
        raise TadsrError(f"{path}: no {what} in it ({key} is missing); check which file this is")


def _load(path: Path | str, module: nn.Module, state: State) -> None:
    """Load strictly; a difference is one line that counts and names."""
    own = module.state_dict()
    missing, extra = sorted(own.keys() - state.keys()), sorted(state.keys() - own.keys())
    shapes = sorted(k for k in own.keys() & state.keys() if own[k].shape != state[k].shape)
    for keys, what in ((missing, "missing"), (extra, "unknown"), (shapes, "of another shape")):
        if keys:
            raise TadsrError(
                f"{path}: {len(keys)} key(s) {what}, the first is {keys[0]}; "
                "this is not a network of the published family"
            )
    module.load_state_dict(state)
