"""Checkpoints of other architectures, called as `TADSRPipeline` is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from tadsr.errors import ConfigError
from tadsr.models.foreign import ForeignModel, load_foreign
from tadsr.pipeline.inputs import ImageInput, to_output, to_sources
from tadsr.pipeline.pipeline import TADSRPipelineOutput
from tadsr.pipeline.tiling import Tiles, choose_overlap


class ForeignPipeline:
    """A super-resolution checkpoint of any scale on pictures of any kind."""

    def __init__(self, path: Path | str, device: torch.device | str = "cpu") -> None:
        self.model: ForeignModel = load_foreign(path, None, device)
        self._device = torch.device(device)

    def __call__(
        self,
        image: ImageInput | list[ImageInput],
        num_inference_steps: int | None = 1,
        generator: Any = None,
        deterministic: bool = True,
        batch_size: int = 1,
        tile_size: int | None = None,
        tile_overlap: int | None = None,
    ) -> TADSRPipelineOutput:
        """Enlarge pictures, as PIL images; see `TADSRPipeline` for what comes in and out.

        They run one by one and without noise, so `generator` and `batch_size` change nothing.

        Raises:
            DataError, ConfigError: an unusable picture or argument.
        """
        if num_inference_steps not in (1, None) or not deterministic:
            raise ConfigError(
                f"{self.model.architecture} is no diffusion model and runs in one step; leave "
                "--steps and --stochastic out"
            )
        overlap = choose_overlap(tile_size, tile_overlap, 1, 1)
        images = []
        for source in to_sources(image):
            lr = source.colour[None].to(self._device)
            result = in_tiles(self.model, lr, tile_size, overlap)[0]
            images.append(to_output(result, source, self.model.scale, "pil"))
        return TADSRPipelineOutput(images=images)


def in_tiles(model: ForeignModel, lr: torch.Tensor, size: int | None, overlap: int) -> torch.Tensor:
    """(1, 3, h, w) in [0, 1] to (1, 3, scale h, scale w), in tiles of `size` LR pixels.

    None, or an image that is no larger: all at once. Tiled results come on the CPU.
    """
    tiles = Tiles.of(lr.shape[-2], lr.shape[-1], size, overlap)
    if len(tiles) == 1:
        return model(lr)
    scale = model.scale
    result = torch.zeros(1, 3, scale * lr.shape[-2], scale * lr.shape[-1])
    places = zip(tiles.slices(), tiles.slices(scale), tiles.windows(scale), strict=True)
    for (rows, columns), (tall, wide), window in places:
        result[..., tall, wide] += model(lr[..., rows, columns]).cpu() * window
    return result.clamp_(0, 1)
