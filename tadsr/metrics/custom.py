"""Metrics of one's own: a Python file with a class `Metric`.

    class Metric:
        def __call__(self, sr, hr):            # hr is None where needs_reference is false
            down, right = sr.diff(dim=1), sr.diff(dim=2)
            return float(down.abs().mean() + right.abs().mean())

`sr` and `hr` are (3, H, W) float32 in [0, 1], rounded to 8 bits, with the border cut off where the
experiment asks for it. Options of the experiment file are held by a `Metric.Config`, which
`__init__` then gets. `tadsr metric FILE` holds a file against what an evaluation relies on.
"""

from __future__ import annotations

import ast
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import nn

from tadsr.config.metrics import KIND, MetricSpec
from tadsr.config.plugins import load_class
from tadsr.errors import ConfigError


class OwnMetric(Protocol):
    """What a class `Metric` does."""

    def __call__(self, sr: torch.Tensor, hr: torch.Tensor | None) -> float:
        """The number of one image of shape (3, H, W); NaN where it is not defined."""


class OwnNetwork(nn.Module):
    """A metric of one's own as pyiqa's are called: a module of (1, 3, H, W) images."""

    def __init__(self, metric: OwnMetric, libraries: tuple[str, ...] = ()) -> None:
        super().__init__()
        self.libraries = libraries
        """Installed packages that the file imports; their versions stand in the metric card."""
        self.call = metric.__call__
        """The metric itself, of (3, H, W) images."""
        self.parts = _modules_of(metric)
        """What of the metric holds tensors, for their digest in the metric card."""
        if not isinstance(metric, nn.Module):
            for name, value in vars(metric).items():
                if isinstance(value, torch.Tensor):
                    self.register_buffer(f"own_{name}", value)

    def forward(self, sr: torch.Tensor, hr: torch.Tensor | None = None) -> float:
        """The number of an image (1, 3, H, W), against a reference where there is one.

        Raises:
            TypeError: the metric gives something else than one number.
        """
        # Copies: what the file does to its images is no matter of the next metric.
        return one_number(self.call(sr[0].clone(), None if hr is None else hr[0].clone()))


def one_number(value: object) -> float:
    """The number that a metric of one's own gave.

    Raises:
        TypeError: it gave something else.
    """
    if isinstance(value, torch.Tensor | np.ndarray):
        if value.ndim:
            raise TypeError(f"it gives an array of shape {tuple(value.shape)}; return one number")
    elif isinstance(value, bool) or not isinstance(value, int | float | np.number):
        raise TypeError(f"it gives a {type(value).__name__}; return one number")
    return float(value)


def _modules_of(metric: OwnMetric) -> list[nn.Module]:
    if isinstance(metric, nn.Module):
        return [metric]
    return [value for value in vars(metric).values() if isinstance(value, nn.Module)]


def load_own(spec: MetricSpec, device: torch.device) -> OwnNetwork:
    """The metric that the file of `spec` defines, with its options, on the device.

    Raises:
        ConfigError: the file is not the one that the experiment was read with, cannot be
            imported, has no class `Metric`, or does not take these options.
    """
    file = str(spec.file)
    metric: OwnMetric = load_class(
        file, spec.digest, "Metric", spec.options, kind=KIND, docs="docs/metrics.md"
    )
    if not callable(metric):
        raise ConfigError(
            f"{file}: class 'Metric' cannot be called; define __call__(self, sr, hr) "
            "(docs/metrics.md has an example)"
        )
    for part in _modules_of(metric):
        part.to(device).eval().requires_grad_(False)
    return OwnNetwork(metric, _imported(Path(file).expanduser()))


def _imported(path: Path) -> tuple[str, ...]:
    """The installed packages that a file imports, torch aside (which every card has)."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module.partition(".")[0])
    homes = packages_distributions()
    found = {home for name in names for home in homes.get(name, ())}
    return tuple(sorted(found - {"torch", "tadsr"}))
