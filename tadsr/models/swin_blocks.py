"""Building blocks of the Swin UNet.

The residual block, timestep embedding and resampling are those of the ADM UNet (Dhariwal and
Nichol, arXiv 2105.05233); the window attention is that of Swin (Liu et al., arXiv 2103.14030) as
used for images in SwinIR (Liang et al., arXiv 2108.10257). Submodule names follow the keys of the
published ResShift checkpoints, so that those load strictly.
"""

from __future__ import annotations

import math
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor, nn

MASKED = -100.0


def group_norm(channels: int) -> nn.GroupNorm:
    """GroupNorm with 32 groups, or the largest divisor of 32 that divides `channels`."""
    return nn.GroupNorm(math.gcd(32, channels), channels)


def timestep_embedding(t: Tensor, channels: int, max_period: float = 10000.0) -> Tensor:
    """Sinusoidal embedding (N, channels) of (N,) steps: cosines first, then sines."""
    half = channels // 2
    steps = torch.arange(half, device=t.device, dtype=torch.float32)
    angles = t.float()[:, None] * torch.exp(-math.log(max_period) / half * steps)
    embedding = torch.cat([angles.cos(), angles.sin()], dim=1)
    return F.pad(embedding, (0, channels % 2))


class ResBlock(nn.Module):
    """Residual block modulated by the time embedding: (N, C, H, W) to (N, out, H, W)."""

    def __init__(
        self,
        channels: int,
        embed_channels: int,
        out_channels: int,
        *,
        dropout: float,
        scale_shift: bool,
    ) -> None:
        super().__init__()
        self.scale_shift = scale_shift
        self.in_layers = nn.Sequential(
            group_norm(channels), nn.SiLU(), nn.Conv2d(channels, out_channels, 3, padding=1)
        )
        width = 2 * out_channels if scale_shift else out_channels
        self.emb_layers = nn.Sequential(nn.SiLU(), nn.Linear(embed_channels, width))
        last = nn.Conv2d(out_channels, out_channels, 3, padding=1)
        self.out_layers = nn.Sequential(
            group_norm(out_channels), nn.SiLU(), nn.Dropout(dropout), zeroed(last)
        )
        self.skip_connection: nn.Module = nn.Identity()
        if out_channels != channels:
            self.skip_connection = nn.Conv2d(channels, out_channels, 1)

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        """Add to `x` what the two convolutions make of it under `embedding`, (N, E)."""
        h = self.in_layers(x)
        e = self.emb_layers(embedding)[:, :, None, None]
        if self.scale_shift:
            scale, shift = e.chunk(2, dim=1)
            h = self.out_layers[1:](self.out_layers[0](h) * (1 + scale) + shift)
        else:
            h = self.out_layers(h + e)
        out: Tensor = self.skip_connection(x) + h
        return out


class Downsample(nn.Module):
    """Halve H and W with a strided 3x3 convolution."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.op = nn.Conv2d(channels, channels, 3, stride=2, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to (N, C, H/2, W/2)."""
        out: Tensor = self.op(x)
        return out


class Upsample(nn.Module):
    """Double H and W: nearest neighbour, then a 3x3 convolution."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to (N, C, 2H, 2W)."""
        out: Tensor = self.conv(F.interpolate(x, scale_factor=2.0, mode="nearest"))
        return out


