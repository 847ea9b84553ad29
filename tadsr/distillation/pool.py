"""Reading a target pool in the order in which a seed sees it."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from tadsr import seeds
from tadsr.errors import CorruptionError, DataError
from tadsr.training.state import load_tensors

KEYS = ("lq", "z_y", "z_0", "x_T", "z_tch")
VAL_FILE = "val.safetensors"
TRAIN_PATTERN = "train-*.safetensors"


def shard_file(number: int) -> str:
    """Name of a shard of training pairs."""
    return f"train-{number:05d}.safetensors"


class Pool:
    """A pool on disk; pages are read as they are asked for.

    The order of the pairs depends on the seed alone: a permutation per epoch, shared by all
    variants of that seed.
    """

    def __init__(self, folder: Path | str) -> None:
        self.folder = Path(folder)
        paths = sorted(self.folder.glob(TRAIN_PATTERN))
        if not paths:
            raise DataError(f"{self.folder}: no stored targets; make them first (tadsr targets)")
        self._shards = [_open(path) for path in paths]
        self._places = [
            (shard, row)
            for shard, file in enumerate(self._shards)
            for row in range(file.get_slice(KEYS[0]).get_shape()[0])
        ]

    def __len__(self) -> int:
        """Number of stored training pairs: the length of an epoch."""
        return len(self._places)

    def batch(self, seed: int, start: int, count: int) -> dict[str, Tensor]:
        """The pairs `start` to `start + count` of the seed's order, (count, ...) for each key."""
        return self.pairs(self.order(seed, start, count))

    def order(self, seed: int, start: int, count: int) -> list[int]:
        """Numbers of the pairs that the seed sees at positions `start` to `start + count`."""
        positions = (divmod(position, len(self)) for position in range(start, start + count))
        return [_permutation(seed, epoch, len(self))[place] for epoch, place in positions]

    def pairs(self, numbers: list[int]) -> dict[str, Tensor]:
        """Pairs by number, (len(numbers), ...) for each key."""
        places = [self._places[number] for number in numbers]
        return {
            key: torch.cat([self._shards[s].get_slice(key)[row : row + 1] for s, row in places])
            for key in KEYS
        }

    def validation(self) -> dict[str, Tensor]:
        """All pairs from validation images."""
        tensors, _ = load_tensors(self.folder / VAL_FILE)
        return tensors


@lru_cache(maxsize=4)
def _permutation(seed: int, epoch: int, count: int) -> list[int]:
    generator = seeds.torch_generator(seed, "data order", epoch)
    order: list[int] = torch.randperm(count, generator=generator).tolist()
    return order


def _open(path: Path) -> Any:
    try:
        return safe_open(path, framework="pt")
    except SafetensorError as error:
        raise CorruptionError(
            f"{path}: not readable ({error}); delete it and make the targets again"
        ) from error
