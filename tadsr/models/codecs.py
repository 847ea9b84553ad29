"""What turns images into latents and back.

An image is (N, 3, H, W) in [-1, 1], a latent (N, channels, H/spatial_factor, W/spatial_factor).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import torch
import torch.nn.functional as F
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from torch import Tensor

from tadsr.data.resize import bicubic
from tadsr.errors import ConfigError
from tadsr.models.loading import AlignedLoading

QUANTISED = 16384
"""Latent pixels compared with the code book at a time."""


@runtime_checkable
class LatentCodec(Protocol):
    """The contract of a codec."""

    @property
    def spatial_factor(self) -> int:
        """Image pixels per latent pixel, along one axis."""

    @property
    def channels(self) -> int:
        """Channels of a latent."""

    def encode(self, image: Tensor) -> Tensor:
        """(N, 3, H, W) in [-1, 1] to a latent; H and W are multiples of `spatial_factor`."""

    def decode(self, latent: Tensor) -> Tensor:
        """A latent to (N, 3, H, W), about [-1, 1], not clamped."""


def encode_lq(codec: LatentCodec, lq: Tensor, scale: int = 4) -> Tensor:
    """z_y: the latent of the low-resolution image enlarged by bicubic interpolation.

    Args:
        lq: (N, 3, h, w) in [-1, 1]. The enlarged image may overshoot; it is not clamped.
        scale: enlargement, such that `scale` h and w are multiples of `codec.spatial_factor`.
    """
    height, width = lq.shape[-2:]
    enlarged = bicubic(lq, size=(scale * height, scale * width))
    return codec.encode(enlarged.to(lq.dtype))


class PixelUnshuffleCodec(AlignedLoading, ModelMixin, ConfigMixin):  # type: ignore[misc]
    """A lossless rearrangement: each factor x factor block of pixels becomes channels.

    Args:
        factor: side of a block; a latent has 3 factor^2 channels.
        scaling_factor: multiplies the latents. In [-1, 1] the gap between HR and bicubic is small
            (standard deviation about 0.12) and the published kappa drowns it; 4 brings it to the
            scale of VQ latents.
    """

    @register_to_config  # type: ignore[untyped-decorator]
    def __init__(self, factor: int = 4, scaling_factor: float = 4.0) -> None:
        super().__init__()
        # ModelMixin finds its dtype and device, and can be saved, only with a tensor in it.
        self.register_buffer("placeholder", torch.zeros(1))

    @property
    def spatial_factor(self) -> int:
        """Image pixels per latent pixel, along one axis."""
        return int(self.config.factor)

    @property
    def channels(self) -> int:
        """Channels of a latent."""
        return 3 * self.spatial_factor**2

    def encode(self, image: Tensor) -> Tensor:
        """(N, 3, H, W) in [-1, 1] to (N, 3 factor^2, H/factor, W/factor)."""
        latent: Tensor = F.pixel_unshuffle(image, self.spatial_factor) * self.config.scaling_factor
        return latent

    def decode(self, latent: Tensor) -> Tensor:
        """The inverse of `encode`."""
        return F.pixel_shuffle(latent / self.config.scaling_factor, self.spatial_factor)


class VQCodec(AlignedLoading, ModelMixin, ConfigMixin):  # type: ignore[misc]
    """The VQ autoencoder of latent diffusion (Rombach et al., arXiv 2112.10752), frozen.

    Latents are those *before* quantisation, as in ResShift; decoding quantises first. Defaults
    are the published VQ-f4: 3 channels at a quarter of the size, 8192 codes. It is a
    `diffusers.VQModel` (`vq`) that fits our contract of a codec.

    Args:
        block_out_channels: widths, from full resolution down; each but the last halves H and W.
        layers_per_block: residual blocks per width.
        latent_channels: channels of a latent, and length of a code.
        num_vq_embeddings: number of codes.
        scaling_factor: multiplies the latents; 1 as published.
        z_channels: channels between encoder, code book and decoder; None: `latent_channels`.
        attention_levels: positions in `block_out_channels` of the levels with attention after each
            residual block, in encoder and decoder.
        mid_attention: attention between the two residual blocks at the lowest resolution.

    Raises:
        ConfigError: a level that does not exist.
    """

    @register_to_config  # type: ignore[untyped-decorator]
    def __init__(
        self,
        block_out_channels: Sequence[int] = (128, 256, 512),
        layers_per_block: int = 2,
        latent_channels: int = 3,
        num_vq_embeddings: int = 8192,
        scaling_factor: float = 1.0,
        z_channels: int | None = None,
        attention_levels: Sequence[int] = (),
        mid_attention: bool = True,
    ) -> None:
        # Late: this import takes seconds, and the pixel_unshuffle codec does without it.
        from diffusers import VQModel

        super().__init__()
        widths = tuple(block_out_channels)
        attends = _attends(attention_levels, len(widths))
        self.vq = VQModel(
            down_block_types=tuple("Attn" * a + "DownEncoderBlock2D" for a in attends),
            up_block_types=tuple("Attn" * a + "UpDecoderBlock2D" for a in reversed(attends)),
            block_out_channels=widths,
            layers_per_block=layers_per_block,
            latent_channels=z_channels or latent_channels,
            num_vq_embeddings=num_vq_embeddings,
            vq_embed_dim=latent_channels,
            mid_block_add_attention=mid_attention,
        )

    @property
    def spatial_factor(self) -> int:
        """Image pixels per latent pixel, along one axis."""
        return 1 << (len(self.config.block_out_channels) - 1)

    @property
    def channels(self) -> int:
        """Channels of a latent."""
        return int(self.config.latent_channels)

    def encode(self, image: Tensor) -> Tensor:
        """(N, 3, H, W) in [-1, 1] to the latent before quantisation."""
        latent: Tensor = self.vq.encode(image).latents * self.config.scaling_factor
        return latent

    def decode(self, latent: Tensor, *, quantise: bool = True) -> Tensor:
        """A latent to (N, 3, H, W), about [-1, 1]; `quantise=False` skips the code book."""
        latent = latent / self.config.scaling_factor
        latent = self._nearest_codes(latent) if quantise else latent
        image: Tensor = self.vq.decode(latent, force_not_quantize=True).sample
        return image

    def _nearest_codes(self, latent: Tensor) -> Tensor:
        """Replace each latent pixel by its nearest code.

        In pieces: all distances at once would take 2 GiB for a latent of 256x256.
        """
        codes = self.vq.quantize.embedding.weight
        pixels = latent.permute(0, 2, 3, 1)
        rows = pixels.reshape(-1, pixels.shape[-1])
        parts = torch.split(rows, QUANTISED)
        index = torch.cat([torch.cdist(part, codes).argmin(1) for part in parts])
        nearest: Tensor = codes[index].reshape(pixels.shape).permute(0, 3, 1, 2).contiguous()
        return nearest


def _attends(attention_levels: Sequence[int], levels: int) -> list[bool]:
    """Whether each level has attention."""
    if strangers := [level for level in attention_levels if level not in range(levels)]:
        raise ConfigError(
            f"attention_levels names {strangers[0]}, but the levels of block_out_channels are "
            f"0 to {levels - 1}"
        )
    return [level in attention_levels for level in range(levels)]
