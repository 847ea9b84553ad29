"""What turns a low-resolution image into one four times as large."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import torch

from tadsr.config.base import SCALE
from tadsr.data.resize import bicubic
from tadsr.seeds import torch_generator

if TYPE_CHECKING:
    from tadsr.pipeline import TADSRPipeline

EVALUATION_SEED = 12345
"""Seed of the sampling noise in evaluations, as in the released SinSR scripts."""


class Upscaler(Protocol):
    """Anything that can stand in a row of the table."""

    @property
    def networks(self) -> Mapping[str, torch.nn.Module] | None:
        """What it computes with, by role (`denoiser`, `codec`, ...), for its cost.

        Empty if it needs none; None if it computes nothing, and so costs nothing.
        """

    def upscale(self, lr: torch.Tensor, image: str) -> torch.Tensor:
        """Enlarge `lr` (3, h, w) in [0, 1] to (3, scale h, scale w) in [0, 1].

        `image` is its name: noise depends on it and the upscaler's draw alone, so all upscalers of
        one draw get the same.
        """


class Bicubic:
    """Bicubic interpolation, the reference of super-resolution (Matlab's kernel).

    With scale 1 (restoration) it gives the low-quality image itself.
    """

    def __init__(self, scale: int = SCALE) -> None:
        self.scale = scale

    @property
    def networks(self) -> Mapping[str, torch.nn.Module]:
        """None are needed."""
        return {}

    def upscale(self, lr: torch.Tensor, image: str) -> torch.Tensor:
        """See `Upscaler`; `image` is not used."""
        return bicubic(lr[None], scale=self.scale)[0].clamp(0, 1)


class PipelineUpscaler:
    """A `TADSRPipeline`, or the folder of a saved one, in `steps` deterministic steps.

    `draw` is which of many draws of sampling noise it gets.
    """

    def __init__(
        self,
        model: Path | str | TADSRPipeline,
        steps: int,
        device: torch.device | str,
        draw: int = 0,
    ) -> None:
        from tadsr.pipeline import TADSRPipeline  # diffusers takes seconds to import

        self.steps, self.draw = steps, draw
        if not isinstance(model, TADSRPipeline):
            model = TADSRPipeline.from_pretrained(model)
        self._pipeline = model
        self._pipeline.to(torch.device(device))
        self._pipeline.set_progress_bar_config(disable=True)

    @property
    def networks(self) -> Mapping[str, torch.nn.Module]:
        """Denoiser and codec."""
        return {"denoiser": self._pipeline.unet, "codec": self._pipeline.codec}

    def upscale(self, lr: torch.Tensor, image: str) -> torch.Tensor:
        """See `Upscaler`; the noise is drawn from (`EVALUATION_SEED` + draw, `image`)."""
        result: torch.Tensor = self._pipeline(
            lr,
            num_inference_steps=self.steps,
            generator=torch_generator(EVALUATION_SEED + self.draw, image),
            output_type="pt",
        ).images[0]
        return result


def published_upscaler(name: str, steps: int, device: torch.device | str) -> PipelineUpscaler:
    """A published model by its name in the weights catalogue; its weights must be here."""
    from tadsr.pipeline.published import load_published

    return PipelineUpscaler(load_published(name), steps, device)
