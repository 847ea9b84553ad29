"""Discriminator heads on the features of the frozen teacher (TAD-SR's adversarial term).

Real and fake latents are diffused alike to a time t; the teacher's encoder and middle block turn
them into feature maps; one small head per map says how real each place looks.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from tadsr.errors import ConfigError, nearest
from tadsr.models.swin_blocks import group_norm, timestep_embedding, zeroed

KINDS = ("time_aware", "multiple", "vanilla")


class LatentDiscriminator(nn.Module):
    """One head per feature map; logits of all heads are concatenated.

    Kinds, which are the ablations of TAD-SR:

    - `time_aware`: the heads are modulated by an embedding of t;
    - `multiple`: no time input, but a set of heads of its own for each group of noise levels;
    - `vanilla`: one set of heads, no time input.

    The paper names the last two without giving their construction; theirs is ours.

    Args:
        feature_channels: channels of each feature map, `SwinUNet2DModel.feature_channels`. The
            heads are as wide as their maps. For the published network (160, 320, 320, 640, 640)
            the time-aware kind has 20.8 M parameters.
        kind: see above.
        num_train_timesteps: T of the schedule; t lies in 0..T-1.
        num_groups: groups of noise levels, for `multiple`.
        embed_channels: width of the embedding of t; by default that of the first map.
    """

    def __init__(
        self,
        feature_channels: Sequence[int],
        kind: str = "time_aware",
        num_train_timesteps: int = 15,
        *,
        num_groups: int = 3,
        embed_channels: int | None = None,
    ) -> None:
        super().__init__()
        if kind not in KINDS:
            raise ConfigError(f"discriminator '{kind}' is not known; {nearest(kind, list(KINDS))}")
        self.num_train_timesteps = num_train_timesteps
        self.num_groups = min(num_groups, num_train_timesteps) if kind == "multiple" else 1
        self.embed_channels = (embed_channels or feature_channels[0]) if kind == KINDS[0] else 0
        self.heads = nn.ModuleList(
            HeadSet(feature_channels, self.embed_channels) for _ in range(self.num_groups)
        )

    def forward(self, features: Sequence[Tensor], t: Tensor) -> Tensor:
        """Logits (N, L) of feature maps (N, C_i, H_i, W_i) at steps t (N,); higher is more real."""
        embedding = None
        if self.embed_channels:
            embedding = timestep_embedding(t, self.embed_channels).to(features[0].dtype)
        logits = torch.stack([heads(features, embedding) for heads in self.heads])
        if self.num_groups == 1:
            return logits[0]
        # All sets run on all samples, and each sample keeps its own: static shapes, no waiting
        # for the device, and every parameter has a gradient in every process.
        group = t.to(logits.device) * self.num_groups // self.num_train_timesteps
        return logits[group, torch.arange(len(group), device=logits.device)]


class HeadSet(nn.ModuleList):
    """One head per feature map."""

    def __init__(self, feature_channels: Sequence[int], embed_channels: int) -> None:
        super().__init__(Head(channels, embed_channels) for channels in feature_channels)

    def forward(self, features: Sequence[Tensor], embedding: Tensor | None) -> Tensor:
        """The logits of all heads, (N, L)."""
        pairs = zip(self, features, strict=True)
        return torch.cat([head(feature, embedding) for head, feature in pairs], dim=1)


class Head(nn.Module):
    """The head of one feature map: (N, C, H, W) to logits (N, 64 H W).

    Args:
        channels: C, a multiple of 4.
        embed_channels: width of the time embedding; 0 for a head that does not see t.
        out_channels: logits per place.
    """

    def __init__(self, channels: int, embed_channels: int, out_channels: int = 64) -> None:
        super().__init__()
        self.norm = group_norm(channels)
        self.modulation = (
            nn.Sequential(nn.SiLU(), nn.Linear(embed_channels, 2 * channels))
            if embed_channels
            else None
        )
        self.conv = zeroed(nn.Conv2d(channels, channels, 3, padding=1))
        self.project = TokenBlock(channels, 1)
        self.mix = TokenBlock(channels, 9)
        self.logits = spectral_norm(nn.Conv1d(channels, out_channels, 1))

    def forward(self, feature: Tensor, embedding: Tensor | None) -> Tensor:
        """Logits of `feature`; `embedding` is (N, E), or None for a head that does not see t."""
        h = self.norm(feature)
        if self.modulation is not None:
            scale, shift = self.modulation(embedding)[:, :, None, None].chunk(2, dim=1)
            h = h * (1 + scale) + shift
        tokens = self.project(self.conv(F.silu(h)).flatten(2))
        tokens = (self.mix(tokens) + tokens) / math.sqrt(2)
        out: Tensor = self.logits(tokens).flatten(1)
        return out


class TokenBlock(nn.Module):
    """Spectrally normalised 1-D convolution over tokens, group norm, leaky ReLU."""

    def __init__(self, channels: int, kernel: int) -> None:
        super().__init__()
        self.conv = spectral_norm(
            nn.Conv1d(channels, channels, kernel, padding=kernel // 2, padding_mode="circular")
        )
        self.norm = nn.GroupNorm(4, channels)

    def forward(self, tokens: Tensor) -> Tensor:
        """(N, C, L) to the same."""
        return F.leaky_relu(self.norm(self.conv(tokens)), 0.2)
