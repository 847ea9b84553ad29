"""The metric card: what a number was computed with.

Two numbers may stand in one column only if the *identity* of their cards agrees. The *context*
(device, torch version) is recorded beside it: it moves scores by rounding alone.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from tadsr.config.metrics import METRICS, MetricSpec
from tadsr.config.pyiqa_table import pyiqa_table
from tadsr.errors import TadsrError
from tadsr.runs.environment import installed

if TYPE_CHECKING:
    import torch
    from torch import nn

ABSENT = "not installed"
BIT_DEPTH = 8
"""Scores are computed from images as they are stored: 8-bit PNG."""

_LIBRARIES = {
    "lpips": ("torchvision",),
    "clipiqa": ("openai_clip",),
    "fid": ("torchvision", "pillow"),
}
"""Libraries beside pyiqa whose code enters the number: networks, CLIP's tokens, FID's resizing."""

_BACKBONES = {
    "psnr": "none",
    "ssim": "none",
    "lpips": "AlexNet, LPIPS v0.1",
    "clipiqa": "CLIP RN50",
    "musiq": "MUSIQ transformer, KonIQ-10k",
    "niqe": "none (statistics of pristine images)",
    "piqe": "none",
    "fid": "Inception v3 of TensorFlow's FID",
}
"""By pyiqa's name, with its default options."""

_RESIZED = {"fid": "to 299x299 as the images, clean-fid's bicubic"}
NOT_RESIZED, NO_REFERENCE = "none: pairs of unequal size are refused", "no reference"
REDUCED = (
    "none: it is the LR input, and the image is reduced to its size (bicubic as Matlab's, "
    "antialiased, not rounded)"
)