class WindowAttention(nn.Module):
    """Multi-head self-attention within windows, with a learned relative position bias."""

    relative_position_index: Tensor

    def __init__(self, channels: int, window: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(channels, 3 * channels)
        self.proj = nn.Linear(channels, channels)
        self.relative_position_bias_table = nn.Parameter(torch.empty((2 * window - 1) ** 2, heads))
        nn.init.trunc_normal_(self.relative_position_bias_table, std=0.02)
        # Derived from the window size alone, so not stored with the weights.
        index = relative_position_index(window)
        self.register_buffer("relative_position_index", index, persistent=False)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """Attend within each window.

        Args:
            x: (N * windows, L, C), L the pixels of one window.
            mask: (windows, L, L), added to the attention logits, or None.
        """
        B, L, C = x.shape
        q, k, v = self.qkv(x).reshape(B, L, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        bias = self.relative_position_bias_table[self.relative_position_index.reshape(-1)]
        bias = bias.reshape(1, L, L, self.heads).permute(0, 3, 1, 2)
        if mask is not None:
            bias = (bias + mask[:, None].to(bias.dtype)).repeat(B // mask.shape[0], 1, 1, 1)
        values = F.scaled_dot_product_attention(q, k, v, attn_mask=bias.to(q.dtype))
        out: Tensor = self.proj(values.transpose(1, 2).reshape(B, L, C))
        return out


class Mlp(nn.Module):
    """Two 1x1 convolutions with GELU between: (N, C, H, W) to the same."""

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = nn.Conv2d(channels, hidden, 1)
        self.fc2 = nn.Conv2d(hidden, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Apply the same two layers at each pixel."""
        out: Tensor = self.fc2(F.gelu(self.fc1(x)))
        return out


class SwinBlock(nn.Module):
    """One pre-norm Swin block on (N, C, H, W); `shift` > 0 rolls the windows by that much."""

    def __init__(
        self, channels: int, heads: int, window: int, shift: int, mlp_ratio: float
    ) -> None:
        super().__init__()
        self.window = window
        self.shift = shift
        self.norm1 = group_norm(channels)
        self.attn = WindowAttention(channels, window, heads)
        self.norm2 = group_norm(channels)
        self.mlp = Mlp(channels, int(channels * mlp_ratio))

    def forward(self, x: Tensor) -> Tensor:
        """Attention, then the perceptron, each added to its input."""
        x = x + self._attend(self.norm1(x))
        out: Tensor = x + self.mlp(self.norm2(x))
        return out

    def _attend(self, x: Tensor) -> Tensor:
        N, C, H, W = x.shape
        w, s = self.window, self.shift
        mask = shift_mask(H, W, w, s, x.device) if s else None
        x = x.roll((-s, -s), dims=(2, 3)) if s else x
        windows = x.reshape(N, C, H // w, w, W // w, w).permute(0, 2, 4, 3, 5, 1)
        out: Tensor = self.attn(windows.reshape(-1, w * w, C), mask)
        out = out.reshape(N, H // w, W // w, w, w, C).permute(0, 5, 1, 3, 2, 4)
        out = out.reshape(N, C, H, W)
        return out.roll((s, s), dims=(2, 3)) if s else out


class PointwiseProjection(nn.Module):
    """A 1x1 convolution between the UNet's channels and the Swin layer's width."""

    def __init__(self, channels: int, out_channels: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(channels, out_channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to (N, out, H, W)."""
        out: Tensor = self.proj(x)
        return out


class SwinLayer(nn.Module):
    """Swin blocks at width `embed_dim` inside a UNet level, alternately unshifted and shifted.

    Args:
        resolution: the side of the level at the trained size. Where it is not larger than the
            window, no block is shifted, at whatever size the network later runs.
    """

    def __init__(
        self,
        channels: int,
        embed_dim: int,
        *,
        depth: int,
        heads: int,
        window: int,
        mlp_ratio: float,
        resolution: int,
    ) -> None:
        super().__init__()
        self.resolution = resolution
        shift = window // 2 if resolution > window else 0
        self.patch_embed = PointwiseProjection(channels, embed_dim)
        self.blocks = nn.ModuleList(
            SwinBlock(embed_dim, heads, window, shift * (i % 2), mlp_ratio) for i in range(depth)
        )
        self.patch_unembed = PointwiseProjection(embed_dim, channels)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to the same; H and W are multiples of the window."""
        h = self.patch_embed(x)
        for block in self.blocks:
            h = block(h)
        out: Tensor = self.patch_unembed(h)
        return out


def zeroed(layer: nn.Conv2d) -> nn.Conv2d:
    """Set the weights and bias of `layer` to zero, so that its block starts as the identity."""
    nn.init.zeros_(layer.weight)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer


@lru_cache(maxsize=8)
def relative_position_index(window: int) -> Tensor:
    """(L, L) row of the bias table for each pair of the L = window^2 pixels of a window."""
    # On the CPU whatever the default device: what is cached must hold data.
    side = torch.arange(window, device="cpu")
    y, x = torch.meshgrid(side, side, indexing="ij")
    y, x = y.flatten(), x.flatten()
    dy, dx = y[:, None] - y, x[:, None] - x
    return (dy + window - 1) * (2 * window - 1) + dx + window - 1


@lru_cache(maxsize=64)
def shift_mask(height: int, width: int, window: int, shift: int, device: torch.device) -> Tensor:
    """(windows, L, L) mask for windows shifted by `shift`, as in the published checkpoints.

    It differs from Swin's on purpose, because the published weights were trained with it: only
    the last row of windows is masked, and there the columns, not the rows, are kept apart. The
    masks stored in the checkpoints and the golden tensors at two sizes pin this down.
    """
    row = torch.arange(height, device="cpu")
    # 0, 1 or 2: before the last row of windows, within it, or wrapped round from the top.
    region = (row >= height - window).long() + (row >= height - shift).long()
    pixels = region.reshape(-1, 1, 1, window).expand(-1, width // window, window, -1)
    pixels = pixels.reshape(-1, window * window)
    apart = pixels[:, :, None] != pixels[:, None, :]
    return torch.where(apart, MASKED, 0.0).to(device)
