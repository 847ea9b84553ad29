"""Deltas: dotted keys below `student` and `targets` with the values they get."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from typing import Any

from tadsr.config.documents import Document, KeyPath
from tadsr.config.student import StudentSpec, TargetsSpec
from tadsr.errors import ConfigError, nearest

Delta = dict[str, Any]
"""Dotted key to value."""

DELTA_ROOTS = ("student", "targets")


def set_at(values: dict[str, Any], path: KeyPath, value: Any) -> None:
    """Set the value at a path of nested mappings, making those that are not there."""
    for part in path[:-1]:
        below = values.get(part)
        if not isinstance(below, dict):
            below = values[part] = {}
        values = below
    values[path[-1]] = value


def apply_delta(base: Mapping[str, Any], delta: Delta) -> dict[str, Any]:
    """A deep copy of `base` with each dotted key of `delta` set."""
    result: dict[str, Any] = copy.deepcopy(dict(base))
    for key, value in delta.items():
        set_at(result, tuple(key.split(".")), value)
    return result


def changed(
    student: StudentSpec, targets: TargetsSpec, delta: Delta
) -> tuple[StudentSpec, TargetsSpec]:
    """The settings with `delta` applied; pydantic's ValidationError where they are not valid."""
    base = {"student": student.model_dump(mode="json"), "targets": targets.model_dump(mode="json")}
    settings = apply_delta(base, delta)
    return (
        StudentSpec.model_validate_json(json.dumps(settings["student"])),
        TargetsSpec.model_validate_json(json.dumps(settings["targets"])),
    )


def flatten(document: Document) -> Document:
    """Nested mappings become dotted keys, so that both spellings mean the same."""
    flat = Document(document.file)

    def walk(values: Mapping[str, Any], at: KeyPath, source: KeyPath) -> None:
        for key, value in values.items():
            path, place = (*at, *key.split(".")), (*source, key)
            if isinstance(value, Mapping) and value:
                walk(value, path, place)
            else:
                flat.values[".".join(path)] = value
                flat.origins[path] = document.origin(place)

    walk(document.values, (), ())
    return flat


def refuse_other_roots(delta: Document, what: str) -> None:
    """ConfigError for the first key of a flat document that a variant must not change."""
    for key in delta.values:
        root = key.split(".")[0]
        if root not in DELTA_ROOTS:
            raise ConfigError(
                f"{delta.origin(tuple(key.split('.')))}: {key}: {what} changes keys below student "
                f"or targets only: {nearest(root, list(DELTA_ROOTS))}"
            )
