"""What an experiment will cost: operations, memory, disk. Free of torch.

Operations are counted from the networks' settings (tests compare the counts with torch's own);
times follow from an assumed speed, which is stated wherever they are shown. FLOPs count a
multiplication and an addition as two.
"""

from __future__ import annotations

from dataclasses import dataclass

from tadsr.config.base import SCALE
from tadsr.config.experiment import Experiment
from tadsr.config.published import PUBLISHED
from tadsr.config.student import StudentSpec, TargetsSpec
from tadsr.config.teacher import NetworkSpec

CPU_CORE_FLOPS = 7.0e10
"""Sustained by one laptop core: the demo's trainings reach about this."""
GPU_FLOPS = 2.5e13
"""Sustained by one data-centre GPU in float32. With our count of its step (the student's passes,
15 teacher steps and two encodes), SinSR's reported 60 A100-hours for 30 000 steps of 64 images
come to about this."""

FLOAT = 4
"""Bytes of a float32."""
ADAM = 16
"""Bytes per trained parameter: weight, gradient, two moments; an average takes 4 more."""

VQ_FLOPS = {4: (5.27e6, 10.23e6), 8: (4.16e6, 9.49e6)}
"""Codec factor to FLOPs per HR pixel of (encode, decode)."""
VQ_PARAMETERS = {4: 55_322_782, 8: 83_705_115}
VQ_CHANNELS = {4: 3, 8: 8}
"""Of the published codecs; that of the face model (factor 8) is inferred."""

ACTIVATION_BYTES_PER_FLOP = 0.004
"""Kept for the backward pass per FLOP of the forward pass; measured at full size as the
difference between batches of 1 and 3 (benchmarks/full_size.py --batch)."""


@dataclass(frozen=True)
class NetworkCost:
    """Parameters, and FLOPs of one forward pass of one latent."""

    parameters: int
    encoder_parameters: int
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
    encoder, encoder_parameters = count.flops, count.parameters
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
    return NetworkCost(count.parameters, encoder_parameters, count.flops, encoder, tuple(features))


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
        count.parameters += 9 * channels**2 + channels
        count.flops += 18.0 * channels**2 * pixels
        count.norm(channels)
        count.conv(channels, 64, pixels, kernel=1)
    sets = 3 if kind == "multiple" else 1
    return sets * count.parameters, sets * count.flops


class Estimates:
    """What the parts of an experiment cost per image."""

    def __init__(self, experiment: Experiment) -> None:
        self.experiment = experiment
        self.scale = experiment.data.scale
        self.crop = experiment.data.train.crop or 64
        self.factor, self.channels = _codec(experiment)
        self.side = self.crop // self.factor
        network = experiment.teacher.network
        # A condition larger than the latent arrives through 16 channels, doubled per halving.
        halvings = (self.factor // self.scale).bit_length() - 1
        lq_channels = 8 << halvings if halvings else 3
        self.network = network_cost(network, self.channels, self.side, lq_channels)
        self.steps = experiment.teacher.schedule.num_train_timesteps

    @property
    def codec_parameters(self) -> int:
        """0 for a codec without weights."""
        return VQ_PARAMETERS.get(self.factor, 0) if self._vq else 0

    @property
    def _vq(self) -> bool:
        return self.experiment.teacher.codec.kind == "vq"

    def codec(self, pixels: float) -> tuple[float, float]:
        """FLOPs of encoding and of decoding an HR image of so many pixels."""
        if not self._vq:
            return 0.0, 0.0
        encode, decode = VQ_FLOPS.get(self.factor, VQ_FLOPS[4])
        return encode * pixels, decode * pixels

    def answer(self) -> float:
        """FLOPs of a teacher answer: its whole chain, and both encodes."""
        return self.steps * self.network.forward + 2 * self.codec(self.crop**2)[0]

    def teacher_image(self) -> float:
        """FLOPs of a training image of the teacher (a backward pass counts two forward ones)."""
        return 3 * self.network.forward + 2 * self.codec(self.crop**2)[0]

    def student_image(self, spec: StudentSpec, targets: TargetsSpec) -> float:
        """FLOPs of a training image of a student."""
        forward, encoder = self.network.forward, self.network.encoder
        flops = 3 * forward
        score = spec.losses.score_distillation
        if score.weight:
            flops += (1 if score.reference == "noise" else 2) * forward
        adversarial = spec.losses.adversarial
        if adversarial.weight:
            heads = discriminator_cost(self.network.features, adversarial.discriminator)[1]
            # Features of real and fake, one way back to the latent; the heads on both for their
            # own step with its backward pass, and once more there and back for the student's.
            flops += 3 * encoder + 8 * heads
        return flops + (self.answer() if targets.mode == "online" else 0.0)

    def upscale(self, pixels: float, steps: int) -> float:
        """FLOPs of making an HR image of so many pixels in `steps` steps."""
        return steps * self.network.forward * pixels / self.crop**2 + sum(self.codec(pixels))

    def student_memory(self, spec: StudentSpec, batch: int) -> tuple[float, float]:
        """Bytes of a student's training: (networks and optimiser, activations of the batch)."""
        parameters = self.network.parameters
        fixed = parameters * (ADAM + FLOAT + FLOAT) + self.codec_parameters * FLOAT
        activations = self.network.forward
        adversarial = spec.losses.adversarial
        if adversarial.weight:
            heads, flops = discriminator_cost(self.network.features, adversarial.discriminator)
            fixed += heads * ADAM
            activations += self.network.encoder + 2 * flops
        return float(fixed), batch * activations * ACTIVATION_BYTES_PER_FLOP

    def pair_bytes(self) -> int:
        """Of a stored target pair: four latents and the LR crop."""
        lq = 3 * (self.crop // self.scale) ** 2
        return FLOAT * (4 * self.channels * self.side**2 + lq)

    def student_disk(self, spec: StudentSpec) -> float:
        """Bytes of a finished student: model (average), codec, and the resume state."""
        parameters = self.network.parameters
        state = parameters * 4 * FLOAT  # network, average, two moments
        adversarial = spec.losses.adversarial
        if adversarial.weight:
            heads, _ = discriminator_cost(self.network.features, adversarial.discriminator)
            state += heads * 3 * FLOAT
        return float(parameters * FLOAT + self.codec_parameters * FLOAT + state)


def _codec(experiment: Experiment) -> tuple[int, int]:
    """(factor, channels) of the latents, as far as settings tell."""
    codec = experiment.teacher.codec
    if codec.kind == "pixel_unshuffle":
        return SCALE, 3 * SCALE**2
    face = codec.weights == PUBLISHED["resshift-faceir-s4"].codec
    factor = 8 if face or experiment.data.scale == 1 else 4
    return factor, VQ_CHANNELS[factor]
