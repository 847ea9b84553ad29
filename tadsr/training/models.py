"""Writing a trained model as a whole, and reading one to learn from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tadsr.files import atomic_folder
from tadsr.pipeline import TADSRPipeline


def save_pipeline(pipeline: TADSRPipeline, folder: Path) -> None:
    """Write `pipeline` to `folder`, which is whole or absent."""
    with atomic_folder(folder, replace=True) as aside:
        pipeline.save_pretrained(aside, safe_serialization=True)


def load_frozen(folder: Path, device: str) -> Any:
    """The `TADSRPipeline` in `folder` on `device`, its network and codec frozen.

    Frozen weights get no gradients, but gradients may flow through the networks.
    """
    pipeline = TADSRPipeline.from_pretrained(folder).to(device)
    for module in (pipeline.unet, pipeline.codec):
        module.eval().requires_grad_(False)
    return pipeline
