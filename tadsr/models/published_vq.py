"""Import of published VQ autoencoders: latent diffusion's VQ-f4, the face model's VQ-f8.

Both have the layout of latent diffusion (Rombach et al., arXiv 2112.10752); `diffusers.VQModel`
computes the same under other names. The f8 with 8 channels and 4096 codes is taken to follow that
layout too; no published file of it was at hand.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from tadsr.errors import TadsrError
from tadsr.models.checkpoints import Checkpoint, State
from tadsr.models.codecs import VQCodec
from tadsr.models.strict import (
    UnreadableError,
    build,
    check_overrides,
    load_strictly,
    most,
    settle,
    sizes,
)

_RENAMES = (
    (r"\.down_blocks\.(\d+)\.resnets\.", r".down.\1.block."),
    (r"\.up_blocks\.(\d+)\.resnets\.", r".up.\1.block."),
    (r"\.down_blocks\.(\d+)\.downsamplers\.0\.", r".down.\1.downsample."),
    (r"\.up_blocks\.(\d+)\.upsamplers\.0\.", r".up.\1.upsample."),
    (r"\.down_blocks\.(\d+)\.attentions\.", r".down.\1.attn."),
    (r"\.up_blocks\.(\d+)\.attentions\.", r".up.\1.attn."),
    (r"\.mid_block\.resnets\.0\.", ".mid.block_1."),
    (r"\.mid_block\.resnets\.1\.", ".mid.block_2."),
    (r"\.mid_block\.attentions\.0\.", ".mid.attn_1."),
    (r"\.group_norm\.", ".norm."),
    (r"\.to_([qkv])\.", r".\1."),
    (r"\.to_out\.0\.", ".proj_out."),
    (r"\.conv_shortcut\.", ".nin_shortcut."),
    (r"\.conv_norm_out\.", ".norm_out."),
)
_LINEAR = re.compile(r".*\.(?:attn_1|attn\.\d+)\.(?:q|k|v|proj_out)\.weight")
"""1x1 convolutions that are linear layers in diffusers."""

_LEVEL = r"(?:encoder\.down|decoder\.up)\.{}\."


def build_vq(checkpoint: Checkpoint, overrides: Mapping[str, Any]) -> VQCodec:
    """The codec of a checkpoint, in eval mode; settings and errors as `import_vq_f4`."""
    check_overrides(overrides, VQCodec)
    # Latent diffusion's training checkpoints also hold the loss's own networks.
    state = {k: v for k, v in checkpoint.state.items() if not k.startswith("loss.")}
    if dropped := len(checkpoint.state) - len(state):
        checkpoint.ignored.append(f"loss.* ({dropped} tensors)")
    try:
        inferred = _structure(state)
    except UnreadableError as error:
        raise TadsrError(
            f"{checkpoint.path}: no VQ autoencoder in it (cannot tell its {error}); "
            "check which file this is"
        ) from error
    config = settle(checkpoint.path, inferred, _plain(overrides, inferred), {"scaling_factor"})
    codec: VQCodec = build(checkpoint.path, VQCodec, config, bool(overrides))
    levels = len(config["block_out_channels"])
    for key, value in state.items():
        if _LINEAR.fullmatch(key) and value.shape[2:] == (1, 1):
            state[key] = value[:, :, 0, 0]
    load_strictly(checkpoint.path, codec.vq, state, published=lambda key: _published(key, levels))
    codec.eval()
    return codec


def _structure(state: State) -> dict[str, Any]:
    """The arguments of VQCodec that fit a state dict."""
    found = [re.match(_LEVEL.format(r"(\d+)"), key) for key in state]
    levels = 1 + max((int(match[1]) for match in found if match), default=-1)
    if not levels:
        raise UnreadableError("levels (encoder.down.*, decoder.up.*)")
    part = r"block\.\d+\.(conv1|conv2|norm2)\.(weight|bias)"
    widths = [
        most(f"width at level {i}", sizes(state, _LEVEL.format(i) + part, 0)) for i in range(levels)
    ]
    codes = sizes(state, r"quantize\.embedding\.weight", 0)
    inner = [
        *sizes(state, r"(encoder\.conv_out|post_quant_conv)\.(weight|bias)", 0),
        *sizes(state, r"(quant_conv|decoder\.conv_in)\.weight", 1),
    ]
    outer = [
        *sizes(state, r"(quantize\.embedding|post_quant_conv)\.weight", 1),
        *sizes(state, r"quant_conv\.(weight|bias)", 0),
    ]
    return {
        "block_out_channels": tuple(widths),
        "layers_per_block": most("residual blocks", _blocks(state, levels)),
        "latent_channels": most("channels (quant_conv.*)", outer),
        # Without a code book the strict load below says so.
        "num_vq_embeddings": codes[0] if codes else 8192,
        "scaling_factor": 1.0,
        "z_channels": most("z_channels (encoder.conv_out.*)", inner),
        "attention_levels": tuple(
            i
            for i in range(levels)
            if any(re.match(_LEVEL.format(i) + r"attn\.", key) for key in state)
        ),
        "mid_attention": any(".mid.attn_1." in key for key in state),
    }


def _blocks(state: State, levels: int) -> list[int]:
    """What each level says of the number of residual blocks; a decoder's level has one more."""
    found = {m.groups() for m in (re.match(r"(.*)\.block\.(\d+)\.", key) for key in state) if m}
    count = {name: sum(other == name for other, _ in found) for name, _ in found}
    encoder = [count.get(f"encoder.down.{i}", 0) for i in range(levels)]
    decoder = [count.get(f"decoder.up.{i}", 0) - 1 for i in range(levels)]
    return [number for number in (*encoder, *decoder) if number > 0]


def _plain(overrides: Mapping[str, Any], inferred: Mapping[str, Any]) -> dict[str, Any]:
    """Overrides in the form of what is inferred."""
    given = dict(overrides)
    if given.get("z_channels", 0) is None:
        given["z_channels"] = inferred["latent_channels"]
    if "attention_levels" in given:
        given["attention_levels"] = sorted(given["attention_levels"])
    return given


def _published(key: str, levels: int) -> str:
    """The published name of a diffusers key; decoder levels count the other way round there."""
    for pattern, replacement in _RENAMES:
        key = re.sub(pattern, replacement, key)
    return re.sub(
        r"^decoder\.up\.(\d+)\.", lambda found: f"decoder.up.{levels - 1 - int(found[1])}.", key
    )
