"""One line from a ValidationError: file, line, key, value and the nearest valid name."""

from __future__ import annotations

import re
from typing import Any

from pydantic import BaseModel, ValidationError

from tadsr.config.documents import KeyPath, Origins
from tadsr.config.experiment import Experiment
from tadsr.errors import nearest


def explain(error: ValidationError, file: str, origins: Origins, root: KeyPath = ()) -> str:
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


def _origin(location: KeyPath, origins: Origins, file: str) -> str:
    """The place of the deepest part of `location` that was written somewhere."""
    for end in range(len(location), 0, -1):
        if location[:end] in origins:
            return origins[location[:end]]
        for path, place in origins.items():
            if path[:end] == location[:end]:
                return place
    return file


def _fields_at(location: KeyPath) -> list[str]:
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
