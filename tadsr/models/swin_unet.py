"""The denoiser of ResShift, SinSR and TAD-SR: a UNet with Swin attention.

Our own implementation. Its submodule names are the keys of the published checkpoints, and golden
tensors in the tests show that it computes the same function.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from diffusers.utils import BaseOutput
from torch import Tensor, nn

from tadsr.models.loading import AlignedLoading
from tadsr.models.swin_blocks import (
    Downsample,
    ResBlock,
    SwinLayer,
    Upsample,
    group_norm,
    timestep_embedding,
    zeroed,
)
from tadsr.models.swin_settings import blocks_per_level, check_settings, lq_stack_of


@dataclass
class SwinUNetOutput(BaseOutput):  # type: ignore[misc]
    """The network's prediction, `sample`: (N, out_channels, H, W)."""

    sample: Tensor


class TimedSequential(nn.ModuleList):
    """A sequence of layers whose residual blocks also receive the time embedding."""

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        """Run all layers on `x`, (N, C, H, W), with `embedding`, (N, E)."""
        for layer in self:
            x = layer(x, embedding) if isinstance(layer, ResBlock) else layer(x)
        return x


class SwinUNet2DModel(AlignedLoading, ModelMixin, ConfigMixin):  # type: ignore[misc]
    """UNet with Swin attention on latents, conditioned on t and on the low-resolution image.

    Args:
        in_channels, out_channels: channels of the latent.
        lq_channels: channels of the low-resolution condition; 0 for none.
        model_channels: width of the first level. Take it above `in_channels`: what does not fit
            through the first level is lost, noise included.
        channel_mult: width factor per level; each level after the first halves H and W.
        num_res_blocks: residual blocks per level, one number or one per level.
        attention_resolutions: sides (at `sample_size`) of the levels that get Swin attention.
        sample_size: side of the trained latent. Other sizes run too, see `size_multiple`.
        num_head_channels: channels per attention head.
        swin_depth, swin_embed_dim, window_size, mlp_ratio: of the Swin layers.
        lq_size: side of the condition at the trained size, a power of two times `sample_size`;
            None: the same. A larger condition is brought down by strided convolutions.
        lq_stack: those convolutions, each 3x3, as (channels, stride 1 or 2, SiLU after it 1 or 0);
            the strides multiply to lq_size / sample_size. None: one of stride 2 with SiLU per
            halving, of 16, 32, ... channels.
        use_scale_shift_norm: the time embedding scales and shifts, instead of being added.
        dropout: within residual blocks.

    Raises:
        ConfigError: sizes that do not fit together.
    """

    @register_to_config  # type: ignore[untyped-decorator]
    def __init__(
        self,
        in_channels: int = 3,
        out_channels: int = 3,
        lq_channels: int = 3,
        model_channels: int = 160,
        channel_mult: Sequence[int] = (1, 2, 2, 4),
        num_res_blocks: int | Sequence[int] = 2,
        attention_resolutions: Sequence[int] = (64, 32, 16, 8),
        sample_size: int = 64,
        num_head_channels: int = 32,
        swin_depth: int = 2,
        swin_embed_dim: int = 192,
        window_size: int = 8,
        mlp_ratio: float = 4.0,
        lq_size: int | None = None,
        use_scale_shift_norm: bool = True,
        dropout: float = 0.0,
        lq_stack: Sequence[Sequence[int]] | None = None,
    ) -> None:
        super().__init__()
        check_settings(self.config)
        embed_channels = 4 * model_channels
        self.time_embed = nn.Sequential(
            nn.Linear(model_channels, embed_channels),
            nn.SiLU(),
            nn.Linear(embed_channels, embed_channels),
        )
        self.feature_extractor, condition = _condition_stack(self.config)
        levels = _Levels(self.config)
        self.input_blocks, skips = levels.encoder(in_channels + condition)
        self.middle_block = levels.middle()
        self.output_blocks = levels.decoder(skips)
        width = model_channels * channel_mult[0]
        last = nn.Conv2d(width, out_channels, 3, padding=1)
        self.out = nn.Sequential(group_norm(width), nn.SiLU(), zeroed(last))

    @property
    def size_multiple(self) -> int:
        """H and W of the latent must be multiples of this: window times 2^(levels - 1)."""
        multiple: int = self.config.window_size << (len(self.config.channel_mult) - 1)
        return multiple

    @property
    def feature_channels(self) -> list[int]:
        """Channels of the maps that `encoder_features` returns."""
        widths = [self.config.model_channels * factor for factor in self.config.channel_mult]
        return [*widths[:-1], widths[-1], widths[-1]]

    def forward(self, x_t: Tensor, t: Tensor, lq: Tensor | None = None) -> SwinUNetOutput:
        """Predict from a scaled noisy latent.

        Args:
            x_t: (N, in_channels, H, W), scaled by `ResShiftScheduler.scale_model_input`.
            t: (N,) 0-based steps.
            lq: (N, lq_channels, h, w) low-resolution image in [-1, 1]; h = H and w = W, times
                lq_size / sample_size.
        """
        skips, embedding = self._encode(x_t, t, lq)
        h = self.middle_block(skips[-1], embedding)
        for block in self.output_blocks:
            h = block(torch.cat([h, skips.pop()], dim=1), embedding)
        return SwinUNetOutput(sample=self.out(h))

    def encoder_features(
        self, x_t: Tensor, t: Tensor, lq: Tensor | None = None, *, middle: bool = True
    ) -> list[Tensor]:
        """Feature maps for a discriminator; the decoder is not run. Arguments as `forward`.

        Returns:
            After each down-sampling, of the last encoder block, and (`middle`) of the middle block.
        """
        maps, embedding = self._encode(x_t, t, lq)
        downs = [
            features
            for block, features in zip(self.input_blocks, maps, strict=True)
            if isinstance(block, TimedSequential) and isinstance(block[0], Downsample)
        ]
        features = [*downs, maps[-1]]
        return [*features, self.middle_block(maps[-1], embedding)] if middle else features

    def _encode(self, x_t: Tensor, t: Tensor, lq: Tensor | None) -> tuple[list[Tensor], Tensor]:
        """The outputs of all encoder blocks, and the time embedding."""
        height, width = x_t.shape[-2:]
        if height % self.size_multiple or width % self.size_multiple:
            raise ValueError(
                f"latent of {height}x{width}: both sides must be multiples of {self.size_multiple}"
            )
        sinusoids = timestep_embedding(t, self.config.model_channels)
        embedding = self.time_embed(sinusoids.to(x_t.dtype))
        h = x_t
        if lq is not None:
            h = torch.cat([x_t, self.feature_extractor(lq)], dim=1)
        maps = []
        for block in self.input_blocks:
            h = block(h, embedding)
            maps.append(h)
        return maps, embedding


