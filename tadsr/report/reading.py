"""The records of a report, and how each is read from the files of an experiment."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from tadsr.compare import UNVERIFIED
from tadsr.compare.results import Comparison, Effect, Summary, from_frame
from tadsr.config import Experiment, MetricSpec
from tadsr.files import read_json
from tadsr.metrics.card import is_unverified
from tadsr.plan.recipes import pool_name, trained_runs
from tadsr.runs.curves import read_curves
from tadsr.runs.folder import read_card

NOT_MEASURED = "not measured"
"""In place of a verdict where a declared comparison has no number."""

Series = tuple[tuple[float, float], ...]
"""A curve: (images seen, value) pairs in the order of training."""


@dataclass(frozen=True)
class Mean:
    """A metric's mean over images (and seeds) with its 95 % interval over seeds, if any."""

    mean: float
    low: float | None
    high: float | None
    n_seeds: int
    n_images: int

    @property
    def half_width(self) -> float | None:
        """Half of the interval, the number after `±`; None without an interval."""
        return None if self.low is None or self.high is None else (self.high - self.low) / 2


@dataclass(frozen=True)
class CellRun:
    """What became of one cell of the grid (variant × seed)."""

    variant: str
    seed: int
    status: str
    message: str
    seconds: float | None
    results: Mapping[str, float]

    @property
    def name(self) -> str:
        """`<variant>/seed-<n>`."""
        return f"{self.variant}/seed-{self.seed}"


@dataclass(frozen=True)
class Dataset:
    """A test set as the report sees it."""

    name: str
    has_reference: bool
    n_images: int


def read_parquet(path: Path) -> pd.DataFrame | None:
    """A parquet file as a frame, or None where it is missing."""
    return pd.read_parquet(path) if path.is_file() else None


def read_optional(path: Path, default: Any) -> Any:
    """A JSON file's content, or `default` where it is missing."""
    return read_json(path) if path.is_file() else default


def marked(spec: MetricSpec, cards: Mapping[str, Any]) -> MetricSpec:
    """The spec, its title saying if the weights are unverified."""
    if not is_unverified(cards.get(spec.id, {})):
        return spec
    return spec.model_copy(update={"title": f"{spec.title} ({UNVERIFIED})"})


def finite(value: Any) -> float | None:
    """A finite float, or None for what a table writes as a gap (None, NaN, infinite)."""
    if value is None or isinstance(value, str):
        return None
    return float(value) if math.isfinite(float(value)) else None


def read_means(path: Path) -> dict[tuple[str, str, str], Mean]:
    """`comparison/means.parquet` by (data set, upscaler or variant, metric)."""
    frame = read_parquet(path)
    found: dict[tuple[str, str, str], Mean] = {}
    for row in [] if frame is None else frame.to_dict("records"):
        mean = finite(row["mean"])
        if mean is not None:
            found[row["dataset"], row["variant"], row["metric"]] = Mean(
                mean, finite(row["low"]), finite(row["high"]),
                int(row["n_seeds"]), int(row["n_images"]),
            )  # fmt: skip
    return found


def read_summaries(path: Path) -> tuple[Summary, ...]:
    """`comparison/means.parquet` as it was written."""
    frame = read_parquet(path)
    return () if frame is None else tuple(from_frame(frame, Summary))


def read_comparisons(experiment: Experiment, path: Path) -> tuple[Comparison, ...]:
    """`comparison/comparisons.parquet` without the baselines, in the experiment's order.

    Primary endpoints come first.
    """
    frame = read_parquet(path)
    found = [] if frame is None else from_frame(frame, Comparison)
    students = [_named(comparison) for comparison in found
                if comparison.variant in experiment.variants]  # fmt: skip
    variants = list(experiment.variants)
    return tuple(sorted(students, key=lambda c: (
        not c.primary, *_position(experiment, c), variants.index(c.variant)
    )))  # fmt: skip


