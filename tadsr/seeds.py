"""Randomness as a pure function of (seed, axis, position).

No generator state is ever saved: what is drawn for image number 4 800 of a training depends on
the seed, the name of the axis (data order, noise, initial weights, ...) and 4 800 alone. So an
interrupted run continues exactly, and variants of one seed share data order and noise.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import torch


def derive(seed: int, *axis: str | int) -> int:
    """A 63-bit seed for (seed, axis...), by sha256; independent streams for different axes."""
    text = "\x1f".join(str(part) for part in (seed, *axis))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def numpy_generator(seed: int, *axis: str | int) -> np.random.Generator:
    """A numpy generator for (seed, axis...)."""
    import numpy as np

    return np.random.default_rng(derive(seed, *axis))


def torch_generator(seed: int, *axis: str | int) -> torch.Generator:
    """A CPU torch generator for (seed, axis...): the same numbers on every device."""
    import torch

    return torch.Generator().manual_seed(derive(seed, *axis))
