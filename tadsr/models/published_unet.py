"""Import of published denoisers: ResShift, SinSR, TAD-SR.

The structure is read off the shapes. Each number is what most of the tensors that show it say, so
that for a file with one wrong tensor the error names that tensor, not its consequences.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from tadsr.errors import ConfigError, TadsrError
from tadsr.models.checkpoints import DERIVED, Checkpoint, State
from tadsr.models.published_stack import Stack, read_stack
from tadsr.models.strict import (
    UnreadableError,
    build,
    check_overrides,
    load_strictly,
    most,
    settle,
    sizes,
)
from tadsr.models.swin_blocks import SwinLayer, relative_position_index, shift_mask
from tadsr.models.swin_unet import SwinUNet2DModel


def build_swin_unet(checkpoint: Checkpoint, overrides: Mapping[str, Any]) -> SwinUNet2DModel:
    """The network of a checkpoint, in eval mode; settings and errors as `import_swin_unet`."""
    check_overrides(overrides, SwinUNet2DModel)
    path, state = checkpoint.path, checkpoint.state
    try:
        stack = read_stack(checkpoint, overrides.get("lq_stack"))
        config = _structure(checkpoint, stack, overrides)
    except UnreadableError as error:
        raise TadsrError(
            f"{path}: no Swin UNet of the published family in it (cannot tell its {error}); "
            "check which file this is"
        ) from error
    unet: SwinUNet2DModel = build(path, SwinUNet2DModel, config, bool(overrides))
    derived = dict(stored_buffers(unet)) if _stores_buffers(state) else None
    load_strictly(path, unet, state, published=stack.published, derived=derived)
    unet.eval()
    return unet


def _structure(
    checkpoint: Checkpoint, stack: Stack, overrides: Mapping[str, Any]
) -> dict[str, Any]:
    """The arguments of SwinUNet2DModel that fit a state dict."""
    state = checkpoint.state
    model_channels, levels = _model_channels(state), _levels(state)
    widths = [_width(state, level) for level in levels]
    if odd := [width for width in widths if width % model_channels]:
        raise TadsrError(
            f"{checkpoint.path}: a level of {odd[0]} channels, no multiple of the first "
            f"convolution's {model_channels}; not a network of the published family"
        )
    swin = _swin(state)
    size, size_is_free = _sample_size(state, levels, swin, overrides)
    inferred = {
        **_channels(checkpoint, stack, overrides),
        "model_channels": model_channels,
        "channel_mult": tuple(width // model_channels for width in widths),
        "num_res_blocks": tuple(len(level) for level in levels),
        "attention_resolutions": tuple(
            size >> i for i, level in enumerate(levels) if _attends(state, level)
        ),
        "sample_size": size,
        **swin,
        "lq_size": size * stack.factor,
        "use_scale_shift_norm": _scales(state),
        "dropout": 0.0,
        "lq_stack": stack.entries,
    }
    given = dict(overrides)
    if isinstance(given.get("num_res_blocks"), int):
        given["num_res_blocks"] = (given["num_res_blocks"],) * len(levels)
    if "attention_resolutions" in given:
        given["attention_resolutions"] = sorted(given["attention_resolutions"], reverse=True)
    free = {"dropout", "lq_stack"} | ({"sample_size"} if size_is_free else set())
    return settle(checkpoint.path, inferred, given, free)


def _channels(checkpoint: Checkpoint, stack: Stack, overrides: Mapping[str, Any]) -> dict[str, int]:
    """The split of the first convolution's input into latent and condition.

    SinSR's settings count the condition into `in_channels`, ResShift's do not; the tensors are the
    same, and here `in_channels` never counts it.
    """
    outputs = most("output channels", sizes(checkpoint.state, r"out\.2\.(weight|bias)", 0))
    latent = overrides.get("in_channels", outputs)
    first = checkpoint.state.get("input_blocks.0.0.weight")
    if stack.entries or first is None or first.ndim != 4:
        # Whatever is wrong with the first convolution, strict loading names it.
        condition = stack.lq_channels or 3
    else:
        condition = overrides.get("lq_channels", first.shape[1] - latent)
        _check_channels(checkpoint, latent, condition, overrides)
    return {"in_channels": latent, "out_channels": outputs, "lq_channels": condition}


def _check_channels(
    checkpoint: Checkpoint, latent: int, condition: int, overrides: Mapping[str, Any]
) -> None:
    takes = checkpoint.state["input_blocks.0.0.weight"].shape[1]
    given = "in_channels" in overrides or "lq_channels" in overrides
    if latent + condition == takes and (condition > 0 or "lq_channels" in overrides):
        return
    raise (ConfigError if given else TadsrError)(
        f"{checkpoint.path}: input_blocks.0.0.weight takes {takes} channels, not those of the "
        f"latent (in_channels={latent}) and of the condition (lq_channels={max(condition, 0)}); "
        "set both if that is meant: in_channels is the latent alone, lq_channels=0 no condition"
    )


def _model_channels(state: State) -> int:
    embedded = sizes(state, r"time_embed\.(0|2)\.bias|time_embed\.2\.weight", 0)
    return most(
        "model_channels",
        [
            *sizes(state, r"input_blocks\.0\.0\.(weight|bias)", 0),
            *sizes(state, r"time_embed\.0\.weight", 1),
            *(size // 4 for size in embedded if size >= 4),
        ],
    )


def _levels(state: State) -> list[list[int]]:
    """Indices of the encoder's residual blocks, by level."""
    numbers = [int(k.split(".")[1]) for k in state if re.match(r"input_blocks\.\d+\.", k)]
    downs = {int(k.split(".")[1]) for k in state if re.match(r"input_blocks\.\d+\.0\.op\.", k)}
    levels: list[list[int]] = [[]]
    for index in range(1, max(numbers, default=0) + 1):
        if index in downs:
            levels.append([])
        else:
            levels[-1].append(index)
    if not all(levels):
        raise UnreadableError("residual blocks (input_blocks.1.0, ...)")
    return levels


