"""The pipeline: low-resolution pictures in, pictures four times as large out."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any, TypeVar

import torch
from diffusers import DiffusionPipeline
from diffusers.utils import BaseOutput, logging
from torch import Tensor

from tadsr.diffusion.sampling import check_steps, sample
from tadsr.diffusion.scheduler import ResShiftScheduler, draw_noise
from tadsr.errors import ConfigError, TadsrError
from tadsr.models.codecs import LatentCodec, encode_lq
from tadsr.models.swin_unet import SwinUNet2DModel
from tadsr.pipeline.inputs import (
    ImageInput,
    Source,
    check_output_type,
    reflect,
    to_output,
    to_sources,
)
from tadsr.pipeline.tiling import Tiles, choose_overlap

logging.disable_progress_bar()  # of "loading components", which takes no time here

T = TypeVar("T")

SEED = 12345
"""Of the noise when no generator is given, as in the papers."""


@dataclass
class TADSRPipelineOutput(BaseOutput):  # type: ignore[misc]
    """`images`: one entry per input picture, in order, of the asked-for type."""

    images: list[Any]


class TADSRPipeline(DiffusionPipeline):  # type: ignore[misc]
    """Super-resolution with a ResShift-family network: teachers and one-step students alike.

    Args:
        unet: the denoiser.
        codec: a `LatentCodec` that is also a `ModelMixin`.
        scheduler: the schedule the network was trained with.
        scale: enlargement.
    """

    model_cpu_offload_seq = "unet->codec"

    def __init__(
        self,
        unet: SwinUNet2DModel,
        codec: LatentCodec,
        scheduler: ResShiftScheduler,
        scale: int = 4,
    ) -> None:
        super().__init__()
        condition = (unet.config.lq_size or unet.config.sample_size) // unet.config.sample_size
        if codec.spatial_factor != scale * condition:
            raise ConfigError(
                f"scale {scale} does not suit a codec of factor {codec.spatial_factor} and a "
                f"condition {condition} times the latent's size; their product must be the factor"
            )
        self.register_modules(unet=unet, codec=codec, scheduler=scheduler)
        self.register_to_config(scale=scale)

    @classmethod
    def from_pretrained(cls, folder: Path | str, **kwargs: Any) -> TADSRPipeline:
        """Load what `save_pretrained` wrote; weights come from safetensors files only.

        Raises:
            TadsrError: `folder` holds no pipeline, or an incomplete one.
        """
        if not (Path(folder) / "model_index.json").is_file():
            raise TadsrError(f"{folder}: no saved pipeline (model_index.json); check the path")
        try:
            pipeline: TADSRPipeline = super().from_pretrained(
                str(folder), **{**kwargs, "use_safetensors": True}
            )
        except (OSError, ValueError) as error:
            reason = " ".join(str(error).split())
            raise TadsrError(f"{folder}: cannot be loaded ({reason}); save it again") from error
        return pipeline

    @property
    def lq_multiple(self) -> int:
        """Sides of the low-resolution image are padded to a multiple of this many pixels."""
        pixels = int(self.unet.size_multiple * self.codec.spatial_factor)
        return pixels // math.gcd(pixels, self.config.scale)

    @property
    def lq_cell(self) -> int:
        """Pixels of the low-resolution image, along one axis, that make whole latent pixels."""
        factor = int(self.codec.spatial_factor)
        return factor // math.gcd(factor, self.config.scale)

    @torch.no_grad()
    def __call__(
        self,
        image: ImageInput | list[ImageInput],
        num_inference_steps: int | None = 1,
        generator: torch.Generator | list[torch.Generator] | None = None,
        deterministic: bool = True,
        output_type: str = "pil",
        batch_size: int = 8,
        tile_size: int | None = None,
        tile_overlap: int | None = None,
    ) -> TADSRPipelineOutput:
        """Enlarge pictures.

        Args:
            image: a PIL image, a path, an array (h, w), (h, w, 3) or (h, w, 4) of uint8 or uint16,
                a float tensor (3, h, w) or (N, 3, h, w) in [0, 1], or a list of these. Any size
                from 1x1. Alpha is enlarged by bicubic interpolation, beside the colours.
            num_inference_steps: 1, or the schedule's number of steps (None stands for it).
            generator: source of the noise, best on the CPU, or a list with one per picture; by
                default one with seed 12345, anew in each call. Noise is drawn picture by picture
                and for the whole of it, so batches and tiles change nothing about it.
            deterministic: SinSR's steps; otherwise ResShift's random ones, whose noise takes as
                many latents of memory as there are steps.
            output_type: `pil` (grey and alpha as they came), `np` ((H, W, 3) float32 in [0, 1],
                (H, W, 4) with alpha) or `pt` ((3, H, W) in [0, 1], on the CPU if tiled).
            batch_size: most neighbouring pictures of one size to run together.
            tile_size: side of tiles in pixels of `image`, a multiple of `lq_multiple`; None for
                the whole picture at once. Memory then goes with the tile, apart from the result.
            tile_overlap: pixels that neighbouring tiles share; by default at least 16 and a
                multiple of `lq_multiple`, see `tadsr.pipeline.tiling`.

        Raises:
            DataError, ConfigError: an unusable picture or argument.
        """
        check_output_type(output_type)
        check_steps(num_inference_steps, self.scheduler.num_train_timesteps)
        if batch_size < 1:
            raise ConfigError(f"batch_size is {batch_size}; choose 1 or more")
        overlap = choose_overlap(tile_size, tile_overlap, self.lq_multiple, self.lq_cell)
        sources = to_sources(image)
        generators = _generators(generator, len(sources))
        steps = num_inference_steps or self.scheduler.num_train_timesteps
        random_steps = 0 if deterministic else steps - 1
        outputs: list[Any] = []
        for batch in neighbours(sources, _kind, batch_size):
            colours = torch.stack([source.colour for source in batch])
            padded = self._padded(colours)
            noise = self._noise(padded, generators[len(outputs) :], random_steps)
            tiles = Tiles.of(padded.shape[-2], padded.shape[-1], tile_size, overlap)
            results = self._tiled(padded, noise, steps, tiles)
            height, width = (self.config.scale * side for side in colours.shape[-2:])
            results = results[..., :height, :width].clamp_(0, 1).contiguous()
            outputs += [
                to_output(result, source, self.config.scale, output_type)
                for result, source in zip(results, batch, strict=True)
            ]
        return TADSRPipelineOutput(images=outputs)

    def _padded(self, image: Tensor) -> Tensor:
        """Extended by reflection to the next multiples of `lq_multiple`."""
        height, width = image.shape[-2:]
        multiple = self.lq_multiple
        return reflect(image, -height % multiple + height, -width % multiple + width)

    def _noise(self, image: Tensor, generators: list[torch.Generator], random_steps: int) -> Tensor:
        """(1 + random_steps, N, C, H, W): that of x_T, then of each random step.

        A function of the place in the whole picture: tiles are cut from it, so neighbours agree
        where they overlap.
        """
        factor, scale = self.codec.spatial_factor, self.config.scale
        height, width = (side * scale // factor for side in image.shape[-2:])
        like = torch.empty(1, self.codec.channels, height, width, dtype=self.unet.dtype)
        pictures = [
            torch.stack([draw_noise(like, generator) for _ in range(1 + random_steps)])
            for generator in generators[: len(image)]
        ]
        return torch.cat(pictures, dim=1)

    def _tiled(self, image: Tensor, noise: Tensor, steps: int, tiles: Tiles) -> Tensor:
        """(N, 3, h, w) in [0, 1] to (N, 3, scale h, scale w), float32, not clamped."""
        if len(tiles) == 1:
            return self._enlarge(image, noise, steps)
        scale = self.config.scale
        height, width = image.shape[-2:]
        result = torch.zeros(len(image), 3, scale * height, scale * width)
        places = zip(
            tiles.slices(),
            tiles.slices(scale, self.codec.spatial_factor),
            tiles.slices(scale),
            tiles.windows(scale),
            strict=True,
        )
        with self.progress_bar(total=len(tiles)) as bar:
            for (rows, columns), latent, (tall, wide), window in places:
                tile = self._enlarge(image[..., rows, columns], noise[..., *latent], steps)
                result[..., tall, wide] += tile.cpu() * window
                bar.update()
        return result

    def _enlarge(self, image: Tensor, noise: Tensor, steps: int) -> Tensor:
        """The whole of `image` at once, (N, 3, h, w) in [0, 1], with the noise of its place.

        z_y is that of the tile: encoding the whole picture would need the memory that tiles are
        there to save, and what a tile's border does to it fades within the overlap.
        """
        lq = image.to(self._execution_device, self.unet.dtype) * 2 - 1
        lq_latent = encode_lq(self.codec, lq, self.config.scale)
        noise = noise.to(lq.device)
        latent = sample(
            self.unet,
            self.scheduler,
            self.scheduler.prior_sample(lq_latent, noise[0]),
            lq_latent,
            lq,
            num_inference_steps=steps,
            deterministic=len(noise) == 1,  # there is no noise but that of x_T
            noise=noise[1:],
        )
        result: Tensor = self.codec.decode(latent).float() / 2 + 0.5
        return result


def _generators(
    given: torch.Generator | list[torch.Generator] | None, pictures: int
) -> list[torch.Generator]:
    """One generator per picture; a single one is drawn from picture by picture."""
    if isinstance(given, list):
        if len(given) != pictures:
            raise ConfigError(
                f"{len(given)} generators for {pictures} pictures; pass one, or one per picture"
            )
        return given
    return [given or torch.Generator().manual_seed(SEED)] * pictures


def neighbours(items: Iterable[T], key: Callable[[T], Any], most: int) -> Iterator[list[T]]:
    """Runs of neighbouring items with equal keys, in pieces of at most `most`."""
    for _, group in groupby(items, key=key):
        run = list(group)
        for start in range(0, len(run), most):
            yield run[start : start + most]


def _kind(source: Source) -> tuple[torch.Size, torch.device]:
    """What pictures that run together have in common."""
    return source.colour.shape, source.colour.device
