"""What the settings of SwinUNet2DModel mean together, and which do not fit."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from tadsr.errors import ConfigError


def lq_stack_of(config: Any) -> list[Sequence[int]]:
    """The convolutions on the condition: (channels, stride, SiLU after it) each."""
    if config.lq_stack is not None:
        return list(config.lq_stack)
    factor = (config.lq_size or config.sample_size) // config.sample_size
    return [(16 << i, 2, 1) for i in range(factor.bit_length() - 1)]


def blocks_per_level(config: Any) -> list[int]:
    """Residual blocks of each level of the encoder."""
    blocks, levels = config.num_res_blocks, len(config.channel_mult)
    return [blocks] * levels if isinstance(blocks, int) else list(blocks)


def check_settings(config: Any) -> None:
    """ConfigError, in one line, for sizes that do not fit together."""
    levels = len(config.channel_mult)
    if len(blocks_per_level(config)) != levels:
        raise ConfigError(
            f"num_res_blocks {config.num_res_blocks} must have one number per level ({levels})"
        )
    if config.swin_embed_dim % config.num_head_channels:
        raise ConfigError(
            f"swin_embed_dim {config.swin_embed_dim} is no multiple of num_head_channels "
            f"{config.num_head_channels}"
        )
    multiple = config.window_size << (levels - 1)
    if config.sample_size % multiple:
        raise ConfigError(
            f"a latent of {config.sample_size} does not suit window {config.window_size} and "
            f"{levels} level(s): its side must be a multiple of {multiple}"
        )
    sides = [config.sample_size >> level for level in range(levels)]
    strangers = set(config.attention_resolutions) - set(sides)
    if strangers:
        raise ConfigError(
            f"attention_resolutions names {min(strangers)}, but a latent of "
            f"{config.sample_size} has levels of {', '.join(map(str, sides))} pixels"
        )
    factor, rest = divmod(config.lq_size or config.sample_size, config.sample_size)
    if rest or factor < 1 or factor & (factor - 1):
        raise ConfigError(
            f"lq_size {config.lq_size} must be sample_size {config.sample_size} times 1, 2, 4, ..."
        )
    _check_stack(config, factor)


def _check_stack(config: Any, factor: int) -> None:
    for entry in lq_stack_of(config):
        if len(entry) != 3 or entry[0] < 1 or entry[1] not in (1, 2) or entry[2] not in (0, 1):
            raise ConfigError(
                f"lq_stack has {list(entry)}; each entry is [channels, stride 1 or 2, SiLU 0 or 1]"
            )
    stride = math.prod(entry[1] for entry in lq_stack_of(config))
    if stride != factor:
        raise ConfigError(
            f"lq_stack divides the condition's size by {stride}, but lq_size is {factor} times "
            f"sample_size {config.sample_size}; set lq_size {stride * config.sample_size}"
        )
