"""Reading the `grid:` of an experiment file and adding its cells to the variants."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import Any, NamedTuple, TypeVar

from pydantic import BaseModel

from tadsr.config.deltas import changed, flatten, refuse_other_roots
from tadsr.config.documents import Document, KeyPath
from tadsr.config.experiment import Variant
from tadsr.config.grid import (
    Level,
    NameTakenError,
    Point,
    included_points,
    join,
    product_points,
    same,
)
from tadsr.config.grid_names import label_of, slug
from tadsr.config.mistakes import explained, is_section, type_at, unknown_key
from tadsr.config.student import StudentSpec, TargetsSpec
from tadsr.errors import ConfigError, nearest

KEYS = ("axes", "exclude", "include")
MAX_POINTS = 10_000

Settings = TypeVar("Settings", bound=BaseModel)


class Written(NamedTuple):
    """A grid as it was written."""

    axes: dict[str, list[Level]]
    exclude: list[Document]
    include: list[Document]
    place: str


def add_grid(document: Document, deltas: dict[str, Document]) -> None:
    """Add the grid's cells to `document`'s variants, and its points to its grid.

    `deltas` are those of the named variants. Does nothing where there is no grid.
    """
    if document.values.get("grid") is None:
        return
    grid = read_grid(document)
    base = _section(document, "student", StudentSpec), _section(document, "targets", TargetsSpec)
    named = {}
    for name, delta in deltas.items():
        with explained(delta.file, {**document.origins, **delta.origins}):
            named[name] = _identity(base, delta.values)
    points = _points(grid, base)
    origins = {id(p): _origins(grid, p) for p in points}

    def identity(point: Point) -> str:
        try:
            with explained(grid.place, origins[id(point)]):
                return _identity(base, point.delta)
        except ConfigError as error:
            raise ConfigError(f"{error} (grid point '{point.name}')") from None

    try:
        joined = list(join(points, named, identity))
    except NameTakenError as error:
        raise ConfigError(
            f"{grid.place}: grid: a point with other settings would be called like variant "
            f"'{error}'; rename that variant"
        ) from None
    variants = document.values["variants"]
    listed = set(variants)
    for point, name in joined:
        added = {"description": point.description, "delta": dict(point.delta)}
        variants.setdefault(name, added)
    document.values["grid"] = {
        "axes": {key: {level.label: level.value for level in axis}
                 for key, axis in grid.axes.items()},
        "exclude": [entry.values for entry in grid.exclude],
        "include": [entry.values for entry in grid.include],
        "points": [{"variant": name, "levels": point.levels} for point, name in joined],
        "added": [name for name in variants if name not in listed],
    }  # fmt: skip


def _section(document: Document, name: str, kind: type[Settings]) -> Settings:
    """The base settings of a section, checked before what a grid changes in them."""
    with explained(document.file, document.origins):
        values = document.values.get(name, {})
        return kind.model_validate_json(json.dumps(values, default=str))


def _identity(base: tuple[StudentSpec, TargetsSpec], delta: Mapping[str, Any]) -> str:
    """Equal for equal students: losses of weight 0 do not count."""
    pinned = Variant(delta=dict(delta)).delta
    student, targets = changed(*base, pinned)
    settings = [student.normalised(), targets.model_dump(mode="json")]
    return json.dumps(settings, sort_keys=True)


def _points(grid: Written, base: tuple[StudentSpec, TargetsSpec]) -> list[Point]:
    sections = zip(("student", "targets"), base, strict=True)
    values = flatten(Document("", {n: s.model_dump(mode="json") for n, s in sections})).values
    exclude = [entry.values for entry in grid.exclude]
    points = product_points(grid.axes, exclude)
    include = [entry.values for entry in grid.include]
    points += included_points(grid.axes, include, values, [point.name for point in points])
    if not points:
        raise ConfigError(f"{grid.place}: grid: every point is excluded; leave one of them")
    return points


def _origins(grid: Written, point: Point) -> dict[KeyPath, str]:
    """Where each value of a point was written."""
    written = [entry.origins for entry in grid.include if entry.values is point.delta]
    if written:
        return written[0]
    return {
        tuple(key.split(".")): level.place
        for key, axis in grid.axes.items()
        for level in axis
        if level.label == point.levels[key]
    }


def read_grid(document: Document) -> Written:
    """The grid as written; ConfigError, one line, for what cannot be meant."""
    raw, place = document.values["grid"], document.origin(("grid",))
    if not isinstance(raw, dict):
        raise ConfigError(f"{place}: grid: expected a mapping with axes, got {raw!r}")
    for key in raw:
        if key not in KEYS:
            where = document.origin(("grid", key))
            raise ConfigError(f"{where}: grid: unknown key '{key}': {nearest(key, list(KEYS))}")
    axes = _axes(document, raw.get("axes"))
    exclude = _deltas(document, "exclude", raw.get("exclude", []))
    for entry in exclude:
        _check_exclude(entry, axes)
    include = _deltas(document, "include", raw.get("include", []))
    for entry in include:
        refuse_other_roots(entry, "an included point")
    return Written(axes, exclude, include, place)


def _axes(document: Document, raw: Any) -> dict[str, list[Level]]:
    place = document.origin(("grid", "axes"))
    if not isinstance(raw, dict) or not raw:
        raise ConfigError(f"{place}: grid.axes: expected at least one axis, a dotted key with a "
                          f"list of values; got {raw!r}")  # fmt: skip
    # Dotted or nested; what was set later, as by --set, replaces what stands above.
    found = dict(_dotted(raw, (), ()))
    flat = Document(place, dict.fromkeys(found),
                    {tuple(key.split(".")): document.origin(("grid", "axes", *source))
                     for key, (_, source) in found.items()})  # fmt: skip
    refuse_other_roots(flat, "an axis")
    axes = {key: _axis(document, key, value, ("grid", "axes", *source))
            for key, (value, source) in found.items()}  # fmt: skip
    count = math.prod(len(axis) for axis in axes.values())
    if count > MAX_POINTS:
        raise ConfigError(f"{place}: grid.axes: {count} points; at most {MAX_POINTS}")
    return axes


def _dotted(
    values: Mapping[str, Any], at: KeyPath, source: KeyPath
) -> list[tuple[str, tuple[Any, KeyPath]]]:
    """(dotted key, (levels, where it stands)); a mapping at a setting's key is its labels."""
    found = []
    for key, value in values.items():
        path, place = (*at, *key.split(".")), (*source, key)
        if isinstance(value, Mapping) and is_section(path):
            found += _dotted(value, path, place)
        else:
            found.append((".".join(path), (value, place)))
    return found


