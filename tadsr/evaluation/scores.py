"""The only reader and writer of score files, and how they are gathered. Free of torch.

A score file is a parquet table `image, metric, value` in long form. The schema metadata `tadsr`
holds JSON: what was scored (`upscaler`, `dataset`, and their contents), the metric cards, why
metrics are missing, and which images were skipped. Equal content gives equal bytes.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from tadsr.config.models import split_upscaler
from tadsr.errors import CorruptionError, DataError, TadsrError
from tadsr.files import atomic_path, canonical_json, is_plain_name

if TYPE_CHECKING:
    import pandas as pd

KEY = b"tadsr"
COLUMNS = ("image", "metric", "value")

_SECTIONS = ("cards", "missing", "skipped", "failed")


class Gathered(NamedTuple):
    """The scores of an experiment."""

    frame: pd.DataFrame
    """Columns `variant, seed (Int64), dataset, image, metric, value`; seed NA: no training seed."""
    cards: dict[str, dict[str, Any]]
    """Metric to card; one identity per metric."""
    missing: dict[str, str]
    """Metric to `reason; command`, of each that has no value in any file."""


def write_scores(path: Path | str, frame: pd.DataFrame, meta: dict[str, Any]) -> None:
    """Write a score file in one step; rows are sorted by metric and image.

    Raises:
        DataError: a value that is not finite, or an (image, metric) that is there twice.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    if tuple(frame.columns) != COLUMNS:
        raise ValueError(f"expected columns {COLUMNS}, got {tuple(frame.columns)}")
    values = frame["value"].to_numpy(dtype=np.float64)
    if not np.isfinite(values).all():
        row = frame.iloc[int(np.flatnonzero(~np.isfinite(values))[0])]
        raise DataError(f"{path}: {row['metric']} of image '{row['image']}' is not finite")
    if frame.duplicated(["image", "metric"]).any():
        row = frame[frame.duplicated(["image", "metric"])].iloc[0]
        raise DataError(f"{path}: {row['metric']} of image '{row['image']}' is there twice")
    ordered = frame.sort_values(["metric", "image"], kind="stable")
    full = {**{section: {} for section in _SECTIONS}, **meta}
    schema = pa.schema(
        [("image", pa.string()), ("metric", pa.string()), ("value", pa.float64())],
        metadata={KEY: canonical_json(full).encode()},
    )
    table = pa.table({name: ordered[name].tolist() for name in COLUMNS}, schema=schema)
    with atomic_path(path) as temporary:
        pq.write_table(table, temporary, compression="zstd")


def read_scores(path: Path | str) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Read a score file: (frame with columns image, metric, value; metadata).

    Raises:
        CorruptionError: not a score file, or a damaged one.
    """
    import pandas as pd
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        # Not as a data set: a folder's name that looks like key=value is no column.
        table = pq.ParquetFile(path).read()
        meta: dict[str, Any] = dict(json.loads((table.schema.metadata or {})[KEY]))
        values = {name: table.column(name).to_pylist() for name in COLUMNS}
    except (pa.ArrowException, OSError, KeyError, ValueError, TypeError) as error:
        reason = " ".join(str(error).split())[:120]
        raise CorruptionError(
            f"{path}: not a usable score file ({reason}); delete it and run `tadsr evaluate` again"
        ) from error
    if not all(map(is_plain_name, {*values["image"], *meta.get("pixels", ())})):
        raise CorruptionError(f"{path}: names images that could lie in other folders; delete it")
    frame = pd.DataFrame(values, columns=list(COLUMNS)).astype({"value": "float64"})
    return frame, meta


def gather(
    root: Path | str,
    datasets: Sequence[str],
    upscalers: Iterable[str] | None = None,
    *,
    accept: Callable[[dict[str, Any]], bool] = lambda meta: True,
) -> Gathered:
    """All scores below `<root>/evaluations` of the given data sets (and upscalers).

    A student lies in `<variant>/seed-<n>`; any other upscaler is a variant without a seed.
    Files that do not exist are left out, and those whose metadata `accept` refuses.

    Raises:
        TadsrError: cards of one metric differ in identity, or one data set in content; such
            numbers must not stand in one column.
    """
    import pandas as pd

    from tadsr.metrics.card import MetricCard

    parts = []
    cards: dict[str, tuple[dict[str, Any], Path]] = {}
    contents: dict[str, tuple[str, Path]] = {}
    reasons: dict[str, list[str]] = {}
    for upscaler, dataset, path in _score_files(Path(root) / "evaluations", datasets, upscalers):
        frame, meta = read_scores(path)
        if not accept(meta):
            continue
        _check_content(contents, dataset, meta.get("dataset_content", ""), path)
        for metric, card in meta["cards"].items():
            _check_card(cards, metric, card, path)
        for metric, reason in meta["missing"].items():
            reasons.setdefault(metric, []).append(reason)
        variant, seed = split_upscaler(upscaler)
        parts.append(frame.assign(variant=variant, seed=seed, dataset=dataset))
    columns = ["variant", "seed", "dataset", "image", "metric", "value"]
    whole = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=columns)
    whole = whole[columns].astype({"seed": "Int64", "value": "float64"})
    missing = {
        metric: min(found, key=lambda reason: reason.startswith("not applicable"))
        for metric, found in reasons.items()
        if metric not in cards
    }
    complete = {name: MetricCard.from_dict(card).to_dict() for name, (card, _) in cards.items()}
    return Gathered(whole, complete, missing)


def _score_files(
    folder: Path, datasets: Sequence[str], upscalers: Iterable[str] | None
) -> Iterator[tuple[str, str, Path]]:
    """(upscaler, data set, path) in a fixed order."""
    if upscalers is None:
        found = {p.parent.relative_to(folder).as_posix() for p in folder.rglob("*.parquet")}
        upscalers = sorted(found, key=lambda name: (name.partition("/")[0], len(name), name))
    for upscaler in upscalers:
        for dataset in datasets:
            path = folder / upscaler / f"{dataset}.parquet"
            if path.is_file():
                yield upscaler, dataset, path


def _check_content(
    contents: dict[str, tuple[str, Path]], dataset: str, content: str, path: Path
) -> None:
    first, where = contents.setdefault(dataset, (content, path))
    if first != content:
        raise TadsrError(
            f"{path} and {where} were made from different images of '{dataset}'; "
            "run `tadsr evaluate` again"
        )


def _check_card(
    cards: dict[str, tuple[dict[str, Any], Path]], metric: str, card: dict[str, Any], path: Path
) -> None:
    from tadsr.metrics.card import MetricCard, is_unverified, same_identity

    first, where = cards.setdefault(metric, (card, path))
    difference = same_identity(MetricCard.from_dict(first), MetricCard.from_dict(card))
    if difference:
        raise TadsrError(
            f"{path} and {where} cannot stand in one table: {difference}; "
            "run `tadsr evaluate` again for both in one environment"
        )
    if is_unverified(card):  # then the column is, whatever the other files say of it
        cards[metric] = card, path