def _width(state: State, level: list[int]) -> int:
    blocks = f"input_blocks\\.({'|'.join(map(str, level))})\\.0\\."
    return most(
        f"width at input_blocks.{level[0]}",
        sizes(state, blocks + r"(in_layers\.2|out_layers\.[03])\.(weight|bias)", 0),
    )


def _attends(state: State, level: list[int]) -> bool:
    return any(key.startswith(f"input_blocks.{level[0]}.1.") for key in state)


def _scales(state: State) -> bool:
    """Whether the time embedding has a scale and a shift per channel."""
    votes = []
    for key, value in state.items():
        other = state.get(key.replace("emb_layers.1.bias", "out_layers.3.bias"))
        if (
            key.endswith("emb_layers.1.bias")
            and other is not None
            and value.ndim == other.ndim == 1
        ):
            votes.append(int(value.shape[0] == 2 * other.shape[0]))
    return bool(most("use_scale_shift_norm (*.emb_layers.1.bias)", votes))


def _swin(state: State) -> dict[str, Any]:
    """Settings of the Swin layers, which are the same everywhere in a network."""
    width = most("swin_embed_dim (*.attn.proj.bias)", sizes(state, r".*\.attn\.proj\.bias", 0))
    hidden = most("mlp_ratio (*.mlp.fc1.bias)", sizes(state, r".*\.mlp\.fc1\.bias", 0))
    table = r".*\.attn\.relative_position_bias_table"
    rows = most("window_size", sizes(state, table, 0))
    heads = most("num_head_channels", sizes(state, table, 1))
    window = (math.isqrt(rows) + 1) // 2
    if (2 * window - 1) ** 2 != rows or width % heads:
        raise UnreadableError(f"window and heads ({rows} x {heads} relative_position_bias_table)")
    found = {m.groups() for m in (re.match(r"(.*)\.blocks\.(\d+)\.", key) for key in state) if m}
    ratio = hidden / width
    return {
        "swin_embed_dim": width,
        "num_head_channels": width // heads,
        "swin_depth": most("swin_depth", Counter(layer for layer, _ in found).values()),
        "window_size": window,
        # The network multiplies and cuts: never let rounding lose the last unit.
        "mlp_ratio": ratio if int(width * ratio) == hidden else math.nextafter(ratio, math.inf),
    }


def _sample_size(
    state: State, levels: list[list[int]], swin: Mapping[str, Any], overrides: Mapping[str, Any]
) -> tuple[int, bool]:
    """Side of the trained latent, and whether the file leaves it open.

    A stored mask tells it. Where buffers are stored but no mask at the lowest resolution, that is
    one window. Else (no buffers, or no shifted blocks) it is the least possible.
    """
    window, last = swin["window_size"], len(levels) - 1
    prefixes = {f"input_blocks.{level[0]}.1.": i for i, level in enumerate(levels)}
    prefixes["middle_block.1."] = last
    sides = [
        (window * math.isqrt(state[key].shape[0])) << i
        for prefix, i in prefixes.items()
        for key in state
        if key.startswith(prefix) and key.endswith(".attn_mask") and state[key].ndim == 3
    ]
    if sides:
        return most("sample_size", sides), False
    if _stores_buffers(state) and swin["swin_depth"] > 1:
        return window << last, False
    return overrides.get("sample_size", window << last), True


def _stores_buffers(state: State) -> bool:
    return any(key.endswith(DERIVED) for key in state)


def stored_buffers(unet: SwinUNet2DModel) -> Iterator[tuple[str, Tensor]]:
    """The indices and masks that the published networks store, at the trained size."""
    window = unet.config.window_size
    for name, layer in unet.named_modules():
        if not isinstance(layer, SwinLayer):
            continue
        side = layer.resolution
        for i, block in enumerate(layer.blocks):
            own = f"{name}.blocks.{i}."
            yield f"{own}attn.relative_position_index", relative_position_index(window)
            if block.shift:
                mask = shift_mask(side, side, window, block.shift, torch.device("cpu"))
                yield f"{own}attn_mask", mask