def _axis(document: Document, key: str, raw: Any, at: KeyPath) -> list[Level]:
    place, path = document.origin(at), tuple(key.split("."))
    if type_at(path) is None:
        known = next(n for n in range(1, len(path) + 1) if type_at(path[:n]) is None)
        raise ConfigError(f"{place}: grid.axes: {key}: {unknown_key(path[:known])}")
    if is_section(path):
        raise ConfigError(f"{place}: grid.axes: {key} is a section; an axis is one setting")
    if isinstance(raw, dict):
        pairs = [(label, value, (*at, label)) for label, value in raw.items()]
    elif isinstance(raw, list):
        pairs = [(label_of(value), value, (*at, str(i))) for i, value in enumerate(raw)]
    else:
        raise ConfigError(f"{place}: grid.axes: {key}: expected a list of values, or label: value "
                          f"for each; got {raw!r}")  # fmt: skip
    levels = [Level(label, value, document.origin(source)) for label, value, source in pairs]
    if len(levels) < 2:
        raise ConfigError(f"{place}: grid.axes: {key}: an axis needs two values or more, got "
                          f"{raw!r}; set what does not vary below student or targets")  # fmt: skip
    for index, level in enumerate(levels):
        _check_level(key, level, levels[:index], labelled=isinstance(raw, dict))
    return levels


def _check_level(key: str, level: Level, before: list[Level], *, labelled: bool) -> None:
    where = f"{level.place}: grid.axes: {key}"
    if labelled and not re.fullmatch(r"[a-z0-9][a-z0-9_-]*", level.label):
        raise ConfigError(f"{where}: label '{level.label}': use a-z, 0-9, _ and -")
    for other in before:
        if same(other.value, level.value):
            raise ConfigError(f"{where}: duplicate value {label_of(level.value)}")
        if slug(other.label) == slug(level.label):
            raise ConfigError(f"{where}: {other.label} and {level.label} make the same name; give "
                              "the values labels, {label: value, ...}")  # fmt: skip


def _deltas(document: Document, name: str, raw: Any) -> list[Document]:
    if not isinstance(raw, list):
        where = document.origin(("grid", name))
        raise ConfigError(f"{where}: grid.{name}: expected a list of mappings, got {raw!r}")
    found = []
    for index, entry in enumerate(raw):
        at = ("grid", name, str(index))
        if not isinstance(entry, dict) or not entry:
            raise ConfigError(f"{document.origin(at)}: grid.{name}: expected a mapping of dotted "
                              f"keys to values, got {entry!r}")  # fmt: skip
        found.append(flatten(document.at(at, entry)))
    return found


def _check_exclude(entry: Document, axes: Mapping[str, list[Level]]) -> None:
    """An exclude that matches nothing is a mistake."""
    for key, value in entry.values.items():
        where = f"{entry.origin(tuple(key.split('.')))}: grid.exclude"
        if key not in axes:
            raise ConfigError(f"{where}: '{key}' is no axis: {nearest(key, list(axes))}")
        if not any(same(level.value, value) for level in axes[key]):
            known = [label_of(level.value) for level in axes[key]]
            raise ConfigError(f"{where}: {key}: no point has the value {label_of(value)}: "
                              f"{nearest(label_of(value), known)}")  # fmt: skip
