"""Scores in long form, checked once and laid out as (seed, image) arrays."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tadsr.compare.claims import Floats
from tadsr.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = ("variant", "seed", "dataset", "image", "metric", "value")
SEEDLESS = -1
"""Seed of an upscaler that has none (bicubic, a teacher); NA means the same."""

Codes = NDArray[np.int64]


@dataclass(frozen=True)
class Runs:
    """Scores of one variant in one block."""

    seeds: tuple[int, ...]
    """Ascending; `(SEEDLESS,)` for an upscaler without seeds."""
    values: Floats
    """(seeds, images), NaN where there is no score."""

    @property
    def seedless(self) -> bool:
        """Whether this is a fixed upscaler, which no seed varies."""
        return self.seeds == (SEEDLESS,)


@dataclass(frozen=True)
class Block:
    """All scores of one (dataset, metric)."""

    per_image: bool
    """False for a metric of the whole set (FID): one column of values, no image names."""
    runs: dict[str, Runs]


@dataclass(frozen=True)
class Scores:
    """Every block, and which seeds each variant was given."""

    blocks: dict[tuple[str, str], Block]
    """By (dataset, metric), in alphabetical order."""
    seeds: dict[str, frozenset[int]]
    """Variant to its seeds, diverged ones included; empty for an upscaler without seeds."""
    diverged: dict[str, frozenset[int]]

    def runs(self, endpoint: tuple[str, str], variant: str) -> Runs | None:
        """The scores of `variant` at (dataset, metric), or None if it has none there."""
        block = self.blocks.get(endpoint)
        return block.runs.get(variant) if block else None


def read_scores(
    frame: pd.DataFrame,
    diverged: Mapping[str, Collection[int]],
    declared: Mapping[str, Collection[int]] | None = None,
) -> Scores:
    """Check `frame` (columns `COLUMNS`, rows in any order) and lay it out.

    `diverged` maps a variant to the seeds whose training diverged; scores of such a seed are left
    out, because its last good state is not what the recipe asked for, but the seed is counted.
    `declared` maps a trained variant to the seeds it was to have, with or without a score.

    Raises DataError for a missing column, a name that is missing, a seed that is no whole number,
    a value that is not finite, a row that is there twice, a variant both with and without seeds,
    or a metric both per image and per set.
    """
    absent = [column for column in COLUMNS if column not in frame.columns]
    if absent:
        raise DataError(
            f"scores: no column '{absent[0]}'; a score frame has the columns {', '.join(COLUMNS)}"
        )
    keys = {
        name: _codes(frame, name, optional=name == "image")
        for name in ("dataset", "metric", "variant", "image")
    }
    seeds, values = _seeds(frame), _values(frame)
    names = {name: labels for name, (_, labels) in keys.items()}
    columns = [keys["dataset"][0], keys["metric"][0], keys["variant"][0], seeds, keys["image"][0]]
    order = np.lexsort(columns[::-1])
    columns = [column[order] for column in columns]
    _refuse_duplicates(columns, names)
    gone = {variant: frozenset(int(s) for s in some) for variant, some in diverged.items() if some}
    blocks = dict(_blocks(columns, values[order], names, gone))
    given = {variant: {*gone.get(variant, ()), *(declared or {}).get(variant, ())}
             for variant in {*gone, *(declared or {})}}  # fmt: skip
    return Scores(blocks, _seeds_of_variants(columns, names["variant"], given), gone)


def _codes(frame: pd.DataFrame, name: str, *, optional: bool) -> tuple[Codes, list[str]]:
    """Integer codes in the order of the sorted names; -1 for a missing or empty image."""
    import pandas as pd

    column = frame[name]
    if optional:
        column = column.astype(object).where(column.notna() & (column.astype(str) != ""), None)
    try:
        codes, labels = pd.factorize(column, sort=True)
    except TypeError as error:
        raise DataError(f"scores: column '{name}' mixes text and numbers; use text") from error
    if not optional and (codes < 0).any():
        row = int(np.flatnonzero(codes < 0)[0])
        raise DataError(f"scores: row {row} has no {name}; every row needs one")
    return codes.astype(np.int64), [str(label) for label in labels]


def _seeds(frame: pd.DataFrame) -> Codes:
    """Seeds as int64, `SEEDLESS` for NA."""
    import pandas as pd

    try:
        column: Any = pd.to_numeric(frame["seed"].where(frame["seed"].notna(), SEEDLESS))
        seeds: Codes = column.to_numpy().astype(np.int64)
        wrong = (seeds != column.to_numpy()) | (seeds < SEEDLESS)
    except (TypeError, ValueError) as error:
        raise DataError(
            f"scores: a seed is no whole number ({error}); use 0, 1, 2, ... or leave it empty"
        ) from error
    if wrong.any():
        value = column.to_numpy()[np.flatnonzero(wrong)[0]]
        raise DataError(f"scores: seed {value} is not valid; use 0, 1, 2, ... or leave it empty")
    return seeds


def _values(frame: pd.DataFrame) -> Floats:
    """Values as float64, all finite."""
    try:
        values: Floats = frame["value"].to_numpy(dtype=np.float64, na_value=np.nan)
    except (TypeError, ValueError) as error:
        raise DataError(f"scores: column 'value' is not numeric ({error})") from error
    wrong = np.flatnonzero(~np.isfinite(values))
    if len(wrong):
        row = frame.iloc[int(wrong[0])]
        raise DataError(
            f"scores: {row['metric']} of image '{row['image']}' in {row['dataset']} for "
            f"{row['variant']} seed {row['seed']} is {row['value']}; evaluate it again or "
            "leave the row out"
        )
    return values


def _starts(*columns: Codes) -> Codes:
    """Row numbers at which a new combination of the sorted `columns` begins."""
    if not len(columns[0]):
        return np.zeros(0, dtype=np.int64)
    change = np.ones(len(columns[0]), dtype=bool)
    change[1:] = np.logical_or.reduce([column[1:] != column[:-1] for column in columns])
    return np.flatnonzero(change)


def _refuse_duplicates(columns: list[Codes], names: dict[str, list[str]]) -> None:
    """Raise for the first row that repeats the one before it in every key."""
    starts = _starts(*columns)
    if len(starts) == len(columns[0]):
        return
    row = int(np.setdiff1d(np.arange(len(columns[0])), starts, assume_unique=True)[0])
    dataset, metric, variant, seed, image = (int(column[row]) for column in columns)
    raise DataError(
        f"scores: {names['metric'][metric]} of image "
        f"'{names['image'][image] if image >= 0 else ''}' in {names['dataset'][dataset]} for "
        f"{names['variant'][variant]} seed {seed} is there twice; keep one row of it"
    )


def _seeds_of_variants(
    columns: list[Codes], names: list[str], given: Mapping[str, Collection[int]]
) -> dict[str, frozenset[int]]:
    """Variant to all its seeds in any block, and those `given` without a score."""
    pairs = np.unique(np.stack([columns[2], columns[3]], axis=1), axis=0)
    found: dict[str, set[int]] = {name: set(seeds) for name, seeds in given.items()}
    for code, seed in pairs.tolist():
        found.setdefault(names[code], set()).add(seed)
    for variant, seeds in found.items():
        if SEEDLESS in seeds and len(seeds) > 1:
            raise DataError(
                f"scores: '{variant}' has rows with and without a seed; give all of them one"
            )
    return {name: frozenset(found[name] - {SEEDLESS}) for name in sorted(found)}


def _blocks(
    columns: list[Codes],
    values: Floats,
    names: dict[str, list[str]],
    diverged: dict[str, frozenset[int]],
) -> Iterator[tuple[tuple[str, str], Block]]:
    """One block per run of equal (dataset, metric) in the sorted rows."""
    ends = [*_starts(columns[0], columns[1]).tolist(), len(values)]
    for start, stop in pairwise(ends):
        dataset, metric, variant, seed, image = (column[start:stop] for column in columns)
        key = names["dataset"][dataset[0]], names["metric"][metric[0]]
        if image.min() < 0 <= image.max():
            raise DataError(
                f"scores: {key[1]} in {key[0]} has rows with and without an image name; "
                "a metric is either per image or per set"
            )
        cells = _starts(variant, seed)
        images, at = np.unique(image, return_inverse=True)
        table = np.full((len(cells), len(images)), np.nan)
        table[np.repeat(np.arange(len(cells)), np.diff([*cells, len(image)])), at] = values[
            start:stop
        ]
        cell_names = [names["variant"][code] for code in variant[cells]]
        runs = _runs(cell_names, seed[cells].tolist(), table, diverged)
        yield key, Block(per_image=bool(image[0] >= 0), runs=runs)


def _runs(
    variants: list[str], seeds: list[int], table: Floats, diverged: dict[str, frozenset[int]]
) -> dict[str, Runs]:
    """Rows of `table` (cells, images) by variant, without diverged seeds."""
    rows: dict[str, list[int]] = {}
    for row, (variant, seed) in enumerate(zip(variants, seeds, strict=True)):
        if seed not in diverged.get(variant, ()):
            rows.setdefault(variant, []).append(row)
    return {name: Runs(tuple(seeds[row] for row in at), table[at]) for name, at in rows.items()}
