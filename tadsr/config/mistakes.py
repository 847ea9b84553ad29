"""One line from a ValidationError: file, line, key, value and the nearest valid name."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any, get_args, get_origin

from pydantic import BaseModel, ValidationError

from tadsr.config.documents import KeyPath, Origins, origin_of
from tadsr.config.experiment import Experiment
from tadsr.errors import ConfigError, nearest


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
        text = unknown_key(location)
    elif mistake["type"] == "missing":
        text = "this key is required"
    elif mistake["type"] in ("value_error", "at"):
        text = mistake["msg"].removeprefix("Value error, ")
    else:
        text = f"{_shown(mistake['input'])}: {mistake['msg'][:1].lower()}{mistake['msg'][1:]}"
        if mistake["type"] == "literal_error" and (words := _words(mistake["msg"])):
            text += f" ({nearest(str(mistake['input']), words)})"
    more = f" (and {len(mistakes) - 1} more)" if len(mistakes) > 1 else ""
    return f"{origin_of(location, origins, file)}: {key + ': ' if key else ''}{text}{more}"


def _words(message: str) -> list[str]:
    return re.findall(r"'([^']*)'", message)


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def type_at(location: KeyPath) -> Any:
    """What stands at a dotted place: a settings class, a dict, a value's type; None if nothing."""
    found: Any = Experiment
    for part in location:
        if get_origin(found) is dict:
            found = get_args(found)[1]
        elif _is_settings(found) and part in found.model_fields:
            found = found.model_fields[part].annotation
        elif not (part.isdigit() and _is_settings(found)) and found is not Any:
            return None  # neither one of several settings of a kind, nor free
        choices = [get_args(c)[0] if get_origin(c) is Annotated else c for c in get_args(found)]
        classes = [choice for choice in choices if _is_settings(choice)]
        if classes and get_origin(found) is not dict:
            found = classes[-1]
    return found


def is_section(location: KeyPath) -> bool:
    """Whether other settings stand below a dotted place."""
    found = type_at(location)
    return _is_settings(found) or get_origin(found) is dict


def _is_settings(found: Any) -> bool:
    return isinstance(found, type) and issubclass(found, BaseModel)


def unknown_key(location: KeyPath) -> str:
    """That there is no such key at a dotted place, with the nearest one that is there."""
    found = type_at(location[:-1])
    names = list(found.model_fields) if _is_settings(found) else []
    return f"unknown key '{location[-1]}': {nearest(location[-1], names)}"


@contextmanager
def explained(file: str, origins: Origins) -> Iterator[None]:
    """A ValidationError of student or targets as a ConfigError of one line."""
    try:
        yield
    except ValidationError as error:
        root = {"StudentSpec": ("student",), "TargetsSpec": ("targets",)}.get(error.title, ())
        raise ConfigError(explain(error, file, origins, root)) from None
