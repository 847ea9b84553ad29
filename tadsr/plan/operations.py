"""Parameters and operations of the networks, counted from their settings. Free of torch.

FLOPs count a multiplication and an addition as two; tests compare the counts with torch's own.
"""

from __future__ import annotations

from dataclasses import dataclass

from tadsr.config.teacher import NetworkSpec


@dataclass(frozen=True)
class NetworkCost:
    """Parameters, and FLOPs of one forward pass of one latent."""

    parameters: int
    forward: float
    encoder: float
    """Encoder and middle block alone, as the discriminator's features need them."""
    features: tuple[tuple[int, int], ...]
    """(channels, pixels) of the feature maps."""


class _Counter:
    """Sums parameters and FLOPs of layers."""

    def __init__(self) -> None:
        self.parameters = 0
        self.flops = 0.0

    def conv(self, inputs: int, outputs: int, pixels: float, kernel: int = 3) -> None:
        self.parameters += kernel * kernel * inputs * outputs + outputs
        self.flops += 2.0 * kernel * kernel * inputs * outputs * pixels

    def norm(self, channels: int) -> None:
        self.parameters += 2 * channels

    def linear(self, inputs: int, outputs: int) -> None:
        self.conv(inputs, outputs, 1, kernel=1)

    def residual(self, inputs: int, outputs: int, embedding: int, pixels: float) -> None:
        self.norm(inputs)
        self.conv(inputs, outputs, pixels)
        self.linear(embedding, 2 * outputs)
        self.norm(outputs)
        self.conv(outputs, outputs, pixels)
        if inputs != outputs:
            self.conv(inputs, outputs, pixels, kernel=1)

    def swin(self, channels: int, network: NetworkSpec, pixels: float) -> None:
        width, window = network.swin_embed_dim, network.window_size
        hidden = int(width * network.mlp_ratio)
        self.conv(channels, width, pixels, kernel=1)
        for _ in range(network.swin_depth):
            self.norm(width)
            self.conv(width, 3 * width, pixels, kernel=1)
            self.flops += 4.0 * window**2 * width * pixels  # q k^T, and the weighted sum of v
            self.parameters += (2 * window - 1) ** 2 * (width // network.num_head_channels)
            self.conv(width, width, pixels, kernel=1)
            self.norm(width)
            self.conv(width, hidden, pixels, kernel=1)
            self.conv(hidden, width, pixels, kernel=1)
        self.conv(width, channels, pixels, kernel=1)


def network_cost(
    network: NetworkSpec, channels: int, side: int, lq_channels: int = 3
) -> NetworkCost:
    """Count a SwinUNet2DModel.

    Args:
        channels: of the latent, in and out.
        side: of the latent, in pixels.
        lq_channels: of the condition as it joins the latent.
    """
    count = _Counter()
    base = network.model_channels
    widths = [base * factor for factor in network.channel_mult]
    embedding = 4 * base
    attended = [side >> level in network.attention_resolutions for level in range(len(widths))]
    count.linear(base, embedding)
    count.linear(embedding, embedding)
    count.conv(channels + lq_channels, base, side**2)
    skips, width, features = [base], base, []
    for level, out in enumerate(widths):
        pixels = (side >> level) ** 2
        for index in range(network.num_res_blocks):
            count.residual(width, out, embedding, pixels)
            if index == 0 and attended[level]:
                count.swin(out, network, pixels)
            width = out
            skips.append(out)
        if level < len(widths) - 1:
            count.conv(out, out, pixels / 4)
            skips.append(out)
            features.append((out, pixels // 4))
    lowest = (side >> (len(widths) - 1)) ** 2
    features += [(width, lowest), (width, lowest)]
    count.residual(width, width, embedding, lowest)
    count.swin(width, network, lowest)
    count.residual(width, width, embedding, lowest)
    encoder = count.flops
    for level in reversed(range(len(widths))):
        pixels = (side >> level) ** 2
        for index in range(network.num_res_blocks + 1):
            count.residual(width + skips.pop(), widths[level], embedding, pixels)
            if index == 0 and attended[level]:
                count.swin(widths[level], network, pixels)
            width = widths[level]
        if level:
            count.conv(width, width, 4 * pixels)
    count.norm(width)
    count.conv(width, channels, side**2)
    return NetworkCost(count.parameters, count.flops, encoder, tuple(features))


def discriminator_cost(features: tuple[tuple[int, int], ...], kind: str) -> tuple[int, float]:
    """(parameters, forward FLOPs of one latent) of a LatentDiscriminator."""
    embedding = features[0][0] if kind == "time_aware" else 0
    count = _Counter()
    for channels, pixels in features:
        count.norm(channels)
        if embedding:
            count.linear(embedding, 2 * channels)
        count.conv(channels, channels, pixels)
        count.conv(channels, channels, pixels, kernel=1)
        count.norm(channels)
        count.conv(channels, channels, pixels)  # over nine tokens, as many as 3x3 pixels
        count.norm(channels)
        count.conv(channels, 64, pixels, kernel=1)
    sets = 3 if kind == "multiple" else 1
    return sets * count.parameters, sets * count.flops
