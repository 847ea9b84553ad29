"""The metric card: what a number was computed with.

Two numbers may stand in one column only if the *identity* of their cards agrees. The *context*
(device, torch version) is recorded beside it: it moves scores by rounding alone.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

from tadsr.config.metrics import MetricSpec
from tadsr.errors import TadsrError

if TYPE_CHECKING:
    import torch
    from torch import nn

BIT_DEPTH = 8
"""Scores are computed from images as they are stored: 8-bit PNG."""

_LIBRARIES = {"lpips": ("torchvision",), "clipiqa": ("openai_clip",)}


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
    """Whether the weights are the official ones; None: no weights, or no official value known."""
    context: dict[str, str] = field(default_factory=dict)
    """Device and torch version."""
    dtype: str = "float32"
    bit_depth: int = BIT_DEPTH

    def identity(self) -> dict[str, Any]:
        """All fields that must agree within a column."""
        fields = asdict(self)
        return {key: fields[key] for key in fields if key not in ("verified", "context")}

    def to_dict(self) -> dict[str, Any]:
        """The card as JSON data."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> MetricCard:
        """The inverse of `to_dict`."""
        try:
            return cls(**data)
        except TypeError as error:
            raise TadsrError(
                f"metric card of '{data.get('metric', '?')}' was written by another version of "
                f"tadsr ({error}); delete the score file and evaluate again"
            ) from error


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
        libraries=_versions(spec.pyiqa),
        tensors=None if network is None else tensors_digest(network),
        verified=verified,
        context={"device": device, "torch": _version("torch")},
    )


def expected_identity(spec: MetricSpec) -> dict[str, Any]:
    """The identity that a card for `spec` must have here, but for the digest of its tensors."""
    identity = make_card(spec, None, None, "cpu").identity()
    del identity["tensors"]
    return identity


@lru_cache
def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def _versions(pyiqa: str) -> dict[str, str]:
    return {name: _version(name) for name in ("pyiqa", *_LIBRARIES.get(pyiqa, ()))}


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


def _named_tensors(module: nn.Module, prefix: str = "") -> Iterator[tuple[str, torch.Tensor]]:
    import torch
    from torch import nn

    for path, part in module.named_modules(prefix=prefix):
        stem = path + "." if path else ""
        for name, tensor in (*part._parameters.items(), *part._buffers.items()):
            if tensor is not None:
                yield stem + name, tensor
        for name, value in vars(part).items():
            if isinstance(value, torch.Tensor):
                yield stem + name, value
            elif isinstance(value, list | tuple):
                for index, item in enumerate(value):
                    if isinstance(item, nn.Module):
                        yield from _named_tensors(item, f"{stem}{name}.{index}")
