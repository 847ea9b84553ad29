"""Reading a target pool in the order in which a seed sees it."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from tadsr import seeds
from tadsr.errors import CorruptionError, DataError
from tadsr.training.state import load_tensors

VAL_FILE = "val.safetensors"
TRAIN_PATTERN = "train-*.safetensors"


class TargetSource(Protocol):
    """Where a student's training pairs come from: stored, or computed when they are asked for."""

    def __len__(self) -> int:
        """Number of different training pairs: the length of an epoch."""
        ...

    def batch(self, seed: int, start: int, count: int) -> dict[str, Tensor]:
        """The pairs `start` to `start + count` of the seed's order, (count, ...) for each key."""
        ...

    def validation(self) -> dict[str, Tensor]:
        """All pairs from validation images."""
        ...


def shard_file(number: int) -> str:
    """Name of a shard of training pairs."""
    return f"train-{number:05d}.safetensors"


class Pool:
    """A pool on disk; pages are read as they are asked for, in the order of `pair_order`."""

    def __init__(self, folder: Path | str) -> None:
        self.folder = Path(folder)
        paths = sorted(self.folder.glob(TRAIN_PATTERN))
        if not paths:
            raise DataError(f"{self.folder}: no stored targets; make them first (tadsr targets)")
        self._shards = [_open(path) for path in paths]
        self._keys = sorted(self._shards[0].keys())
        self._places = [
            (shard, row)
            for shard, file in enumerate(self._shards)
            for row in range(file.get_slice(self._keys[0]).get_shape()[0])
        ]

    def __len__(self) -> int:
        """Number of stored training pairs: the length of an epoch."""
        return len(self._places)

    def batch(self, seed: int, start: int, count: int) -> dict[str, Tensor]:
        """The pairs `start` to `start + count` of the seed's order, (count, ...) for each key."""
        return self.pairs(pair_order(seed, start, count, len(self)))

    def pairs(self, numbers: list[int]) -> dict[str, Tensor]:
        """Pairs by number, (len(numbers), ...) for each key."""
        places = [self._places[number] for number in numbers]
        return {
            key: torch.cat([self._shards[s].get_slice(key)[row : row + 1] for s, row in places])
            for key in self._keys
        }

    def validation(self) -> dict[str, Tensor]:
        """All pairs from validation images."""
        return validation_pairs(self.folder)


def validation_pairs(folder: Path) -> dict[str, Tensor]:
    """The stored pairs from validation images, which every pool has."""
    tensors, _ = load_tensors(folder / VAL_FILE)
    return tensors


def pair_order(seed: int, start: int, count: int, pairs: int) -> list[int]:
    """Numbers, out of `pairs`, of those that a seed sees at positions `start` to `start + count`.

    A permutation per epoch that depends on the seed alone, so all variants of a seed share it.
    """
    positions = (divmod(position, pairs) for position in range(start, start + count))
    return [int(_permutation(seed, epoch, pairs)[place]) for epoch, place in positions]


@lru_cache(maxsize=4)
def _permutation(seed: int, epoch: int, count: int) -> Tensor:
    return torch.randperm(count, generator=seeds.torch_generator(seed, "data order", epoch))


def _open(path: Path) -> Any:
    try:
        return safe_open(path, framework="pt")
    except SafetensorError as error:
        raise CorruptionError(
            f"{path}: not readable ({error}); delete it and make the targets again"
        ) from error
