"""Classes of a user's own in Python files of their own: losses and metrics.

The sha256 of such a file is pinned when the experiment is read, so that one that has changed since
is noticed. The file is Python and is run: use files you trust.
"""

from __future__ import annotations

import importlib.util
import inspect
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from tadsr.config.base import Config, mistake_at
from tadsr.errors import ConfigError, nearest
from tadsr.files import sha256_file


@dataclass(frozen=True)
class Clause:
    """One thing relied on in a user's class; `broken` says how it breaks it, or is empty."""

    text: str
    broken: str


class NoSettings(Config):
    """Of a class without a `Config` of its own."""


def pinned_digest(file: str, key: str, kind: str) -> str:
    """sha256 of a user's file; a missing one is a mistake at `key`.

    Args:
        kind: what the file is, such as `a custom loss`.
    """
    path = Path(file).expanduser()
    if not path.is_file():
        raise mistake_at(key, f"{path}: no such file; {kind} is a Python file")
    return sha256_file(path)


def load_class(
    file: str, digest: str, name: str, settings: Mapping[str, Any], *, kind: str, docs: str
) -> Any:
    """An instance of the class `name` that a file defines, made with its settings.

    A class with a `Config` (or with an `__init__` that takes one) gets it; another gets nothing.

    Args:
        file: the Python file.
        digest: the sha256 it had when the experiment was read.
        kind: what the file is, for messages.
        docs: the page that has an example.

    Raises:
        ConfigError: the file is another one than was pinned, cannot be imported, has no such
            class, or does not take these settings.
    """
    path = Path(file).expanduser()
    if not path.is_file():
        raise ConfigError(f"{path}: no such file; {kind} is a Python file")
    if sha256_file(path) != digest:
        raise ConfigError(
            f"{path}: has changed since the experiment was read; run `tadsr run` again"
        )
    found = getattr(_module(path, digest), name, None)
    if not isinstance(found, type):
        raise ConfigError(f"{path}: defines no class '{name}' ({docs} has an example)")
    made = _settings(path, found, settings)
    try:
        return found(made) if _takes_settings(found) else found()
    except Exception as error:
        raise ConfigError(
            f"{path}: {name}(config) fails ({type(error).__name__}: {error})"
        ) from error


def _module(path: Path, digest: str) -> Any:
    """The file as a module, run once per content."""
    name = f"tadsr_custom_{digest[:16]}"
    if name in sys.modules:
        return sys.modules[name]
    found = importlib.util.spec_from_file_location(name, path)
    if found is None or found.loader is None:
        raise ConfigError(f"{path}: is no Python file; name it something.py")
    module = importlib.util.module_from_spec(found)
    sys.modules[name] = module  # before it runs: pydantic looks annotations up there
    try:
        found.loader.exec_module(module)
    except Exception as error:
        del sys.modules[name]
        raise ConfigError(
            f"{path}: cannot be imported ({type(error).__name__}: {error})"
        ) from error
    return module


def _takes_settings(found: type) -> bool:
    if hasattr(found, "Config"):
        return True
    parameters = inspect.signature(found).parameters.values()
    return any(p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)
               for p in parameters)  # fmt: skip


def _settings(path: Path, found: type, given: Mapping[str, Any]) -> BaseModel:
    settings = getattr(found, "Config", NoSettings)
    if not (isinstance(settings, type) and issubclass(settings, BaseModel)):
        raise ConfigError(
            f"{path}: {found.__name__}.Config is no settings class; derive it from "
            "tadsr.config.base.Config"
        )
    try:
        made: BaseModel = settings.model_validate(dict(given))
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"]) or "settings"
        unknown = first["type"] == "extra_forbidden" and len(first["loc"]) == 1
        why = f"unknown key: {nearest(key, [*settings.model_fields])}" if unknown else first["msg"]
        raise ConfigError(f"{path}: settings: {key}: {why}") from error
    return made
