"""Grids: the points that axes, `exclude` and `include` stand for, and the cells they become.

All here is a function of its arguments alone; files are read in `tadsr.config.grid_reading`.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, NamedTuple

from pydantic import Field

from tadsr.config.base import Config, Name
from tadsr.config.grid_names import Parts, label_of, name_points, short_keys, slug


class GridPoint(Config):
    """One point of a grid."""

    variant: Name
    """The variant that is trained for it; points with equal settings share one."""
    levels: dict[str, str]
    """Axis to the label of its level; empty where an included point changes other keys too."""


class GridSpec(Config):
    """Variants from the product of axes, for main effects and interactions."""

    axes: dict[str, dict[str, Any]]
    """Dotted key below student or targets to its levels: a list of values, or label: value. The
    first level is what the others are compared with."""
    exclude: tuple[dict[str, Any], ...] = ()
    """Points to leave out: all that have the given values on the given axes."""
    include: tuple[dict[str, Any], ...] = ()
    """Further points, each a delta as in a variant."""
    points: tuple[GridPoint, ...] = Field(default=())
    """Filled in when the experiment is read."""
    added: tuple[Name, ...] = Field(default=())
    """Variants that are there for points alone, and that nobody listed in `variants:`. They are
    exploratory at the declared endpoints too. Filled in when the experiment is read."""


class Level(NamedTuple):
    """A value of an axis."""

    label: str
    value: Any
    place: str = ""
    """Where it was written."""


Axes = Mapping[str, Sequence[Level]]


@dataclass(frozen=True)
class Point:
    """A point before it is a cell."""

    name: str
    levels: Mapping[str, str]
    delta: Mapping[str, Any]

    @property
    def description(self) -> str:
        """The full keys and values."""
        return "grid: " + ", ".join(f"{key} = {label_of(v)}" for key, v in self.delta.items())


class NameTakenError(Exception):
    """A point's name is that of a variant with other settings."""


def same(one: Any, other: Any) -> bool:
    """Whether two values mean the same: 1 and 1.0 do, 1 and true do not."""
    return bool(one == other) and isinstance(one, bool) == isinstance(other, bool)


def product_points(axes: Axes, exclude: Sequence[Mapping[str, Any]] = ()) -> list[Point]:
    """The product of the axes, the last one fastest, without what `exclude` matches."""
    short = short_keys(list(axes))
    rows = [row for row in product(*axes.values()) if not _matches(axes, row, exclude)]
    parts = [_parts(short, dict(zip(axes, row, strict=True))) for row in rows]
    names = name_points(parts)
    return [
        Point(
            names[part],
            {key: level.label for key, level in zip(axes, row, strict=True)},
            {key: level.value for key, level in zip(axes, row, strict=True)},
        )
        for row, part in zip(rows, parts, strict=True)
    ]


def _matches(axes: Axes, row: Sequence[Level], exclude: Sequence[Mapping[str, Any]]) -> bool:
    values = {key: level.value for key, level in zip(axes, row, strict=True)}
    return any(all(same(values[key], value) for key, value in e.items()) for e in exclude)


def _parts(short: Mapping[str, str], levels: Mapping[str, Level]) -> Parts:
    return tuple((short[key], slug(level.label)) for key, level in levels.items())


def included_points(
    axes: Axes,
    include: Sequence[Mapping[str, Any]],
    base: Mapping[str, Any],
    taken: Sequence[str] = (),
) -> list[Point]:
    """The points of `include`, named after the keys they change.

    `base` are the settings (dotted key to value) of what they leave alone. A value that no level
    of its axis has is a further level. `taken` are names that are given away.
    """
    keys = list(dict.fromkeys(key for delta in include for key in delta))
    # An axis is called the same in all names, whatever is included.
    short = {**short_keys(keys, among=axes), **short_keys(list(axes))}
    parts = [
        _parts(short, {k: _level(axes.get(k, ()), v) for k, v in delta.items()})
        for delta in include
    ]
    names = name_points(parts, taken)
    return [
        Point(names[part], _levels(axes, delta, base), delta)
        for delta, part in zip(include, parts, strict=True)
    ]


def _level(levels: Sequence[Level], value: Any) -> Level:
    found = (level for level in levels if same(level.value, value))
    return next(found, Level(label_of(value), value))


def _levels(axes: Axes, delta: Mapping[str, Any], base: Mapping[str, Any]) -> dict[str, str]:
    if set(delta) - set(axes):
        return {}
    values = {key: delta.get(key, base.get(key)) for key in axes}
    return {key: _level(axes[key], value).label for key, value in values.items()}


def join(
    points: Sequence[Point],
    named: Mapping[str, Hashable],
    identity: Callable[[Point], Hashable],
) -> Iterator[tuple[Point, str]]:
    """Each point with the variant that is trained for it.

    `named` are the identities (equal for equal students) of the variants that are there already:
    a point that is one of them takes its name. Of equal points the first one's name stands.
    """
    owners: dict[Hashable, str] = {}
    for name, key in named.items():
        owners.setdefault(key, name)
    for point in points:
        key = identity(point)
        if key not in owners and point.name in owners.values():
            raise NameTakenError(point.name)
        yield point, owners.setdefault(key, point.name)
