"""Checkpoints of other architectures as upscalers."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from tadsr.models.foreign import ForeignModel, load_foreign
from tadsr.pipeline.tiling import Tiles

TILE, OVERLAP = 512, 32
"""Pixels of the LR image: larger ones are cut into tiles of this side that share this much.

A fixed rule, and not what memory allows, so that the numbers are the same on every machine.
"""


class CheckpointUpscaler:
    """A checkpoint that spandrel loads; the file must enlarge `scale` times."""

    def __init__(self, path: Path | str, scale: int, device: torch.device | str) -> None:
        self.device = torch.device(device)
        self.model: ForeignModel = load_foreign(path, scale, device)

    @property
    def networks(self) -> Mapping[str, torch.nn.Module]:
        """The one network of the checkpoint."""
        return {"network": self.model.network}

    def facts(self) -> dict[str, Any]:
        """What the report says of the network."""
        import spandrel

        return {
            "architecture": self.model.architecture,
            "tags": list(self.model.tags),
            "parameters": self.model.parameters,
            "spandrel": str(spandrel.__version__),
        }

    def upscale(self, lr: torch.Tensor, image: str) -> torch.Tensor:
        """See `Upscaler`; there is no noise, so `image` is not used."""
        size = TILE if self.model.tileable else None
        return in_tiles(self.model, lr[None].to(self.device), size)[0]


def in_tiles(model: ForeignModel, lr: torch.Tensor, size: int | None) -> torch.Tensor:
    """(1, 3, h, w) in [0, 1] to (1, 3, scale h, scale w), in tiles of `size` LR pixels.

    None, or an image that is no larger: all at once. Tiled results come on the CPU.
    """
    tiles = Tiles.of(lr.shape[-2], lr.shape[-1], size, OVERLAP)
    if len(tiles) == 1:
        return model(lr)
    scale = model.scale
    result = torch.zeros(1, 3, scale * lr.shape[-2], scale * lr.shape[-1])
    places = zip(tiles.slices(), tiles.slices(scale), tiles.windows(scale), strict=True)
    for (rows, columns), (tall, wide), window in places:
        result[..., tall, wide] += model(lr[..., rows, columns]).cpu() * window
    return result.clamp_(0, 1)
