"""The one way from HR to LR: a degradation by its name in an experiment file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch

from tadsr.data.realesrgan import PRESETS, degrade
from tadsr.data.resize import bicubic_lr
from tadsr.errors import ConfigError, nearest


def make_lr(
    levels: torch.Tensor, kind: str, seed: int, indices: Sequence[int], scale: int = 4
) -> torch.Tensor:
    """LR of (N, 3, H, W) uint8 `levels`: (N, 3, H/scale, W/scale) uint8, on the same device.

    Image n is a pure function of its pixels, (seed, indices[n]), kind and scale: never of the
    other images of the batch.

    Raises:
        ConfigError: `kind` is not a degradation.
    """
    if levels.dtype != torch.uint8 or levels.ndim != 4 or levels.shape[1] != 3:
        raise ValueError(f"expected uint8 (N, 3, H, W), got {levels.dtype} {tuple(levels.shape)}")
    if len(indices) != levels.shape[0]:
        raise ValueError(f"{levels.shape[0]} images and {len(indices)} indices")
    if kind == "bicubic":
        return levels.clone() if scale == 1 else bicubic_lr(levels, scale)
    if kind not in PRESETS:
        known = ["bicubic", *PRESETS]
        raise ConfigError(f"degradation '{kind}' does not exist: {nearest(kind, known)}")
    settings = replace(PRESETS[kind], scale=scale)
    images = levels.to(torch.float32) / 255
    lr = [degrade(hr, seed, i, settings) for hr, i in zip(images, indices, strict=True)]
    return (torch.stack(lr) * 255).round().to(torch.uint8).to(levels.device)
