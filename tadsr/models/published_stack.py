"""The convolutions that bring a large LR condition down to the latent, read off a state dict.

Face restoration conditions a latent of 64 on an image of 512. How the published network lays these
convolutions out is not in the papers, and no published face checkpoint has ever been seen by this
code: what is here follows from the naming that these checkpoints use elsewhere. Check a first
import of a real one against its authors' results.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from tadsr.errors import ConfigError, TadsrError
from tadsr.models.checkpoints import Checkpoint, State

_PREFIX = "feature_extractor."
_STRIDED = re.compile(r"^feature_extractor\.(\d+)\.op\.")


@dataclass(frozen=True)
class Stack:
    """The stack of a network, in the form of `SwinUNet2DModel`'s `lq_stack`; None: none there."""

    entries: tuple[tuple[int, int, int], ...] | None = None
    lq_channels: int = 0
    """Channels of the condition it takes; 0 if there is no stack, or its first tensor is amiss."""
    strided: frozenset[int] = frozenset()
    """Numbers of the convolutions that the file calls `op`."""

    @property
    def channels(self) -> int:
        """Channels it puts out; 0 if there is no stack."""
        return self.entries[-1][0] if self.entries else 0

    @property
    def factor(self) -> int:
        """What it divides the condition's side by."""
        return 1 << sum(stride == 2 for _, stride, _ in self.entries or ())

    def published(self, key: str) -> str:
        """The file's key for a key of SwinUNet2DModel, which calls no convolution `op`."""
        number = re.match(r"feature_extractor\.(\d+)\.", key)
        if number and int(number[1]) in self.strided:
            return f"{number[0]}op.{key.removeprefix(number[0])}"
        return key


def read_stack(checkpoint: Checkpoint, override: Any = None) -> Stack:
    """Read the stack from the numbered entries of a Sequential, `feature_extractor.<i>.*`.

    `<i>.op.weight` is a strided 3x3 convolution, `<i>.weight` one of stride 1; if none has `op`,
    all are strided. A number left out is an activation without parameters, taken to be SiLU.
    Whether one follows the last convolution does not show: it is taken to be as after the previous
    one of the same stride, and to be there where there is none. `override` states it all.

    Raises:
        TadsrError: numbers that cannot be convolutions and activations.
        ConfigError: an override with other channels than the tensors have.
    """
    state, path = checkpoint.state, checkpoint.path
    widths = _widths(state)
    if not widths:
        if override:
            raise ConfigError(
                f"lq_stack={list(override)} contradicts {path}, which has no {_PREFIX}* tensors; "
                "leave the setting out"
            )
        return Stack()
    _check_numbers(path, sorted(widths))
    strided = frozenset(int(found[1]) for found in map(_STRIDED.match, state) if found)
    entries = _entries(widths, strided)
    if override is not None:
        entries = _overridden(path, entries, override)
    first = state.get(f"{_PREFIX}0.weight", state.get(f"{_PREFIX}0.op.weight"))
    inputs = first.shape[1] if first is not None and first.ndim == 4 else 0
    return Stack(entries, inputs, strided)


def _widths(state: State) -> dict[int, int]:
    """Channels that each numbered convolution puts out, from its bias or else its weight."""
    found: dict[int, int] = {}
    for key, value in state.items():
        name = re.fullmatch(r"feature_extractor\.(\d+)\.(?:op\.)?(weight|bias)", key)
        if name and value.ndim == (4 if name[2] == "weight" else 1):
            found.setdefault(int(name[1]), value.shape[0])
    return found


def _check_numbers(path: Path, numbers: list[int]) -> None:
    gaps = [after - before for before, after in pairwise(numbers)]
    if numbers[0] != 0 or any(gap > 2 for gap in gaps):
        raise TadsrError(
            f"{path}: {_PREFIX}* has convolutions at {', '.join(map(str, numbers))}; from 0 on, at "
            "most one number (an activation) may be left out between two: not a known layout"
        )


def _entries(widths: dict[int, int], strided: frozenset[int]) -> tuple[tuple[int, int, int], ...]:
    numbers = sorted(widths)
    entries: list[tuple[int, int, int]] = []
    for position, number in enumerate(numbers):
        stride = 2 if number in strided or not strided else 1
        if position + 1 < len(numbers):
            activated = numbers[position + 1] - number - 1
        else:
            activated = next((a for _, s, a in reversed(entries) if s == stride), 1)
        entries.append((widths[number], stride, activated))
    return tuple(entries)


def _overridden(
    path: Path, entries: tuple[tuple[int, int, int], ...], override: Sequence[Sequence[int]]
) -> tuple[tuple[int, int, int], ...]:
    """The override, if its convolutions have the channels and places of the file's."""
    given = [tuple(entry) if isinstance(entry, list | tuple) else (entry,) for entry in override]
    if any(len(entry) != 3 or not all(isinstance(n, int) for n in entry) for entry in given):
        raise ConfigError(
            f"lq_stack={override}: each entry is [channels, stride 1 or 2, SiLU 0 or 1]"
        )
    # Only strides and the last activation do not follow from keys and shapes.
    own = [(width, last or activated) for last, (width, _, activated) in _with_last(entries)]
    theirs = [(width, last or activated) for last, (width, _, activated) in _with_last(given)]
    if own != theirs:
        raise ConfigError(
            f"lq_stack={override} contradicts {path}, whose tensors say {list(map(list, entries))} "
            "(strides and the last activation are open)"
        )
    return tuple((int(width), int(stride), int(act)) for width, stride, act in given)


def _with_last(entries: Sequence[Any]) -> list[tuple[bool, Any]]:
    return [(i == len(entries) - 1, entry) for i, entry in enumerate(entries)]
