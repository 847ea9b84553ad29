"""Reading experiment files: YAML with positions, `extends`, variants, one-line errors."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from tadsr.config.experiment import Experiment
from tadsr.errors import ConfigError, TadsrError, nearest

Path_ = tuple[str, ...]
Origins = dict[Path_, str]
"""Where a value was written: dotted path -> `file:line`, or `--set`."""

DELTA_ROOTS = ("student", "targets")
MAX_EXTENDS = 10


class _Loader(yaml.SafeLoader):
    """SafeLoader that reads 1e-3 as a number, as YAML 1.2 does and people expect."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(\d[\d_]*)(\.\d*)?([eE][-+]?\d+)$|^[-+]?\d+\.\d*$|^[-+]?\.\d+$"),
    list("-+0123456789."),
)


@dataclass
class _Document:
    """A mapping read from YAML and where each of its keys was written."""

    file: str
    values: dict[str, Any] = field(default_factory=dict)
    origins: Origins = field(default_factory=dict)


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
    document = _Document(str(path), values)
    _apply_overrides(document, overrides)
    experiment = _validate(document)
    _check_variants(experiment, document, dict.fromkeys(experiment.variants, document))
    return experiment


def _read_with_extends(path: Path, depth: int = 0) -> _Document:
    document = _read_yaml(path)
    parent = document.values.pop("extends", None)
    if parent is None:
        return document
    if depth >= MAX_EXTENDS:
        raise ConfigError(f"{path}: 'extends' goes in a circle, or more than {MAX_EXTENDS} deep")
    if not isinstance(parent, str):
        raise ConfigError(f"{path}: extends: {parent!r} is not a file name")
    base = _read_with_extends(path.parent / parent, depth + 1)
    _merge(base.values, document.values)
    return _Document(document.file, base.values, {**base.origins, **document.origins})


def _merge(base: dict[str, Any], top: Mapping[str, Any]) -> None:
    for key, value in top.items():
        if isinstance(value, Mapping) and isinstance(base.get(key), dict):
            _merge(base[key], value)
        else:
            base[key] = value


def _read_yaml(path: Path) -> _Document:
    if path.is_dir():
        raise ConfigError(f"{path}: is a folder; give an experiment file (YAML)")
    if not path.is_file():
        folder = path.parent if path.parent.is_dir() else Path()
        names = [str(p) for p in sorted(folder.glob("*.yaml"))]
        hint = nearest(str(path), names) if names else f"no YAML files in {folder}"
        raise ConfigError(f"{path}: no such file; {hint}")
    try:
        root = yaml.compose(path.read_text(encoding="utf-8"), Loader=_Loader)
        document = _Document(str(path))
        if root is None:
            return document
        if not isinstance(root, yaml.MappingNode):
            raise ConfigError(f"{path}:1: expected a mapping of settings (key: value)")
        document.values = _construct(root, (), document)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or str(error).splitlines()[0]
        raise ConfigError(f"{path}{line}: not valid YAML: {problem}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not UTF-8 text") from error
    except RecursionError as error:
        raise ConfigError(f"{path}: an alias (*name) stands inside its own anchor") from error
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror})") from error
    return document


def _construct(node: yaml.Node, at: Path_, document: _Document) -> Any:
    document.origins[at] = f"{document.file}:{node.start_mark.line + 1}"
    if isinstance(node, yaml.MappingNode):
        values: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = str(key_node.value)
            where = f"{document.file}:{key_node.start_mark.line + 1}"
            if key in values:
                raise ConfigError(f"{where}: duplicate key '{'.'.join((*at, key))}'")
            values[key] = _construct(value_node, (*at, key), document)
            document.origins[(*at, key)] = where
        return values
    if isinstance(node, yaml.SequenceNode):
        return [_construct(v, (*at, str(i)), document) for i, v in enumerate(node.value)]
    return _scalar(node)


def _scalar(node: yaml.Node) -> Any:
    loader = _Loader("")
    try:
        return loader.construct_object(node, deep=True)
    finally:
        loader.dispose()


def _apply_overrides(document: _Document, overrides: Sequence[str]) -> None:
    for override in overrides:
        key, sign, text = override.partition("=")
        if not sign or not key.strip():
            raise ConfigError(f"--set {override}: expected key=value, such as student.ema=0.99")
        try:
            node = yaml.compose(text, Loader=_Loader)
            value = None if node is None else _construct(node, (), _Document(f"--set {override}"))
        except (yaml.YAMLError, RecursionError) as error:
            raise ConfigError(f"--set {override}: the value is not valid YAML") from error
        path = tuple(key.strip().split("."))
        _refuse_list_parts(document, path, override)
        _set(document.values, path, value)
        below = [p for p in document.origins if p[: len(path)] == path]
        for stale in below:
            del document.origins[stale]
        document.origins[path] = f"--set {override}"


