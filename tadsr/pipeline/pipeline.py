"""The pipeline: low-resolution pictures in, pictures four times as large out."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

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
    check_output_type,
    from_tensor,
    reflect,
    to_tensors,
)

logging.disable_progress_bar()  # of "loading components", which takes no time here

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

    @torch.no_grad()
    def __call__(
        self,
        image: ImageInput | list[ImageInput],
        num_inference_steps: int | None = 1,
        generator: torch.Generator | None = None,
        deterministic: bool = True,
        output_type: str = "pil",
        batch_size: int = 8,
    ) -> TADSRPipelineOutput:
        """Enlarge pictures.

        Args:
            image: a PIL image, a path, a uint8 array (h, w, 3), a float tensor (3, h, w) or
                (N, 3, h, w) in [0, 1], or a list of these. Any size from 1x1.
            num_inference_steps: 1, or the schedule's number of steps (None stands for it).
            generator: source of the noise, best on the CPU; by default one with seed 12345, anew
                in each call. Noise of x_T is drawn picture by picture, so batching changes
                nothing.
            deterministic: SinSR's steps; otherwise ResShift's random ones.
            output_type: `pil`, `np` ((H, W, 3) float32 in [0, 1]) or `pt` ((3, H, W) in [0, 1]).
            batch_size: most neighbouring pictures of one size to run together.

        Raises:
            DataError, ConfigError: an unusable picture or argument.
        """
        check_output_type(output_type)
        check_steps(num_inference_steps, self.scheduler.num_train_timesteps)
        if generator is None:
            generator = torch.Generator().manual_seed(SEED)
        outputs = [
            from_tensor(result, output_type)
            for batch in _batches(to_tensors(image), batch_size)
            for result in self._enlarge(batch, num_inference_steps, generator, deterministic)
        ]
        return TADSRPipelineOutput(images=outputs)

    def _enlarge(
        self, image: Tensor, steps: int | None, generator: torch.Generator, deterministic: bool
    ) -> Tensor:
        """(N, 3, h, w) in [0, 1] to (N, 3, scale h, scale w) in [0, 1], float32."""
        height, width = image.shape[-2:]
        multiple, scale = self.lq_multiple, self.config.scale
        padded = reflect(image, -height % multiple + height, -width % multiple + width)
        lq = padded.to(self._execution_device, self.unet.dtype) * 2 - 1
        lq_latent = encode_lq(self.codec, lq, scale)
        noise = torch.cat([draw_noise(one[None], generator) for one in lq_latent])
        latent = sample(
            self.unet,
            self.scheduler,
            self.scheduler.prior_sample(lq_latent, noise),
            lq_latent,
            lq,
            num_inference_steps=steps,
            deterministic=deterministic,
            generator=generator,
        )
        result: Tensor = self.codec.decode(latent).float() / 2 + 0.5
        return result[..., : scale * height, : scale * width].clamp(0, 1)


def _batches(images: list[Tensor], batch_size: int) -> Iterator[Tensor]:
    """Neighbours of one size together, (N, 3, h, w) with N at most `batch_size`."""
    for _, group in groupby(images, key=lambda image: (tuple(image.shape), image.device)):
        yield from torch.split(torch.stack(list(group)), batch_size)
