"""Reading experiment files: YAML with positions, `extends`, variants, one-line errors."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from tadsr.config.documents import Document, KeyPath, Loader, construct, read_yaml
from tadsr.config.experiment import Experiment
from tadsr.config.mistakes import explain
from tadsr.errors import ConfigError, TadsrError, nearest

DELTA_ROOTS = ("student", "targets")
MAX_EXTENDS = 10


def load_experiment(path: Path | str, overrides: Sequence[str] = ()) -> Experiment:
    """See `Experiment.load`."""
    path = Path(path)
    if path.suffix == ".json":
        return _load_frozen(path, overrides)
    document = _read_with_extends(path)
    if not document.values:
        raise ConfigError(
            f"{path}: the file is empty; `tadsr schema --defaults` shows every setting"
        )
    _apply_overrides(document, overrides)
    variants = _collect_variants(document, path.parent)
    document.values["variants"] = {
        name: {"description": text, "delta": variant.values}
        for name, (text, variant) in variants.items()
    }
    experiment = _validate(document)
    _check_variants(experiment, document, {name: v for name, (_, v) in variants.items()})
    return experiment


def apply_delta(base: Mapping[str, Any], delta: Mapping[str, Any]) -> dict[str, Any]:
    """A deep copy of `base` with each dotted key of `delta` set."""
    result: dict[str, Any] = copy.deepcopy(dict(base))
    for key, value in delta.items():
        _set(result, tuple(key.split(".")), value)
    return result


def freeze(experiment: Experiment) -> dict[str, Any]:
    """The JSON form that `load_experiment` reads back without any other file."""
    return experiment.model_dump(mode="json")


def _load_frozen(path: Path, overrides: Sequence[str]) -> Experiment:
    from tadsr.files import read_json

    if not path.is_file():
        raise ConfigError(f"{path}: no such experiment file; run `tadsr run` first")
    try:
        values = read_json(path)
    except TadsrError as error:
        raise ConfigError(str(error)) from error
    if not isinstance(values, dict):
        raise ConfigError(f"{path}: expected an object of settings; run `tadsr run` with the YAML")
    document = Document(str(path), values)
    _apply_overrides(document, overrides)
    experiment = _validate(document)
    _check_variants(experiment, document, dict.fromkeys(experiment.variants, document))
    return experiment


def _read_with_extends(path: Path, depth: int = 0) -> Document:
    document = read_yaml(path)
    parent = document.values.pop("extends", None)
    if parent is None:
        return document
    if depth >= MAX_EXTENDS:
        raise ConfigError(f"{path}: 'extends' goes in a circle, or more than {MAX_EXTENDS} deep")
    if not isinstance(parent, str):
        raise ConfigError(f"{path}: extends: {parent!r} is not a file name")
    base = _read_with_extends(path.parent / parent, depth + 1)
    _merge(base.values, document.values)
    return Document(document.file, base.values, {**base.origins, **document.origins})


def _merge(base: dict[str, Any], top: Mapping[str, Any]) -> None:
    for key, value in top.items():
        if isinstance(value, Mapping) and isinstance(base.get(key), dict):
            _merge(base[key], value)
        else:
            base[key] = value


def _apply_overrides(document: Document, overrides: Sequence[str]) -> None:
    for override in overrides:
        key, sign, text = override.partition("=")
        if not sign or not key.strip():
            raise ConfigError(f"--set {override}: expected key=value, such as student.ema=0.99")
        try:
            node = yaml.compose(text, Loader=Loader)
            value = None if node is None else construct(node, (), Document(f"--set {override}"))
        except (yaml.YAMLError, RecursionError) as error:
            raise ConfigError(f"--set {override}: the value is not valid YAML") from error
        path = tuple(key.strip().split("."))
        _refuse_list_parts(document, path, override)
        _set(document.values, path, value)
        below = [p for p in document.origins if p[: len(path)] == path]
        for stale in below:
            del document.origins[stale]
        document.origins[path] = f"--set {override}"


def _refuse_list_parts(document: Document, path: KeyPath, override: str) -> None:
    """A part of a list cannot be set: it would silently replace the list."""
    values: Any = document.values
    for depth, part in enumerate(path[:-1], start=1):
        values = values.get(part) if isinstance(values, dict) else None
        if isinstance(values, list):
            name = ".".join(path[:depth])
            raise ConfigError(f"--set {override}: {name} is a list; set all of it, {name}=[...]")


def _set(values: dict[str, Any], path: KeyPath, value: Any) -> None:
    for part in path[:-1]:
        below = values.get(part)
        if not isinstance(below, dict):
            below = values[part] = {}
        values = below
    values[path[-1]] = value


def _collect_variants(document: Document, folder: Path) -> dict[str, tuple[str, Document]]:
    """Name -> (description, delta document), from a list of names or an inline mapping."""
    raw = document.values.get("variants", ["full"])
    where = document.origins.get(("variants",), document.file)
    if isinstance(raw, dict):
        return {
            name: _split_variant(_inline_variant(document, name, body))
            for name, body in raw.items()
        }
    if not isinstance(raw, list) or not all(isinstance(name, str) for name in raw):
        raise ConfigError(f"{where}: variants: expected a list of names, got {raw!r}")
    result: dict[str, tuple[str, Document]] = {}
    for index, name in enumerate(raw):
        at = document.origins.get(("variants", str(index)), where)
        if name in result:
            raise ConfigError(f"{at}: variants: duplicate variant '{name}'")
        file = folder / "variants" / f"{name}.yaml"
        if not re.fullmatch(r"[a-z0-9][a-z0-9_-]*", name) or not file.is_file():
            known = [p.stem for p in (folder / "variants").glob("*.yaml")]
            raise ConfigError(
                f"{at}: variants: unknown variant '{name}': {nearest(name, known)}"
                f" (each is a file in {folder / 'variants'})"
            )
        result[name] = _split_variant(_flatten(read_yaml(file)))
    return result


def _inline_variant(document: Document, name: str, body: Any) -> Document:
    if body is None:  # `full:` alone is the base as it stands
        body = {}
    if not isinstance(body, dict):
        raise ConfigError(f"{document.file}: variants.{name}: expected a mapping, got {body!r}")
    inner = Document(document.file, body)
    prefix = ("variants", name)
    inner.origins = {
        path[2:]: place for path, place in document.origins.items() if path[:2] == prefix
    }
    return _flatten(inner)


def _flatten(document: Document) -> Document:
    """Nested mappings become dotted keys, so that both spellings mean the same."""
    flat = Document(document.file)

    def walk(values: Mapping[str, Any], at: KeyPath, source: KeyPath) -> None:
        for key, value in values.items():
            path, place = (*at, *key.split(".")), (*source, key)
            if isinstance(value, Mapping) and value:
                walk(value, path, place)
            else:
                flat.values[".".join(path)] = value
                flat.origins[path] = document.origins.get(place, document.file)

    walk(document.values, (), ())
    return flat


def _split_variant(document: Document) -> tuple[str, Document]:
    description = document.values.pop("description", "")
    if not isinstance(description, str):
        where = document.origins[("description",)]
        raise ConfigError(f"{where}: description: expected text, got {description!r}")
    for key in document.values:
        root = key.split(".")[0]
        if root not in DELTA_ROOTS:
            where = document.origins[tuple(key.split("."))]
            raise ConfigError(
                f"{where}: {key}: a variant changes keys below student or targets only: "
                f"{nearest(root, list(DELTA_ROOTS))}"
            )
    return description, document


def _validate(document: Document) -> Experiment:
    try:
        return Experiment.model_validate_json(json.dumps(document.values, default=str))
    except ValidationError as error:
        raise ConfigError(explain(error, document.file, document.origins)) from None
    except ValueError as error:
        raise ConfigError(f"{document.file}: {error}") from error


def _check_variants(
    experiment: Experiment, document: Document, variants: Mapping[str, Document]
) -> None:
    """Validate each variant's cell, so that a typo in a delta names the variant file."""
    for name, variant in variants.items():
        try:
            experiment.cell(name, experiment.seeds[0])
        except ValidationError as error:
            root = "student" if error.title == "StudentSpec" else "targets"
            origins = {**document.origins, **variant.origins}
            raise ConfigError(explain(error, variant.file, origins, (root,))) from None
