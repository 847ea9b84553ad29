"""Super-resolution networks of other architectures: whatever `spandrel` recognises in a checkpoint.

Files are read by `tadsr.models.checkpoints`, so no pickle runs code; spandrel then infers the
architecture and its sizes from names and shapes, and fills it strictly: every key is accounted for.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from tadsr.errors import TadsrError
from tadsr.models.checkpoints import read_content

PURPOSES = {4: ("SR",), 1: ("SR", "Restoration", "FaceSR")}
"""What a network may be for, in spandrel's words, by HR pixels per LR pixel."""


@dataclass(frozen=True)
class ForeignModel:
    """A network of another architecture, in single precision and evaluation mode."""

    architecture: str
    """spandrel's name of it."""
    tags: tuple[str, ...]
    """spandrel's words for its size, such as 64nf."""
    scale: int
    tileable: bool
    """False for networks that look at the whole image and cut it themselves."""
    network: nn.Module
    _call: Any
    """spandrel's descriptor: pads to the sizes the network takes, cuts and clamps the result."""

    @property
    def parameters(self) -> int:
        """Number of parameters."""
        return sum(parameter.numel() for parameter in self.network.parameters())

    @torch.inference_mode()
    def __call__(self, image: Tensor) -> Tensor:
        """(1, 3, h, w) in [0, 1], float32, to (1, 3, scale h, scale w) in [0, 1]."""
        with torch.autocast(image.device.type, enabled=False):
            result: Tensor = self._call(image)
        return result


def load_foreign(
    path: Path | str, scale: int | None, device: torch.device | str = "cpu"
) -> ForeignModel:
    """The network of a checkpoint file (.pth, .pt, .ckpt or .safetensors), checked.

    `scale`: HR pixels per LR pixel that it must have; None for any.

    Raises:
        TadsrError: a file that is missing, damaged, dangerous or not recognised; a network of
            another scale than `scale`, for another purpose, or not from RGB to RGB.
    """
    import spandrel  # all its architectures: seconds

    path = Path(path)
    content = read_content(path)
    if not isinstance(content, dict):
        raise TadsrError(f"{path}: holds no state dict; check that it is a model checkpoint")
    try:
        found = spandrel.ModelLoader(device=torch.device(device)).load_from_state_dict(content)
    except spandrel.UnsupportedModelError as error:
        raise TadsrError(
            f"{path}: of no architecture that spandrel {spandrel.__version__} knows; "
            "docs/models.md says how its finished images can be compared"
        ) from error
    except Exception as error:  # each architecture reads names and shapes in its own way
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise TadsrError(
            f"{path}: its tensors do not make the architecture they look like ({reason}); "
            "check that this is an unmodified file"
        ) from error
    _check(path, found, scale)
    found.float().eval()
    return ForeignModel(
        architecture=str(found.architecture.name),
        tags=tuple(map(str, found.tags)),
        scale=int(found.scale),
        tileable=found.tiling != spandrel.ModelTiling.INTERNAL,
        network=found.model,
        _call=found,
    )


def _check(path: Path, found: Any, scale: int | None) -> None:
    """Refuse a network that cannot stand in the table."""
    name = found.architecture.name
    if found.purpose not in PURPOSES.get(scale or found.scale, ("SR",)):
        raise TadsrError(
            f"{path}: {name} is for {found.purpose}, not for super-resolution; "
            "choose another checkpoint"
        )
    if scale is not None and found.scale != scale:
        raise TadsrError(
            f"{path}: {name} enlarges {found.scale} times, and data.scale is {scale}; "
            f"choose a checkpoint for scale {scale}"
        )
    if (found.input_channels, found.output_channels) != (3, 3):
        raise TadsrError(
            f"{path}: {name} maps {found.input_channels} channels to {found.output_channels}, and "
            "images are RGB; choose a checkpoint for 3 channels"
        )
