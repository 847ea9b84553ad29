"""Writing a trained model as a whole, and reading one to learn from."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from tadsr.errors import TadsrError
from tadsr.files import TEMPORARY_PREFIX
from tadsr.pipeline import TADSRPipeline


def save_pipeline(pipeline: TADSRPipeline, folder: Path) -> None:
    """Write `pipeline` beside `folder`, then rename it: the folder is whole or absent."""
    aside = folder.with_name(f"{TEMPORARY_PREFIX}{folder.name}")
    shutil.rmtree(aside, ignore_errors=True)
    try:
        pipeline.save_pretrained(aside, safe_serialization=True)
    except (OSError, SafetensorError) as error:
        shutil.rmtree(aside, ignore_errors=True)
        raise TadsrError(
            f"{folder}: the model cannot be written ({error}); free some disk space and run again"
        ) from error
    if folder.exists():
        shutil.rmtree(folder)
    aside.replace(folder)


def load_frozen(folder: Path, device: str) -> Any:
    """The `TADSRPipeline` in `folder` on `device`, its network and codec frozen.

    Frozen weights get no gradients, but gradients may flow through the networks.
    """
    pipeline = TADSRPipeline.from_pretrained(folder).to(device)
    for module in (pipeline.unet, pipeline.codec):
        module.eval().requires_grad_(False)
    return pipeline
