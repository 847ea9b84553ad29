"""Checkpoints of other architectures as upscalers."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from tadsr.models.foreign import ForeignModel, load_foreign
from tadsr.pipeline.foreign import in_tiles

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
        return in_tiles(self.model, lr[None].to(self.device), size, OVERLAP)[0]
