"""What an experiment will cost: operations, memory, disk. Free of torch.

Operations are counted from the networks' settings; times follow from an assumed speed, which is
stated wherever they are shown.
"""

from __future__ import annotations

from pathlib import Path

from tadsr.config.base import SCALE
from tadsr.config.data import DatasetSpec
from tadsr.config.experiment import Experiment
from tadsr.config.published import PUBLISHED
from tadsr.config.student import StudentSpec, TargetsSpec, TrainingSpec
from tadsr.plan.operations import discriminator_cost, network_cost

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

PHOTOS_PER_SPLIT = {"train": 8, "val": 2, "test": 4}
TYPICAL_SIDE = 256
"""HR pixels assumed where `size` does not say."""
TYPICAL_COUNT = 20
"""Images assumed where no setting says."""

ACTIVATION_BYTES_PER_FLOP = 0.004
"""Kept for the backward pass per FLOP of the forward pass; measured at full size as the
difference between batches of 1 and 3 (benchmarks/full_size.py --batch)."""


def image_count(spec: DatasetSpec) -> int:
    """How many images a data set will hold; where its settings do not tell, a typical number."""
    told = told_count(spec)
    return TYPICAL_COUNT if told is None else told


def told_count(spec: DatasetSpec) -> int | None:
    """How many images a data set will hold at most, if its settings tell."""
    held = getattr(spec.holdout, spec.split or "", None)
    if spec.kind == "photos" or spec.path is None:  # lr_only without a path
        there: int | None = PHOTOS_PER_SPLIT[spec.split or "test"]
    else:
        there = held if isinstance(held, int) else spec.count
    numbers = [number for number in (there, spec.limit) if number]
    return min(numbers) if numbers else None


def at_once(training: TrainingSpec) -> int:
    """Images whose activations are held at the same time by one process."""
    return -(-training.batch_size // training.gradient_accumulation)


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
        return VQ_PARAMETERS[self.factor] if self._vq else 0

    @property
    def _vq(self) -> bool:
        return self.experiment.teacher.codec.kind == "vq"

    def codec(self, pixels: float) -> tuple[float, float]:
        """FLOPs of encoding and of decoding an HR image of so many pixels."""
        if not self._vq:
            return 0.0, 0.0
        encode, decode = VQ_FLOPS[self.factor]
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
        if spec.losses.adversarial.weight:
            # Features of real and fake, one way back to the latent; the heads on both for their
            # own step with its backward pass, and once more there and back for the student's.
            flops += 3 * encoder + 8 * self._heads(spec)[1]
        if spec.losses.inverse.weight:
            flops += 3 * forward
        if spec.losses.ground_truth.weight:
            flops += 4 * forward
        return flops + (self.answer() if targets.mode == "online" else 0.0)

    def upscale(self, pixels: float, steps: int) -> float:
        """FLOPs of making an HR image of so many pixels in `steps` steps."""
        return steps * self.network.forward * pixels / self.crop**2 + sum(self.codec(pixels))

    def upscaler(self, name: str, pixels: float) -> float:
        """FLOPs of making images of so many HR pixels with an upscaler of the table.

        Of a foreign checkpoint from its size alone: networks for super-resolution are convolutions
        on the LR grid, which use each weight once per pixel.
        """
        models = self.experiment.evaluation
        if models.kind(name) == "checkpoint":
            path = Path(models.checkpoints[name]).expanduser()
            weights = path.stat().st_size / FLOAT if path.is_file() else 0.0
            return 2 * weights * pixels / self.scale**2
        steps = models.steps(name)
        return self.upscale(pixels, steps) if steps else 0.0

    def student_memory(self, spec: StudentSpec, batch: int) -> tuple[float, float]:
        """Bytes of a student's training: (networks and optimiser, activations of the batch)."""
        heads, flops = self._heads(spec)
        fixed = self.network.parameters * (ADAM + FLOAT + FLOAT) + heads * ADAM
        activations = self.network.forward
        if heads:
            activations += self.network.encoder + 2 * flops
        activations += self.network.forward * sum(
            loss.weight > 0 for loss in (spec.losses.inverse, spec.losses.ground_truth)
        )
        total = batch * activations * ACTIVATION_BYTES_PER_FLOP
        return float(fixed + self.codec_parameters * FLOAT), total

    def pair_bytes(self, targets: TargetsSpec) -> int:
        """Of a stored target pair: four latents, further starts, and the LR crop."""
        lq = 3 * (self.crop // self.scale) ** 2
        latents = 4 + len(targets.start_timesteps)
        return FLOAT * (latents * self.channels * self.side**2 + lq)

    def student_disk(self, spec: StudentSpec) -> float:
        """Bytes of a finished student: model (average), codec, and the resume state."""
        parameters = self.network.parameters
        # Network, average and two moments; the discriminator has no average.
        state = 4 * parameters + 3 * self._heads(spec)[0]
        return float(FLOAT * (parameters + self.codec_parameters + state))

    def _heads(self, spec: StudentSpec) -> tuple[int, float]:
        """(parameters, forward FLOPs) of the discriminator; zeros where there is none."""
        adversarial = spec.losses.adversarial
        if not adversarial.weight:
            return 0, 0.0
        features = self.network.features
        if adversarial.features == "encoder":
            features = features[:-1]
        return discriminator_cost(features, adversarial.discriminator)


def _codec(experiment: Experiment) -> tuple[int, int]:
    """(factor, channels) of the latents, as far as settings tell."""
    codec = experiment.teacher.codec
    if codec.kind == "pixel_unshuffle":
        return SCALE, 3 * SCALE**2
    face = codec.weights == PUBLISHED["resshift-faceir-s4"].codec
    factor = 8 if face or experiment.data.scale == 1 else 4
    return factor, VQ_CHANNELS[factor]
