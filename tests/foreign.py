"""Small networks of published architectures, with local weights of the real shapes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn


def compact(scale: int = 4, channels: int = 3) -> nn.Module:
    """Real-ESRGAN's compact network."""
    from spandrel.architectures.Compact.__arch.SRVGG import SRVGGNetCompact

    return SRVGGNetCompact(
        num_in_ch=channels, num_out_ch=channels, num_feat=8, num_conv=2, upscale=scale
    )


def esrgan(scale: int = 4) -> nn.Module:
    """ESRGAN's RRDBNet."""
    from spandrel.architectures.ESRGAN.__arch.RRDB import RRDBNet

    return RRDBNet(num_filters=8, num_blocks=1, scale=scale)


def swinir(scale: int = 4) -> nn.Module:
    """SwinIR as for classical super-resolution, windows of 8."""
    from spandrel.architectures.SwinIR.__arch.SwinIR import SwinIR

    return SwinIR(
        img_size=16, embed_dim=12, depths=[2], num_heads=[2], window_size=8, mlp_ratio=2.0,
        upscale=scale, upsampler="pixelshuffle",
    )  # fmt: skip


def span(scale: int = 4) -> nn.Module:
    """SPAN, whose weights are folded when it is not training."""
    from spandrel.architectures.SPAN.__arch.span import SPAN

    return SPAN(num_in_ch=3, num_out_ch=3, feature_channels=8, upscale=scale)


def dncnn() -> nn.Module:
    """A denoiser."""
    from spandrel.architectures.DnCNN.__arch.network_dncnn import DnCNN

    return DnCNN(in_nc=3, out_nc=3, nc=64, nb=17, act_mode="R")


NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "RealESRGAN Compact": compact,
    "ESRGAN": esrgan,
    "SwinIR": swinir,
    "SPAN": span,
}
"""By spandrel's name of the architecture."""


def built(make: Callable[[], nn.Module], seed: int = 0) -> nn.Module:
    """A network with weights of its own initialisation, the same at every call."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return make().eval()


def saved(network: nn.Module, path: Path, wrap: Callable[[Any], Any] = lambda state: state) -> Path:
    """The network's weights as a .pth or .safetensors file; `wrap` nests them."""
    from safetensors.torch import save_file

    state = {name: value.clone().contiguous() for name, value in network.state_dict().items()}
    if path.suffix == ".safetensors":
        save_file(state, path)
    else:
        torch.save(wrap(state), path)
    return path
