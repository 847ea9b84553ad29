"""The one way from HR to LR: a degradation by its name in an experiment file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType

import torch

from tadsr.data.face import FACE, FaceSettings
from tadsr.data.realesrgan import IMAGENET_TEST, REALESRGAN, DegradationSettings, degrade_batch
from tadsr.data.resize import bicubic_lr
from tadsr.errors import ConfigError, nearest

RECIPES: Mapping[str, DegradationSettings | FaceSettings] = MappingProxyType(
    {"realesrgan": REALESRGAN, "imagenet_test": IMAGENET_TEST, "face": FACE}
)
"""The random degradations; `bicubic` is not random."""


def make_lr(
    levels: torch.Tensor, kind: str, seed: int, indices: Sequence[int], scale: int = 4
) -> torch.Tensor:
    """LR of (N, 3, H, W) uint8 `levels`: (N, 3, H/scale, W/scale) uint8, on the same device.

    Image n is a pure function of its pixels, (seed, indices[n]), kind and scale: never of the
    other images of the batch. `bicubic` at scale 1 changes nothing.

    Raises:
        ConfigError: `kind` is not a degradation.
        ValueError: wrong shape or type, or sides that are no multiples of `scale`.
    """
    if levels.dtype != torch.uint8 or levels.ndim != 4 or levels.shape[1] != 3:
        raise ValueError(f"expected uint8 (N, 3, H, W), got {levels.dtype} {tuple(levels.shape)}")
    if scale < 1 or levels.shape[2] % scale or levels.shape[3] % scale:
        raise ValueError(f"sides of {tuple(levels.shape)} are no multiples of {scale}")
    if len(indices) != levels.shape[0]:
        raise ValueError(f"{levels.shape[0]} images and {len(indices)} indices")
    if kind == "bicubic":
        return levels.clone() if scale == 1 else bicubic_lr(levels, scale)
    if kind not in RECIPES:
        hint = nearest(kind, ["bicubic", *RECIPES])
        raise ConfigError(f"degradation '{kind}' does not exist: {hint}")
    settings = replace(RECIPES[kind], scale=scale)
    lr = degrade_batch(levels.to(torch.float32) / 255, seed, indices, settings)
    return (lr * 255).round().to(torch.uint8)
