"""Pipelines from published weights: by name from the weights store, or by path."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tadsr.config.published import PUBLISHED
from tadsr.diffusion import ResShiftScheduler
from tadsr.errors import ConfigError, TadsrError, nearest
from tadsr.models.checkpoints import Weights
from tadsr.models.codecs import VQCodec
from tadsr.models.published import import_swin_unet, import_vq_f4
from tadsr.models.swin_unet import SwinUNet2DModel
from tadsr.pipeline.pipeline import TADSRPipeline
from tadsr.weights import CATALOG, Missing, canonical_name, status


def load_published(name: str) -> TADSRPipeline:
    """A published model with its codec and schedule; its weights must be in the store.

    Raises:
        ConfigError: no such model.
        TadsrError: weights that are not here, with the command that gets them.
    """
    if name not in PUBLISHED:
        raise ConfigError(f"unknown model '{name}': {nearest(name, list(PUBLISHED))}")
    model = PUBLISHED[name]
    return assemble(name, model.codec, model.schedule, model.scale)


def assemble(
    unet: str | Path,
    codec: str | Path,
    schedule: Mapping[str, Any],
    scale: int = 4,
    *,
    weights: Weights = "auto",
) -> TADSRPipeline:
    """A pipeline from its parts.

    Args:
        unet, codec: a catalogue name, a published checkpoint, or a folder in diffusers layout.
        schedule: arguments of `ResShiftScheduler`.
        scale: HR pixels per LR pixel.
        weights: which set of a denoiser's checkpoint that holds both; `auto`: the average.

    Raises:
        TadsrError, ConfigError: a part that is not here, not what it should be, or does not fit.
    """
    network_path = find_weights(unet)
    network = (
        SwinUNet2DModel.from_pretrained(network_path, use_safetensors=True)
        if network_path.is_dir()
        else import_swin_unet(network_path, weights=weights)
    )
    return TADSRPipeline(
        unet=network.eval(),
        codec=load_codec(codec),
        scheduler=ResShiftScheduler(**schedule),
        scale=scale,
    )


def load_codec(source: str | Path, *, scaling_factor: float | None = None) -> VQCodec:
    """A VQ codec by catalogue name, checkpoint or folder in diffusers layout.

    `scaling_factor`: of the latents; None keeps a folder's own, and is 1 for a checkpoint.
    """
    path = find_weights(source)
    codec: VQCodec = (
        VQCodec.from_pretrained(path, use_safetensors=True) if path.is_dir() else import_vq_f4(path)
    )
    if scaling_factor is not None:
        codec.register_to_config(scaling_factor=scaling_factor)
    codec.eval()
    return codec


def find_weights(source: str | Path) -> Path:
    """The file or folder that a catalogue name or a path stands for.

    Raises:
        TadsrError: it is not here.
    """
    path = Path(source).expanduser()
    if path.exists():
        return path
    name = canonical_name(str(source))
    if name not in CATALOG:
        raise TadsrError(
            f"{source}: no such file, and no such name in the catalogue; "
            f"{nearest(name, list(CATALOG))}"
        )
    found = status(name)
    if isinstance(found, Missing):
        raise TadsrError(str(found))
    return found.path
