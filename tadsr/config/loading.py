"""Reading experiment files: YAML with positions, `extends`, overrides, one-line errors."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from tadsr.config.deltas import set_at
from tadsr.config.documents import Document, KeyPath, origin_of, read_setting, read_yaml
from tadsr.config.experiment import Experiment
from tadsr.config.grid_reading import add_grid
from tadsr.config.mistakes import explain, explained
from tadsr.config.sweep_reading import add_sweeps
from tadsr.config.variants import collect_variants
from tadsr.errors import ConfigError, TadsrError

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
    drafts = collect_variants(document, path.parent)
    document.values["variants"] = {
        name: {"description": draft.description, "delta": draft.delta.values}
        for name, draft in drafts.items()
    }
    deltas = {name: draft.delta for name, draft in drafts.items()}
    add_grid(document, deltas)
    add_sweeps(document, path.parent / "sweeps")
    experiment = _validate(document, deltas)
    _check_variants(experiment, document, deltas)
    return experiment


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
    for override in overrides:
        if re.match(r"\s*grid\b", override):
            raise ConfigError(f"--set {override}: {path} holds the grid's points; set it with the "
                              "YAML file")  # fmt: skip
    _apply_overrides(document, overrides)
    experiment = _validate(document, {})
    _check_variants(experiment, document, {})
    return experiment


def _read_with_extends(path: Path, depth: int = 0) -> Document:
    document = read_yaml(path)
    _place_metric_files(document, path.parent)
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


def _place_metric_files(document: Document, folder: Path) -> None:
    """Paths of metrics of one's own start from the file that names them."""
    evaluation = document.values.get("evaluation")
    metrics = evaluation.get("metrics") if isinstance(evaluation, dict) else None
    for metric in metrics if isinstance(metrics, list) else ():
        if isinstance(metric, dict) and isinstance(metric.get("file"), str):
            metric["file"] = os.path.normpath(folder / Path(metric["file"]).expanduser())


def _merge(base: dict[str, Any], top: Mapping[str, Any]) -> None:
    for key, value in top.items():
        if isinstance(value, Mapping) and isinstance(base.get(key), dict):
            _merge(base[key], value)
        else:
            base[key] = value


def _apply_overrides(document: Document, overrides: Sequence[str]) -> None:
    for override in overrides:
        key, value = read_setting(override, "student.training.ema=0.99")
        path = tuple(key.split("."))
        _refuse_parts(document, path, override)
        set_at(document.values, path, value)
        below = [p for p in document.origins if p[: len(path)] == path]
        for stale in below:
            del document.origins[stale]
        document.origins[path] = f"--set {override}"


def _refuse_parts(document: Document, path: KeyPath, override: str) -> None:
    """A part of a list or of a plain value cannot be set: it would silently replace the whole."""
    values: Any = document.values
    for depth, part in enumerate(path[:-1], start=1):
        values = values.get(part) if isinstance(values, dict) else None
        name = ".".join(path[:depth])
        if isinstance(values, list):
            raise ConfigError(f"--set {override}: {name} is a list; set all of it, {name}=[...]")
        if values is not None and not isinstance(values, dict):
            raise ConfigError(
                f"--set {override}: {name} is {values!r}, with nothing below it; set all of it, "
                f"{name}=..."
            )


def _validate(document: Document, deltas: Mapping[str, Document]) -> Experiment:
    try:
        return Experiment.model_validate_json(json.dumps(document.values, default=str))
    except ValidationError as error:
        below = {
            ("variants", name, "delta", *key): place
            for name, delta in deltas.items()
            for key, place in delta.origins.items()
        }
        raise ConfigError(explain(error, document.file, {**document.origins, **below})) from None
    except ValueError as error:
        raise ConfigError(f"{document.file}: {error}") from error


def _check_variants(
    experiment: Experiment, document: Document, deltas: Mapping[str, Document]
) -> None:
    """Validate each variant's cell, so that a typo in a delta names the variant file."""
    for name in experiment.variants:
        delta = deltas.get(name, document)
        origins = {**document.origins, **delta.origins}
        with explained(delta.file, origins):
            try:
                experiment.cell(name, experiment.seeds[0])
            except ConfigError as error:  # the one mistake that depends on the teacher
                of_grid = name not in deltas and ("grid",) in origins
                at = ("grid",) if of_grid else ("targets", "start_timesteps")
                place = origin_of(at, origins, delta.file)
                raise ConfigError(f"{place}: {error}") from None
