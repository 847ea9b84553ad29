"""Training the teacher: a ResShift denoiser (arXiv 2307.12348) on crops of photographs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from tadsr import seeds
from tadsr.config.base import SCALE
from tadsr.config.data import DatasetSpec, DataSpec
from tadsr.config.teacher import CodecSpec, TeacherSpec
from tadsr.data.dataset import TrainingCrops, fixed_pairs
from tadsr.diffusion import ResShiftScheduler, predict_x0, sample
from tadsr.models.codecs import LatentCodec, PixelUnshuffleCodec
from tadsr.models.swin_unet import SwinUNet2DModel
from tadsr.pipeline import TADSRPipeline
from tadsr.training.latents import LatentPairs, crop_settings, encode_pairs, gaussian, uniform_steps
from tadsr.training.loop import TrainingOutcome, fit
from tadsr.training.models import save_pipeline
from tadsr.training.objective import Term, Trainable
from tadsr.training.process import reproducible, seeded

NAME = "teacher"
VALIDATION_CROPS = 32
SIGMA_CROPS = 256
"""Crops on which sigma_r is measured."""


def train_teacher(
    spec: TeacherSpec,
    train: Path,
    val: Path,
    data: DataSpec,
    folder: Path,
    *,
    device: str,
    progress: Callable[[int, int], None],
) -> TrainingOutcome:
    """Train a teacher from scratch, or go on where `folder` left off.

    Writes `folder/model` (a `TADSRPipeline` with the averaged weights; absent if diverged),
    `folder/state` and `folder/metrics.jsonl`.

    Args:
        train, val: data set folders with a manifest.
        data: crop size and degradation of both.

    Returns:
        The outcome. Results: `val/single_step_mse` (of one call at T-1), `val/chain_mse` (of the
        T deterministic steps) and `val/bicubic_mse` (of z_y), squared latent errors against z_0
        on validation crops; `sigma_r`; throughput.
    """
    crops = TrainingCrops(train, *crop_settings(data.train), seed=spec.training.seed)
    codec = build_codec(spec.codec, device)
    scheduler = build_scheduler(spec, codec, crops)
    unet = seeded(lambda: build_network(spec, codec, data.train), spec.training.seed, "weights")
    objective = TeacherObjective(
        unet.to(device), codec, scheduler, crops, _validation(data.val, val, codec, device),
        spec, device,
    )  # fmt: skip
    outcome, state = fit(objective, spec.training, folder, progress=progress)
    trained: Any = state.validated_networks()[NAME]
    results = outcome.results | {"sigma_r": scheduler.sigma_r}
    if outcome.status == "done":
        with reproducible(spec.training.threads):
            results |= objective.final_errors(trained)
        save_pipeline(
            TADSRPipeline(unet=trained, codec=codec, scheduler=scheduler), folder / "model"
        )
    return TrainingOutcome(outcome.status, outcome.message, results)


class TeacherObjective:
    """Squared error of the z_0 estimate at a uniform t."""

    def __init__(
        self,
        unet: SwinUNet2DModel,
        codec: LatentCodec,
        scheduler: ResShiftScheduler,
        crops: TrainingCrops,
        val: LatentPairs,
        spec: TeacherSpec,
        device: str,
    ) -> None:
        self.unet = unet
        self.codec = codec
        self.scheduler = scheduler
        self.crops = crops
        self.val = val
        self.spec = spec.training
        self.device = device

    def trainables(self) -> dict[str, Trainable]:
        """The denoiser alone."""
        return {NAME: Trainable(self.unet, self.spec.learning_rate)}

    def batch(self, start: int, count: int) -> tuple[int, LatentPairs]:
        """Crops `start` to `start + count` as latents, with their position."""
        return start, encode_pairs(self.codec, self.crops.batch(start, count), self.device)

    def phases(self, batch: tuple[int, LatentPairs]) -> Iterator[tuple[str, Mapping[str, Term]]]:
        """One phase: denoise x_t at random t."""
        start, pairs = batch
        scheduler, seed = self.scheduler, self.spec.seed
        T = scheduler.num_train_timesteps
        t = uniform_steps(len(pairs.lq), T, seeds.torch_generator(seed, "t", start), self.device)
        noise = gaussian(pairs.z_0, seeds.torch_generator(seed, "noise", start))
        x_t = scheduler.add_noise(pairs.z_0, pairs.z_y, noise, t)
        estimate = predict_x0(self.unet, scheduler, x_t, t, pairs.z_y, pairs.lq)
        error = (estimate - pairs.z_0) ** 2
        if scheduler.prediction_type == "residual":
            # Evens out the scale of the error over t; see the scheduler.
            error = error * scheduler.loss_weight(t, error)
        yield NAME, {"denoising": Term(error.mean())}

    @torch.no_grad()
    def validate(self, networks: Mapping[str, nn.Module]) -> dict[str, float]:
        """Latent error of one call at T-1, from fixed noise."""
        estimate = sample(
            networks[NAME], self.scheduler, self._prior(), self.val.z_y, self.val.lq,
            num_inference_steps=1,
        )  # fmt: skip
        return {"val/single_step_mse": _mse(estimate, self.val.z_0)}

    @torch.no_grad()
    def final_errors(self, network: nn.Module) -> dict[str, float]:
        """Latent errors of the whole chain and of the enlarged LR, to compare with one step."""
        chain = sample(network, self.scheduler, self._prior(), self.val.z_y, self.val.lq)
        return {
            "val/chain_mse": _mse(chain, self.val.z_0),
            "val/bicubic_mse": _mse(self.val.z_y, self.val.z_0),
        }

    def _prior(self) -> Tensor:
        noise = gaussian(self.val.z_y, seeds.torch_generator(self.spec.seed, "validation noise"))
        return self.scheduler.prior_sample(self.val.z_y, noise)


def build_codec(spec: CodecSpec, device: str) -> PixelUnshuffleCodec:
    """The codec of a teacher trained from scratch: one that needs no training."""
    codec = PixelUnshuffleCodec(factor=SCALE, scaling_factor=spec.scaling_factor)
    return codec.to(device).eval()  # type: ignore[no-any-return]


def build_network(spec: TeacherSpec, codec: LatentCodec, data: DatasetSpec) -> SwinUNet2DModel:
    """A denoiser with fresh weights, sized for the training crops."""
    crop, _ = crop_settings(data)
    network: SwinUNet2DModel = SwinUNet2DModel(
        in_channels=codec.channels,
        out_channels=codec.channels,
        sample_size=crop // codec.spatial_factor,
        lq_size=crop // SCALE,
        **spec.network.model_dump(),
    )
    return network


def build_scheduler(
    spec: TeacherSpec, codec: LatentCodec, crops: TrainingCrops
) -> ResShiftScheduler:
    """The schedule, with sigma_r = std(z_0 - z_y) measured on training crops for `residual`."""
    settings: dict[str, Any] = spec.schedule.model_dump()
    if spec.schedule.prediction_type == "residual":
        # A sum's last bit depends on the threads, and a resumed training must find the same.
        with reproducible(spec.training.threads):
            pairs = encode_pairs(codec, crops.batch(0, SIGMA_CROPS), "cpu")
            sigma_r = (pairs.z_0 - pairs.z_y).double().std()
        settings["sigma_r"] = float(sigma_r)
    scheduler: ResShiftScheduler = ResShiftScheduler(**settings)
    return scheduler


def _validation(data: DatasetSpec, folder: Path, codec: LatentCodec, device: str) -> LatentPairs:
    crop, degradation = crop_settings(data)
    crops = fixed_pairs(folder, crop, VALIDATION_CROPS, degradation, data.seed)
    return encode_pairs(codec, crops, device)


def _mse(estimate: Tensor, truth: Tensor) -> float:
    return float(((estimate - truth) ** 2).mean())
