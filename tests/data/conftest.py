"""Small pictures on disk."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from tadsr.data.images import write_png

Picture = Callable[..., NDArray[np.uint8]]


def _random_picture(height: int, width: int, seed: int = 0) -> NDArray[np.uint8]:
    """Smooth colour blobs with some texture: compressible, yet unlike at every place."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width] / 17.0
    phase = rng.uniform(0, 6, (3, 4))
    planes = [np.sin(x * p[0] + p[1]) + np.cos(y * p[2] + p[3] + x / 5) for p in phase]
    picture = np.stack(planes, axis=2) * 50 + 128 + rng.normal(0, 6, (height, width, 3))
    return np.clip(picture, 0, 255).astype(np.uint8)


@pytest.fixture(scope="session")
def picture() -> Picture:
    """A maker of pictures: (height, width, seed=0) to (H, W, 3) uint8."""
    return _random_picture


@pytest.fixture
def hr_folder(tmp_path: Path) -> Path:
    """Four HR pictures of different sizes."""
    folder = tmp_path / "pictures"
    for number, (height, width) in enumerate(((64, 80), (67, 49), (48, 48), (100, 61))):
        write_png(folder / f"p{number}.png", _random_picture(height, width, number))
    return folder
