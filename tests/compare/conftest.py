"""Score frames made from arrays."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd
import pytest


def _score_frame(
    blocks: Mapping[str, Any],
    dataset: str = "photos",
    metric: str = "lpips",
    seeds: list[int] | None = None,
) -> pd.DataFrame:
    """`blocks`: variant to an array (seeds, images), or (images,) for one without seeds."""
    rows = []
    for variant, block in blocks.items():
        table = np.asarray(block, dtype=float)
        numbers: list[Any] = [None] if table.ndim == 1 else seeds or list(range(len(table)))
        for seed, row in zip(numbers, np.atleast_2d(table), strict=True):
            for image, value in enumerate(row):
                rows.append((variant, seed, dataset, f"{image:04d}.png", metric, value))
    frame = pd.DataFrame(rows, columns=["variant", "seed", "dataset", "image", "metric", "value"])
    return frame.astype({"seed": "Int64"})


@pytest.fixture(scope="session")
def score_frame() -> Callable[..., pd.DataFrame]:
    return _score_frame
