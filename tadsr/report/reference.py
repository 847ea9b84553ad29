"""Published numbers: read from `reports/reference`, checked, and never mixed with ours."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from tadsr.config import METRICS
from tadsr.config.data import DatasetSpec
from tadsr.config.presets import PRESETS
from tadsr.errors import TadsrError, nearest
from tadsr.plan.sources import REFERENCE

RESULTS = REFERENCE / "published_results.csv"
RUNTIME = REFERENCE / "published_runtime.csv"

SAME_IMAGES = {"realsr-lr": "realsr"}
"""Presets whose published numbers stand under another preset's name."""

RANGES = {"psnr": (0, 100), "ssim": (-1, 1), "lpips": (0, 2), "clipiqa": (0, 1), "musiq": (0, 100),
          "niqe": (0, 100), "fid": (0, 1000), "fid-ffhq": (0, 1000)}  # fmt: skip
"""What a value of a metric can be; of others, any finite number."""

_FIXED = ("dataset", "method", "nfe", "source")
_RUNTIME = ("method", "nfe", "seconds_per_image", "hardware", "lr_size", "params_m", "memory_mb",
            "source")  # fmt: skip


@dataclass(frozen=True)
class PublishedResult:
    """A method's published numbers on one test set."""

    dataset: str
    method: str
    nfe: int
    values: Mapping[str, str]
    """By metric id, digit for digit as published; without those that the source does not state."""
    source: str


@dataclass(frozen=True)
class PublishedRuntime:
    """A method's published run time: seconds, million parameters and MB as the source has them."""

    method: str
    nfe: int
    seconds: str
    hardware: str
    lr_size: str
    params_m: str
    memory_mb: str
    source: str


def preset_of(spec: DatasetSpec) -> str:
    """The preset under which published numbers of a test set stand; empty where it has none."""
    return SAME_IMAGES.get(spec.preset or "", spec.preset or "")


def published_results(preset: str, path: Path = RESULTS) -> tuple[PublishedResult, ...]:
    """The published rows of one preset, in the order of the file."""
    return tuple(row for row in _results(path) if row.dataset.lower() == preset)


@lru_cache(maxsize=4)
def _results(path: Path) -> tuple[PublishedResult, ...]:
    header, lines = _read(path, _FIXED)
    metrics = [name for name in header if name not in _FIXED]
    for name in metrics:
        if name not in METRICS:
            raise TadsrError(
                f"{path}: column '{name}' is no metric: {nearest(name, list(METRICS))}"
            )
    found = []
    for place, line in lines:
        if line["dataset"].lower() not in PRESETS:
            raise TadsrError(
                f"{place}: no preset is named '{line['dataset']}', so the row could never be "
                f"shown: {nearest(line['dataset'].lower(), list(PRESETS))}"
            )
        values = {name: line[name] for name in metrics if line[name]}
        for name, text in values.items():
            _number(place, name, text, *RANGES.get(name, (-math.inf, math.inf)))
        if not values:
            raise TadsrError(f"{place}: no value of any metric; fill one in, or take the row out")
        found.append(PublishedResult(line["dataset"], line["method"], _passes(place, line["nfe"]),
                                     values, line["source"]))  # fmt: skip
    return tuple(found)


def published_runtime(path: Path = RUNTIME) -> tuple[PublishedRuntime, ...]:
    """The published run times, in the order of the file."""
    _, lines = _read(path, _RUNTIME)
    found = []
    for place, line in lines:
        for name in ("seconds_per_image", "params_m", "memory_mb"):
            if line[name]:
                _number(place, name, line[name], 0, math.inf)
        found.append(PublishedRuntime(
            line["method"], _passes(place, line["nfe"]), line["seconds_per_image"],
            line["hardware"], line["lr_size"], line["params_m"], line["memory_mb"], line["source"],
        ))  # fmt: skip
    return tuple(found)


def _read(
    path: Path, wanted: tuple[str, ...]
) -> tuple[list[str], list[tuple[str, dict[str, str]]]]:
    """The header, and (file and line, values by column) of each row; all of `wanted` are there."""
    if not path.is_file():
        raise TadsrError(f"{path}: missing; it belongs to tadsr, get it back from the repository")
    with path.open(encoding="utf-8", newline="") as stream:
        reader = csv.reader(stream)
        header = next(reader, [])
        rows = [(f"{path}:{reader.line_num}", row) for row in reader if row]
    for name in wanted:
        if name not in header:
            raise TadsrError(f"{path}: no column '{name}'; columns: {', '.join(header) or 'none'}")
    return header, list(_lines(header, rows))


def _lines(
    header: list[str], rows: list[tuple[str, list[str]]]
) -> Iterator[tuple[str, dict[str, str]]]:
    seen: dict[tuple[str, ...], str] = {}
    for place, row in rows:
        if len(row) != len(header):
            raise TadsrError(
                f"{place}: {len(row)} fields, the header has {len(header)} columns; a text with a "
                "comma stands in double quotes"
            )
        line = dict(zip(header, (field.strip() for field in row), strict=True))
        for name in ("method", "source"):
            if not line[name]:
                raise TadsrError(f"{place}: '{name}' is empty; a number without it says nothing")
        names = ("dataset", "method", "nfe", "hardware", "lr_size", "source")
        key = tuple(line.get(name, "") for name in names)
        if key in seen:
            raise TadsrError(f"{place}: the same row as {seen[key]}; take one of them out")
        seen[key] = place
        yield place, line


def _number(place: str, name: str, text: str, low: float, high: float) -> None:
    try:
        value = float(text)
    except ValueError:
        raise TadsrError(f"{place}: {name} '{text}' is not a number") from None
    if not (math.isfinite(value) and low <= value <= high):
        raise TadsrError(f"{place}: {name} {text} is not within {low:g} to {high:g}")


def _passes(place: str, text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise TadsrError(f"{place}: nfe '{text}' is not a whole number from 1 on")
    return int(text)
