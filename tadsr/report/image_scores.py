"""The scores of single images, millions of them in a large experiment."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, cast

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Key = tuple[str, int, str, str, str]
"""(upscaler or variant, seed, data set, image, metric); seed -1 for baselines."""


class ImageScores(Mapping[Key, float]):
    """Scores by `Key`, kept in arrays: a dictionary of seven million of them takes 3 GiB."""

    def __init__(self, frame: pd.DataFrame | None) -> None:
        """`frame` has the columns variant, seed (NA for baselines), dataset, image, metric, value;
        each key once, every value finite."""
        self._places: dict[str, dict[str, int]] = {}
        """By data set, then by image: where it stands in the arrays."""
        self._runs: dict[tuple[str, int], dict[tuple[str, str], NDArray[np.float64]]] = {}
        """By (variant, seed), then by (data set, metric): one value per image, NaN for none."""
        if frame is not None:
            for dataset, part in frame.groupby("dataset", sort=False):
                self._add(str(dataset), part)

    def _add(self, dataset: str, frame: pd.DataFrame) -> None:
        codes, images = pd.factorize(frame["image"])
        self._places[dataset] = {str(image): place for place, image in enumerate(images)}
        keys = [frame["variant"], frame["seed"].fillna(-1).astype("int64"), frame["metric"]]
        values = frame["value"].to_numpy(dtype=np.float64)
        for key, rows in frame.groupby(keys, sort=False).indices.items():
            variant, seed, metric = cast(tuple[Any, Any, Any], key)
            array = np.full(len(images), np.nan)
            array[codes[rows]] = values[rows]
            run = self._runs.setdefault((str(variant), int(seed)), {})
            run[dataset, str(metric)] = array

    def __getitem__(self, key: Key) -> float:
        variant, seed, dataset, image, metric = key
        value = self._runs[variant, seed][dataset, metric][self._places[dataset][image]]
        if np.isnan(value):
            raise KeyError(key)
        return float(value)

    def __iter__(self) -> Iterator[Key]:
        for (variant, seed), arrays in self._runs.items():
            for (dataset, metric), array in arrays.items():
                for image, place in self._places[dataset].items():
                    if not np.isnan(array[place]):
                        yield variant, seed, dataset, image, metric

    def __len__(self) -> int:
        arrays = (array for run in self._runs.values() for array in run.values())
        return sum(int(np.isfinite(array).sum()) for array in arrays)

    def of_run(self, variant: str, seed: int) -> dict[tuple[str, str], dict[str, float]]:
        """By (data set, image) and then by metric, of one model. A metric of a whole set, which
        has no image's name, is left out."""
        found: dict[tuple[str, str], dict[str, float]] = {}
        for (dataset, metric), array in self._runs.get((variant, seed), {}).items():
            for image, place in self._places[dataset].items():
                if image and not np.isnan(array[place]):
                    found.setdefault((dataset, image), {})[metric] = float(array[place])
        return found