@dataclass(frozen=True)
class MetricCard:
    """What a metric's numbers were computed with."""

    metric: str
    """`MetricSpec.id`."""
    pyiqa: str
    """Name of the metric in pyiqa; it stands for the architecture."""
    options: dict[str, Any]
    """Options beyond pyiqa's defaults."""
    color_space: str
    border_crop: int
    """Pixels cut from each side."""
    libraries: dict[str, str]
    """Version of each library whose code enters the number."""
    tensors: str | None
    """sha256 over the names and bytes of all tensors that enter the number; None: there are none.

    Not of the files: AlexNet with and without its classifier gives the same LPIPS.
    """
    verified: bool | None
    """Whether the weights are the official ones; None: there is nothing to verify."""
    context: dict[str, str] = field(default_factory=dict)
    """Device class (`cpu`, `cuda`) and torch version."""
    dtype: str = "float32"
    """Of the images handed over, never under autocast; pyiqa's SSIM and NIQE go on in float64."""
    bit_depth: int = BIT_DEPTH
    """Of the images that were scored."""
    backbone: str = "not recorded"
    """The network inside, or `none`."""
    reference_resize: str = "not recorded"
    """What is done to a reference of another size, or to every reference; or to the image, where
    the reference is the LR input."""
    grey: str = "rgb"
    """`MetricSpec.grey`: whether grey pairs were scored on their own levels."""
    code: str = ""
    """sha256 of the file of a metric of one's own; empty for pyiqa's."""

    def identity(self) -> dict[str, Any]:
        """All fields that must agree within a column."""
        fields = asdict(self)
        return {key: fields[key] for key in fields if key not in ("verified", "context")}

    def to_dict(self) -> dict[str, Any]:
        """The card as JSON data."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> MetricCard:
        """The inverse of `to_dict`.

        Cards of tadsr 0.1 lack `backbone`, `reference_resize` and `grey`; what they were then is
        known of each of its metrics, and filled in.

        Raises:
            TadsrError: a card of another version.
        """
        try:
            return cls(**{**_of_old(data), **data})
        except TypeError as error:
            raise TadsrError(
                f"metric card of '{data.get('metric', '?')}' was written by another version of "
                f"tadsr ({error}); delete the score file and evaluate again"
            ) from error


def is_unverified(card: Mapping[str, Any]) -> bool:
    """Whether a stored card's numbers came from weights that nobody vouches for.

    They are kept out of verdicts and marked wherever they are shown.
    """
    return card.get("verified") is False


def same_identity(first: MetricCard, second: MetricCard) -> str | None:
    """None if numbers of both may stand in one column, else a text naming the differing field."""
    one, other = first.identity(), second.identity()
    for name in one:
        if one[name] != other[name]:
            return f"{first.metric}: {name} differs: {_short(one[name])} and {_short(other[name])}"
    return None


def _short(value: Any) -> str:
    text = str(value)
    return text[:12] + "..." if len(text) == 64 else text


def make_card(
    spec: MetricSpec, network: nn.Module | None, verified: bool | None, device: str
) -> MetricCard:
    """The card of a metric on a device class; `network` None leaves the tensors out."""
    return MetricCard(
        metric=spec.id,
        pyiqa=spec.pyiqa,
        options=dict(spec.options),
        color_space=spec.color_space,
        border_crop=spec.border_crop,
        libraries=_versions(spec.pyiqa, network),
        backbone=backbone(spec.pyiqa, spec.options) if spec.pyiqa else "what its file says",
        reference_resize=_reference_resize(spec),
        grey=spec.grey,
        code=spec.digest,
        tensors=None if network is None else tensors_digest(network),
        verified=verified,
        context={"device": device, "torch": _version("torch")},
    )


def still_holds(card: MetricCard, spec: MetricSpec) -> bool:
    """Whether `spec` would be computed here as the card says, told without weights.

    That is all but the tensors, and libraries that only the loaded network would name.
    """
    expected = make_card(spec, None, None, "cpu").identity()
    stated = card.identity()
    wanted = {name: _version(name) for name in stated["libraries"]} | expected["libraries"]
    return stated == {**expected, "tensors": card.tensors, "libraries": wanted}


def backbone(pyiqa: str, options: Mapping[str, Any]) -> str:
    """The network inside a metric, in words; of one we do not know, pyiqa's own settings.

    >>> backbone("lpips", {"net": "vgg"})
    'LPIPS (net vgg, version 0.1)'
    """
    plain = {"test_y_channel", "color_space", "crop_border"}
    if pyiqa in _BACKBONES and not set(options) - plain:
        return _BACKBONES[pyiqa]
    defaults = pyiqa_table().get(pyiqa, {}).get("metric_opts", {})
    settings = {**defaults, **{k: v for k, v in options.items() if k not in plain}}
    name = settings.pop("type", pyiqa)
    words = [f"{key} {value}" for key, value in sorted(settings.items()) if isinstance(value, str)]
    return f"{name} ({', '.join(words)})" if words else str(name)


def _reference_resize(spec: MetricSpec) -> str:
    if not spec.needs_reference:
        return NO_REFERENCE
    return REDUCED if spec.needs_lr else _RESIZED.get(spec.pyiqa, NOT_RESIZED)


def _of_old(data: Mapping[str, Any]) -> dict[str, str]:
    """What a card of tadsr 0.1 leaves out, of the metrics that it had."""
    spec = METRICS.get(data.get("metric", ""))
    if spec is None or data.get("pyiqa") not in _BACKBONES:
        return {}
    return {
        "backbone": _BACKBONES[data["pyiqa"]],
        "reference_resize": _reference_resize(spec),
    }


@lru_cache
def _version(package: str) -> str:
    return installed(package) or ABSENT


def _versions(pyiqa: str, network: nn.Module | None) -> dict[str, str]:
    known = ("pyiqa", *_LIBRARIES.get(pyiqa, ())) if pyiqa else ()
    return {name: _version(name) for name in sorted({*known, *_foreign(network)})}


def _foreign(network: nn.Module | None) -> set[str]:
    """Packages beside torch and pyiqa that classes of a network come from, such as timm."""
    modules = [] if network is None else [part for _, part in _named_modules(network, "")]
    homes = {type(module).__module__.partition(".")[0] for module in modules}
    imported = set(getattr(network, "libraries", ()))  # of the file of a metric of one's own
    named = homes - {"torch", "pyiqa", "tadsr"} | imported
    return {home for home in named if _version(home) != ABSENT}


def tensors_digest(module: nn.Module) -> str | None:
    """sha256 over name, dtype, shape and bytes of every tensor of `module`, sorted by name.

    Counts parameters, buffers and the tensors that a module keeps as plain attributes (pyiqa's
    NIQE) or inside modules in a list (its CLIP-IQA). None if there are none.
    """
    import torch

    found = dict(_named_tensors(module))
    if not found:
        return None
    digest = hashlib.sha256()
    for name in sorted(found):
        tensor = found[name].detach().cpu().contiguous()
        digest.update(f"{name}\0{tensor.dtype}\0{tuple(tensor.shape)}\0".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _named_tensors(module: nn.Module) -> Iterator[tuple[str, torch.Tensor]]:
    import torch

    for path, part in _named_modules(module, ""):
        stem = path + "." if path else ""
        for name, tensor in (*part._parameters.items(), *part._buffers.items()):
            if tensor is not None:
                yield stem + name, tensor
        for name, value in vars(part).items():
            if isinstance(value, torch.Tensor):
                yield stem + name, value


def _named_modules(module: nn.Module, prefix: str) -> Iterator[tuple[str, nn.Module]]:
    """Every module by its path, those in plain lists too."""
    from torch import nn

    for path, part in module.named_modules(prefix=prefix):
        yield path, part
        for name, value in vars(part).items():
            for index, item in enumerate(value if isinstance(value, list | tuple) else ()):
                if isinstance(item, nn.Module):
                    inside = f"{path}.{name}.{index}" if path else f"{name}.{index}"
                    yield from _named_modules(item, inside)