class _Levels:
    """Builds the encoder, middle and decoder that a configuration describes."""

    def __init__(self, config: Any) -> None:
        self.config = config
        self.widths = [config.model_channels * factor for factor in config.channel_mult]
        self.blocks = blocks_per_level(config)

    def encoder(self, channels: int) -> tuple[nn.ModuleList, list[int]]:
        """The encoder's blocks, and the channels of what each puts out."""
        first = nn.Conv2d(channels, self.config.model_channels, 3, padding=1)
        modules, skips = [TimedSequential([first])], [int(self.config.model_channels)]
        for level, width in enumerate(self.widths):
            for index in range(self.blocks[level]):
                modules.append(TimedSequential(self._block(skips[-1], level, index)))
                skips.append(width)
            if level < len(self.widths) - 1:
                modules.append(TimedSequential([Downsample(width)]))
                skips.append(width)
        return nn.ModuleList(modules), skips

    def middle(self) -> TimedSequential:
        """Residual block, Swin layer, residual block at the lowest resolution."""
        width, level = self.widths[-1], len(self.widths) - 1
        return TimedSequential(
            [self._residual(width, width), self._swin(level), self._residual(width, width)]
        )

    def decoder(self, skips: list[int]) -> nn.ModuleList:
        """The decoder's blocks; each also takes the encoder map of `skips` it mirrors."""
        modules, channels, remaining = [], self.widths[-1], list(skips)
        for level in reversed(range(len(self.widths))):
            for index in range(self.blocks[level] + 1):
                layers = self._block(channels + remaining.pop(), level, index)
                if level and index == self.blocks[level]:
                    layers.append(Upsample(self.widths[level]))
                modules.append(TimedSequential(layers))
                channels = self.widths[level]
        return nn.ModuleList(modules)

    def _block(self, channels: int, level: int, index: int) -> list[nn.Module]:
        layers: list[nn.Module] = [self._residual(channels, self.widths[level])]
        # As published: one Swin layer per level and direction, after the level's first block.
        if index == 0 and self.config.sample_size >> level in self.config.attention_resolutions:
            layers.append(self._swin(level))
        return layers

    def _residual(self, channels: int, out_channels: int) -> ResBlock:
        return ResBlock(
            channels,
            4 * self.config.model_channels,
            out_channels,
            dropout=self.config.dropout,
            scale_shift=self.config.use_scale_shift_norm,
        )

    def _swin(self, level: int) -> SwinLayer:
        return SwinLayer(
            self.widths[level],
            self.config.swin_embed_dim,
            depth=self.config.swin_depth,
            heads=self.config.swin_embed_dim // self.config.num_head_channels,
            window=self.config.window_size,
            mlp_ratio=self.config.mlp_ratio,
            resolution=self.config.sample_size >> level,
        )


def _condition_stack(config: Any) -> tuple[nn.Module, int]:
    """What brings the condition to latent resolution, and the channels it puts out."""
    channels = config.lq_channels
    layers: list[nn.Module] = []
    for width, stride, activated in lq_stack_of(config):
        layers.append(nn.Conv2d(channels, width, 3, stride=stride, padding=1))
        layers += [nn.SiLU()] if activated else []
        channels = width
    return nn.Sequential(*layers), channels