def _refuse_list_parts(document: _Document, path: Path_, override: str) -> None:
    """A part of a list cannot be set: it would silently replace the list."""
    values: Any = document.values
    for depth, part in enumerate(path[:-1], start=1):
        values = values.get(part) if isinstance(values, dict) else None
        if isinstance(values, list):
            name = ".".join(path[:depth])
            raise ConfigError(f"--set {override}: {name} is a list; set all of it, {name}=[...]")


def _set(values: dict[str, Any], path: Path_, value: Any) -> None:
    for part in path[:-1]:
        below = values.get(part)
        if not isinstance(below, dict):
            below = values[part] = {}
        values = below
    values[path[-1]] = value


def _collect_variants(document: _Document, folder: Path) -> dict[str, tuple[str, _Document]]:
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
    result: dict[str, tuple[str, _Document]] = {}
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
        result[name] = _split_variant(_flatten(_read_yaml(file)))
    return result


def _inline_variant(document: _Document, name: str, body: Any) -> _Document:
    if body is None:  # `full:` alone is the base as it stands
        body = {}
    if not isinstance(body, dict):
        raise ConfigError(f"{document.file}: variants.{name}: expected a mapping, got {body!r}")
    inner = _Document(document.file, body)
    prefix = ("variants", name)
    inner.origins = {
        path[2:]: place for path, place in document.origins.items() if path[:2] == prefix
    }
    return _flatten(inner)


def _flatten(document: _Document) -> _Document:
    """Nested mappings become dotted keys, so that both spellings mean the same."""
    flat = _Document(document.file)

    def walk(values: Mapping[str, Any], at: Path_, source: Path_) -> None:
        for key, value in values.items():
            path, place = (*at, *key.split(".")), (*source, key)
            if isinstance(value, Mapping) and value:
                walk(value, path, place)
            else:
                flat.values[".".join(path)] = value
                flat.origins[path] = document.origins.get(place, document.file)

    walk(document.values, (), ())
    return flat


def _split_variant(document: _Document) -> tuple[str, _Document]:
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


def _validate(document: _Document) -> Experiment:
    try:
        return Experiment.model_validate_json(json.dumps(document.values, default=str))
    except ValidationError as error:
        raise ConfigError(_explain(error, document.file, document.origins)) from None
    except ValueError as error:
        raise ConfigError(f"{document.file}: {error}") from error


def _check_variants(
    experiment: Experiment, document: _Document, variants: Mapping[str, _Document]
) -> None:
    """Validate each variant's cell, so that a typo in a delta names the variant file."""
    for name, variant in variants.items():
        try:
            experiment.cell(name, experiment.seeds[0])
        except ValidationError as error:
            root = "student" if error.title == "StudentSpec" else "targets"
            origins = {**document.origins, **variant.origins}
            raise ConfigError(_explain(error, variant.file, origins, (root,))) from None


def _explain(error: ValidationError, file: str, origins: Origins, root: Path_ = ()) -> str:
    """The first mistake of a ValidationError in one line, and how many more there are."""
    mistakes = error.errors(include_url=False)
    # An unknown key first: a misspelt one also makes the right one look missing.
    mistakes.sort(key=lambda m: m["type"] != "extra_forbidden")
    mistake = mistakes[0]
    location = (*root, *(str(part) for part in mistake["loc"]))
    if mistake["type"] == "at":
        location = (*location, *mistake["ctx"]["key"].split("."))
    key = ".".join(location)
    if mistake["type"] == "extra_forbidden":
        names = _fields_at(location[:-1])
        text = f"unknown key '{location[-1]}': {nearest(location[-1], names)}"
    elif mistake["type"] == "missing":
        text = "this key is required"
    elif mistake["type"] in ("value_error", "at"):
        text = mistake["msg"].removeprefix("Value error, ")
    else:
        text = f"{_shown(mistake['input'])}: {mistake['msg'][:1].lower()}{mistake['msg'][1:]}"
        if mistake["type"] == "literal_error":
            text += f" ({nearest(str(mistake['input']), _words(mistake['msg']))})"
    more = f" (and {len(mistakes) - 1} more)" if len(mistakes) > 1 else ""
    return f"{_origin(location, origins, file)}: {key + ': ' if key else ''}{text}{more}"


def _words(message: str) -> list[str]:
    return re.findall(r"'([^']*)'", message)


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _origin(location: Path_, origins: Origins, file: str) -> str:
    """The place of the deepest part of `location` that was written somewhere."""
    for end in range(len(location), 0, -1):
        if location[:end] in origins:
            return origins[location[:end]]
        for path, place in origins.items():
            if path[:end] == location[:end]:
                return place
    return file


def _fields_at(location: Path_) -> list[str]:
    """Names of the fields of the settings class at a dotted place."""
    model: Any = Experiment
    for part in location:
        if isinstance(model, type) and issubclass(model, BaseModel):
            if part not in model.model_fields:
                return []
            model = model.model_fields[part].annotation
        arguments = [a for a in getattr(model, "__args__", ()) if isinstance(a, type)]
        models = [a for a in arguments if issubclass(a, BaseModel)]
        if models:
            model = models[-1]
    if isinstance(model, type) and issubclass(model, BaseModel):
        return list(model.model_fields)
    return []
