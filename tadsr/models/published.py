"""Import of published ResShift, SinSR, TAD-SR and latent-diffusion checkpoints.

The structure of the network is read off the shapes, so no configuration is needed. Every key is
accounted for: loaded, or checked to be what we derive ourselves, or an error.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, get_args

from tadsr.errors import ConfigError, TadsrError, nearest
from tadsr.files import atomic_folder, sha256_file
from tadsr.metrics.card import tensors_digest
from tadsr.models.checkpoints import Checkpoint, Weights, read_checkpoint
from tadsr.models.codecs import VQCodec
from tadsr.models.published_unet import build_swin_unet
from tadsr.models.published_vq import build_vq
from tadsr.models.swin_unet import SwinUNet2DModel

Kind = Literal["swin-unet", "vq"]


def import_swin_unet(
    path: Path | str, *, weights: Weights = "auto", **overrides: Any
) -> SwinUNet2DModel:
    """Read a published denoiser (.pth or .safetensors) into a SwinUNet2DModel in eval mode.

    Args:
        weights: which set of a file with raw and averaged weights; `auto`: the average.
        overrides: settings of SwinUNet2DModel. All but these follow from the file: `dropout` (0);
            `sample_size`, where no buffers are stored or nothing is shifted (the least possible,
            window_size times 2^(levels - 1)); strides and last activation of `lq_stack`.

    Raises:
        TadsrError: no such file or network, an unknown structure, or keys that do not fit: one
            line that lists all missing, unexpected and mis-shaped ones.
        ConfigError: an override that is unknown, or contradicts the shapes.

    No published face-restoration checkpoint (LR condition 512, latent 64) has been met by this
    code: `tadsr.models.published_stack` says what it assumes about them.
    """
    return build_swin_unet(read_checkpoint(path, weights), overrides)


def import_vq_f4(path: Path | str, *, weights: Weights = "auto", **overrides: Any) -> VQCodec:
    """Read a published VQ autoencoder (.pth or .safetensors) into a VQCodec in eval mode.

    Of any factor: the f8 codec of the face model too. Arguments and errors as `import_swin_unet`,
    with the settings of VQCodec; `scaling_factor` (1) alone does not follow from the file.
    """
    return build_vq(read_checkpoint(path, weights), overrides)


def import_checkpoint(
    kind: Kind,
    source: Path | str,
    dest: Path | str,
    *,
    weights: Weights = "auto",
    overrides: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Import a published file into a folder of diffusers' layout, which is whole or absent.

    Args:
        kind: `swin-unet` for a denoiser, `vq` for a codec.
        dest: a folder that does not exist or is empty; `config.json` and
            `diffusion_pytorch_model.safetensors` go there, for `from_pretrained`.
        weights, overrides: as `import_swin_unet`.

    Returns:
        kind, source, dest; weights: which set was taken, `ema`, `raw` or `unmarked` (the file does
        not say); ignored: what else the file holds; config; parameters: their number; sha256: of
        the source; tensors_sha256: over names, types, shapes and values of the imported tensors.

    Raises:
        TadsrError, ConfigError: as `import_swin_unet`; or `dest` is in use.
    """
    if kind not in get_args(Kind):
        raise ConfigError(f"kind '{kind}' is not known; {nearest(kind, list(get_args(Kind)))}")
    source, dest = Path(source), Path(dest)
    _check_free(dest)
    checkpoint = read_checkpoint(source, weights)
    build = build_swin_unet if kind == "swin-unet" else build_vq
    model: SwinUNet2DModel | VQCodec = build(checkpoint, overrides or {})
    _save(model, dest)
    return {
        "kind": kind,
        "source": str(source),
        "dest": str(dest),
        "weights": checkpoint.weights,
        "ignored": checkpoint.ignored,
        "config": {k: v for k, v in model.config.items() if not k.startswith("_")},
        "parameters": sum(p.numel() for p in model.parameters()),
        "sha256": sha256_file(source),
        "tensors_sha256": tensors_digest(model),
    }


def _check_free(dest: Path) -> None:
    if dest.is_dir() and not any(dest.iterdir()):
        return
    if dest.exists() or dest.is_symlink():
        raise TadsrError(f"{dest}: is there already; delete it or give another folder")


def _save(model: SwinUNet2DModel | VQCodec, dest: Path) -> None:
    with atomic_folder(dest) as aside:
        model.save_pretrained(aside, safe_serialization=True)
        for path in aside.iterdir():
            path.chmod(0o644)


__all__ = ["Checkpoint", "Kind", "Weights", "import_checkpoint", "import_swin_unet", "import_vq_f4"]
