"""What turns a low-resolution image into one four times as large."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import torch

from tadsr.config.base import SCALE
from tadsr.data.resize import bicubic
from tadsr.seeds import torch_generator

EVALUATION_SEED = 12345
"""Seed of the sampling noise in evaluations, as in the released SinSR scripts."""


class Upscaler(Protocol):
    """Anything that can stand in a row of the table."""

    def upscale(self, lr: torch.Tensor, image: str) -> torch.Tensor:
        """Enlarge `lr` (3, h, w) in [0, 1] to (3, 4h, 4w) in [0, 1].

        `image` is its name: noise depends on it alone, so all upscalers get the same.
        """


class Bicubic:
    """Bicubic interpolation, the reference of super-resolution (Matlab's kernel)."""

    def upscale(self, lr: torch.Tensor, image: str) -> torch.Tensor:
        """See `Upscaler`; `image` is not used."""
        return bicubic(lr[None], scale=SCALE)[0].clamp(0, 1)


class PipelineUpscaler:
    """A saved `TADSRPipeline` (teacher or student) in `steps` deterministic steps."""

    def __init__(self, model_dir: Path | str, steps: int, device: torch.device | str) -> None:
        from tadsr.pipeline import TADSRPipeline  # diffusers takes seconds to import

        self.steps = steps
        self._pipeline = TADSRPipeline.from_pretrained(model_dir)
        self._pipeline.to(torch.device(device))
        self._pipeline.set_progress_bar_config(disable=True)

    def upscale(self, lr: torch.Tensor, image: str) -> torch.Tensor:
        """See `Upscaler`; the noise is drawn from (`EVALUATION_SEED`, `image`)."""
        result: torch.Tensor = self._pipeline(
            lr,
            num_inference_steps=self.steps,
            generator=torch_generator(EVALUATION_SEED, image),
            output_type="pt",
        ).images[0]
        return result
