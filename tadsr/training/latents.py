"""Pairs of images as pairs of latents, and noise, for teachers, targets and students."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from tadsr.config.base import SCALE
from tadsr.config.data import DatasetSpec
from tadsr.data.dataset import Batch, Degradation
from tadsr.errors import ConfigError
from tadsr.models.codecs import LatentCodec, encode_lq
from tadsr.training.placement import to_device


@dataclass(frozen=True)
class LatentPairs:
    """A batch on its device.

    Attributes:
        lq: (N, 3, h, w) in [-1, 1].
        z_y: Enc(bicubic enlargement of lq), (N, C, H, W).
        z_0: Enc(hr), like z_y.
    """

    lq: Tensor
    z_y: Tensor
    z_0: Tensor


@torch.no_grad()
def encode_pairs(codec: LatentCodec, batch: Batch, device: str, scale: int = SCALE) -> LatentPairs:
    """Encode HR crops and their enlarged LR."""
    lq = to_device(batch.lq, device)
    return LatentPairs(
        lq=lq,
        z_y=encode_lq(codec, lq, scale),
        z_0=codec.encode(to_device(batch.hr, device)),
    )


def crop_settings(data: DatasetSpec) -> tuple[int, Degradation]:
    """Crop side and degradation of a set to learn from; one without them is an error."""
    if data.crop is None or data.degradation is None:
        raise ConfigError("data.train and data.val each need 'crop' and 'degradation'")
    return data.crop, data.degradation
