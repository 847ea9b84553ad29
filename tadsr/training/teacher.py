"""The teacher: a ResShift denoiser (arXiv 2307.12348), trained on crops or imported."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from tadsr.config.base import SCALE
from tadsr.config.data import DataSpec
from tadsr.config.published import PUBLISHED
from tadsr.config.teacher import CodecSpec, TeacherSpec
from tadsr.data.dataset import TrainingCrops, fixed_pairs
from tadsr.diffusion import ResShiftScheduler, predict_x0, sample
from tadsr.diffusion.scheduler import FROM_Z_Y
from tadsr.errors import ConfigError
from tadsr.models.codecs import LatentCodec, PixelUnshuffleCodec
from tadsr.models.swin_unet import SwinUNet2DModel
from tadsr.pipeline import TADSRPipeline
from tadsr.pipeline.published import load_codec, load_published
from tadsr.runs import team
from tadsr.training.draws import Draws
from tadsr.training.latents import LatentPairs, crop_settings, encode_pairs
from tadsr.training.loop import TrainingOutcome, fit
from tadsr.training.models import save_pipeline
from tadsr.training.objective import Term, Trainable
from tadsr.training.process import reproducible, seeded

NAME = "teacher"
VALIDATION_CROPS = 32
SIGMA_CROPS = 256
"""Crops on which sigma_r is measured."""
SIGMA_BATCH = 16
CHECK_CROPS = 4
"""Validation crops on which an imported teacher is checked: full-size chains are slow on a CPU."""


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
    crops = TrainingCrops(train, *crop_settings(data.train), data.scale, spec.training.seed)
    codec = build_codec(spec.codec, device)
    scheduler = build_scheduler(spec, codec, crops)
    unet = seeded(lambda: build_network(spec, codec, data), spec.training.seed, "weights")
    objective = TeacherObjective(
        unet.to(device), codec, scheduler, crops,
        _validation(data, val, codec, device, VALIDATION_CROPS), spec, device,
    )  # fmt: skip
    outcome, state = fit(objective, spec.training, folder, progress=progress)
    trained: Any = state.validated_networks()[NAME]
    results = outcome.results | {"sigma_r": scheduler.sigma_r}
    if outcome.status == "done":
        pipeline = TADSRPipeline(unet=trained, codec=codec, scheduler=scheduler, scale=data.scale)
        results |= team.decide(lambda: _write(pipeline, objective, folder))
    return TrainingOutcome(outcome.status, outcome.message, results)


def _write(pipeline: Any, objective: TeacherObjective, folder: Path) -> dict[str, float]:
    """Write the model, and measure its chain."""
    spec = objective.spec
    with reproducible(spec.threads):
        errors = final_errors(pipeline.unet, pipeline.scheduler, objective.val, spec.seed)
    save_pipeline(pipeline, folder / "model")
    return errors


def import_teacher(
    spec: TeacherSpec, val: Path, data: DataSpec, folder: Path, *, device: str
) -> dict[str, float]:
    """Write a published teacher, or a copy of a saved pipeline, to `folder/model`.

    Returns:
        `val/single_step_mse`, `val/chain_mse` and `val/bicubic_mse` as `train_teacher` measures
        them, on a few crops: a teacher whose errors are above those of bicubic is not the one
        that its name says, or these are not its images.

    Raises:
        TadsrError: the weights are not here.
        ConfigError: the teacher does not suit the experiment's scale, schedule or crop.
    """
    pipeline = _load_teacher(spec)
    _check_fit(pipeline, spec, data)
    codec, scheduler = pipeline.codec.to(device), pipeline.scheduler
    with reproducible(spec.training.threads):
        pairs = _validation(data, val, codec, device, CHECK_CROPS)
        errors = final_errors(pipeline.unet.to(device), scheduler, pairs, spec.training.seed)
        errors["val/single_step_mse"] = single_step_error(
            pipeline.unet, scheduler, pairs, spec.training.seed
        )
    save_pipeline(pipeline, folder / "model")
    return errors


def _load_teacher(spec: TeacherSpec) -> Any:
    """The pipeline that `spec.weights` names, with the schedule of `spec` if it is published."""
    weights = spec.weights or ""
    if weights not in PUBLISHED:
        return TADSRPipeline.from_pretrained(Path(weights).expanduser())
    pipeline = load_published(weights)
    pipeline.register_modules(scheduler=ResShiftScheduler(**spec.schedule.model_dump()))
    return pipeline


def _check_fit(pipeline: Any, spec: TeacherSpec, data: DataSpec) -> None:
    """Refuse a teacher that the experiment cannot use."""
    found = pipeline.scheduler.num_train_timesteps
    wanted = spec.schedule.num_train_timesteps
    if found != wanted:
        raise ConfigError(
            f"{spec.weights}: this teacher has {found} steps, the experiment says {wanted}; set "
            f"teacher.schedule.num_train_timesteps: {found}"
        )
    _check_own(pipeline, spec)
    if pipeline.config.scale != data.scale:
        raise ConfigError(
            f"{spec.weights}: this teacher enlarges {pipeline.config.scale} times, and data.scale "
            f"is {data.scale}"
        )
    multiple = pipeline.lq_multiple * data.scale
    for role, crop in (("train", data.train.crop), ("val", data.val.crop)):
        if crop is None or crop % multiple:
            raise ConfigError(
                f"data.{role}.crop is {crop}; {spec.weights} needs a multiple of {multiple}"
            )


def _check_own(pipeline: Any, spec: TeacherSpec) -> None:
    """Refuse settings that a saved pipeline would not take: its schedule and codec are its own.

    A value that is the default may be one that nobody asked for.
    """
    default = TeacherSpec()
    asked = [(f"schedule.{key}", value, getattr(default.schedule, key), pipeline.scheduler)
             for key, value in spec.schedule.model_dump().items()]  # fmt: skip
    factor = "scaling_factor"
    asked.append((f"codec.{factor}", spec.codec.scaling_factor, default.codec.scaling_factor,
                  pipeline.codec))  # fmt: skip
    for key, value, usual, part in asked:
        own = part.config[key.partition(".")[2]]
        if value not in (own, usual):
            raise ConfigError(
                f"teacher.{key} is {value}, and {spec.weights} has {own}, which stays as it is; "
                "leave it out"
            )


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
        crops = self.crops
        return start, encode_pairs(self.codec, crops.batch(start, count), self.device, crops.scale)

    def phases(self, batch: tuple[int, LatentPairs]) -> Iterator[tuple[str, Mapping[str, Term]]]:
        """One phase: denoise x_t at random t."""
        start, pairs = batch
        scheduler = self.scheduler
        draws = Draws(self.spec.seed, range(start, start + len(pairs.lq)))
        t = draws.steps("t", scheduler.num_train_timesteps, self.device)
        noise = draws.gaussian("noise", pairs.z_0)
        x_t = scheduler.add_noise(pairs.z_0, pairs.z_y, noise, t)
        estimate = predict_x0(self.unet, scheduler, x_t, t, pairs.z_y, pairs.lq)
        error = (estimate - pairs.z_0) ** 2
        error = error * scheduler.loss_weight(t, error)
        yield NAME, {"denoising": Term(error.mean())}

    @torch.no_grad()
    def validate(self, networks: Mapping[str, nn.Module]) -> dict[str, float]:
        """Latent error of one call at T-1, from fixed noise."""
        error = single_step_error(networks[NAME], self.scheduler, self.val, self.spec.seed)
        return {"val/single_step_mse": error}


def single_step_error(
    network: Any, scheduler: ResShiftScheduler, val: LatentPairs, seed: int
) -> float:
    """Squared latent error of one call at T-1, from fixed noise."""
    estimate = sample(
        network, scheduler, _prior(scheduler, val, seed), val.z_y, val.lq, num_inference_steps=1
    )
    return _mse(estimate, val.z_0)


def final_errors(
    network: Any, scheduler: ResShiftScheduler, val: LatentPairs, seed: int
) -> dict[str, float]:
    """Latent errors of the whole chain and of the enlarged LR, to compare with one step."""
    chain = sample(network, scheduler, _prior(scheduler, val, seed), val.z_y, val.lq)
    return {"val/chain_mse": _mse(chain, val.z_0), "val/bicubic_mse": _mse(val.z_y, val.z_0)}


def _prior(scheduler: ResShiftScheduler, val: LatentPairs, seed: int) -> Tensor:
    noise = Draws(seed, range(len(val.z_y))).gaussian("validation noise", val.z_y)
    return scheduler.prior_sample(val.z_y, noise)


def build_codec(spec: CodecSpec, device: str) -> Any:
    """The codec of a teacher trained from scratch: one without weights, or a published one."""
    if spec.kind == "pixel_unshuffle":
        codec = PixelUnshuffleCodec(factor=SCALE, scaling_factor=spec.scaling_factor)
    else:
        codec = load_codec(spec.weights or "", scaling_factor=spec.scaling_factor)
    return codec.to(device).eval().requires_grad_(False)


def build_network(spec: TeacherSpec, codec: LatentCodec, data: DataSpec) -> SwinUNet2DModel:
    """A denoiser with fresh weights, sized for the training crops."""
    crop, _ = crop_settings(data.train)
    network: SwinUNet2DModel = SwinUNet2DModel(
        in_channels=codec.channels,
        out_channels=codec.channels,
        sample_size=crop // codec.spatial_factor,
        lq_size=crop // data.scale,
        **spec.network.model_dump(),
    )
    return network


def build_scheduler(
    spec: TeacherSpec, codec: LatentCodec, crops: TrainingCrops
) -> ResShiftScheduler:
    """The schedule, with sigma_r = std(z_0 - z_y) measured on training crops where it is used."""
    settings: dict[str, Any] = spec.schedule.model_dump()
    if spec.schedule.prediction_type in FROM_Z_Y:
        # A sum's last bit depends on the threads, and a resumed training must find the same.
        with reproducible(spec.training.threads):
            settings["sigma_r"] = _residual_std(codec, crops)
    scheduler: ResShiftScheduler = ResShiftScheduler(**settings)
    return scheduler


def _residual_std(codec: Any, crops: TrainingCrops) -> float:
    """Standard deviation of z_0 - z_y over the first training crops."""
    gaps = []
    for start in range(0, SIGMA_CROPS, SIGMA_BATCH):
        batch = crops.batch(start, SIGMA_BATCH)
        pairs = encode_pairs(codec, batch, str(codec.device), crops.scale)
        gaps.append((pairs.z_0 - pairs.z_y).double().cpu())
    return float(torch.cat(gaps).std())


def _validation(
    data: DataSpec, folder: Path, codec: LatentCodec, device: str, count: int
) -> LatentPairs:
    crop, degradation = crop_settings(data.val)
    crops = fixed_pairs(folder, crop, count, degradation, data.val.seed, data.scale)
    return encode_pairs(codec, crops, device, data.scale)


def _mse(estimate: Tensor, truth: Tensor) -> float:
    return float(((estimate - truth) ** 2).mean())