def read_effects(experiment: Experiment, path: Path) -> tuple[Effect, ...]:
    """`comparison/effects.parquet` in the experiment's order, declared endpoints first."""
    frame = read_parquet(path) if experiment.grid else None
    found = [] if frame is None else from_frame(frame, Effect)
    declared = {(endpoint.dataset, endpoint.metric) for endpoint in experiment.primary}
    return tuple(sorted(found, key=lambda e: (
        (e.dataset, e.metric) not in declared, *_position(experiment, e)
    )))  # fmt: skip


def _position(experiment: Experiment, record: Comparison | Effect) -> tuple[int, int]:
    """Where a record's data set and metric stand in the experiment."""
    orders = list(experiment.data.test), [spec.id for spec in experiment.metrics()]
    place = record.dataset, record.metric
    dataset, metric = (
        names.index(name) if name in names else len(names)
        for names, name in zip(orders, place, strict=True)
    )
    return dataset, metric


def _named(comparison: Comparison) -> Comparison:
    """A declared comparison without any number is no question of power."""
    if comparison.primary and comparison.delta is None:
        return replace(comparison, verdict=NOT_MEASURED)
    return comparison


def read_cells(experiment: Experiment, path: Path) -> tuple[CellRun, ...]:
    """One entry per cell of the experiment; a cell the file does not know is `missing`."""
    known = {(entry["variant"], int(entry["seed"])): entry for entry in read_optional(path, [])}
    cells = []
    for variant in experiment.variants:
        for seed in experiment.seeds:
            entry = known.get((variant, seed), {})
            results = {k: finite(v) for k, v in (entry.get("results") or {}).items()}
            cells.append(
                CellRun(
                    variant,
                    seed,
                    status=entry.get("status", "missing"),
                    message=entry.get("message") or "",
                    seconds=finite(entry.get("seconds")),
                    results={k: v for k, v in results.items() if v is not None},
                )
            )
    return tuple(cells)


def read_datasets(experiment: Experiment, scores: pd.DataFrame | None) -> Iterator[Dataset]:
    """The test sets in the experiment's order, with the number of images that were scored."""
    for name, spec in experiment.data.test.items():
        images = 0
        if scores is not None:
            # A metric of the whole set has a row without an image's name.
            named = scores[(scores["dataset"] == name) & (scores["image"] != "")]
            images = int(named["image"].nunique())
        yield Dataset(name, has_reference=spec.kind != "lr_only", n_images=images)


def seed_means_of(
    scores: pd.DataFrame | None, variants: tuple[str, ...]
) -> dict[tuple[str, int, str, str], float]:
    """Means over images by (variant, seed, data set, metric)."""
    if scores is None:
        return {}
    students = scores[scores["variant"].isin(variants)]
    keys = ["variant", "seed", "dataset", "metric"]
    grouped = students.groupby(keys, as_index=False)["value"].mean()
    return {
        (row["variant"], int(row["seed"]), row["dataset"], row["metric"]): float(row["value"])
        for row in pd.DataFrame(grouped).to_dict("records")
    }


def curves_of(path: Path) -> dict[str, Series]:
    """Every finite scalar of a metrics.jsonl, by name."""
    series: dict[str, list[tuple[float, float]]] = {}
    for line in read_curves(path):
        for name, value in line.items():
            number = finite(value)
            if name != "images" and number is not None:
                series.setdefault(name, []).append((float(line["images"]), number))
    return {name: tuple(points) for name, points in sorted(series.items())}


def read_run_cards(experiment: Experiment, root: Path) -> dict[str, dict[str, Any]]:
    """Run cards by their folder's name below the results folder.

    Of the experiment as it stands: variants, seeds and pools that were taken out stay on disk.
    """
    cards = {name: read_card(root / name) for name in trained_runs(experiment)}
    return {name: card for name, card in cards.items() if card is not None}


def read_spectrum(experiment: Experiment, root: Path) -> dict[str, Any]:
    """The spectra that lie with the reference variant's targets (of the first seed); {} if none."""
    if experiment.reference not in experiment.variants:
        return {}
    targets = experiment.cell(experiment.reference, experiment.seeds[0]).targets
    path = root / "targets" / pool_name(experiment, targets) / "spectrum.json"
    found: dict[str, Any] = read_optional(path, {})
    return found
