"""Networks: the denoiser, the codecs, the discriminator, and the import of published weights."""

from __future__ import annotations

from tadsr.models.codecs import LatentCodec, PixelUnshuffleCodec, VQCodec, encode_lq
from tadsr.models.discriminator import LatentDiscriminator
from tadsr.models.published import import_checkpoint, import_swin_unet, import_vq_f4
from tadsr.models.swin_unet import SwinUNet2DModel, SwinUNetOutput

__all__ = [
    "LatentCodec",
    "LatentDiscriminator",
    "PixelUnshuffleCodec",
    "SwinUNet2DModel",
    "SwinUNetOutput",
    "VQCodec",
    "encode_lq",
    "import_checkpoint",
    "import_swin_unet",
    "import_vq_f4",
]
