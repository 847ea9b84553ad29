"""The base of every settings class: frozen, typed, unknown keys refused."""

from __future__ import annotations

import weakref
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StringConstraints
from pydantic_core import PydanticCustomError

SCALE = 4
"""Upscaling factor of the whole product, as in ResShift, SinSR and TAD-SR."""

Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_-]*$", max_length=64)]
"""A name that may become a file name, an MLflow tag or a LaTeX label."""

Positive = Annotated[int, Field(gt=0)]
NonNegative = Annotated[int, Field(ge=0)]
Seed = Annotated[int, Field(ge=0, lt=2**31)]
Weight = Annotated[float, Field(ge=0.0, allow_inf_nan=False)]
Fraction = Annotated[float, Field(ge=0.0, le=1.0, allow_inf_nan=False)]
PositiveFloat = Annotated[float, Field(gt=0.0, allow_inf_nan=False)]


class Config(BaseModel):
    """Frozen settings; an unknown key or a value of another type is an error."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, use_attribute_docstrings=True
    )


_REMEMBERED: dict[int, dict[Any, Any]] = {}


def remembered(settings: Config) -> dict[Any, Any]:
    """A place for what was worked out from frozen settings, as long as this very object lives.

    By identity: a copy, changed or not, begins with nothing. Keys begin with who uses them.
    """
    key = id(settings)
    if key not in _REMEMBERED:
        _REMEMBERED[key] = {}
        weakref.finalize(settings, _REMEMBERED.pop, key)
    return _REMEMBERED[key]


def mistake_at(key: str, message: str) -> PydanticCustomError:
    """A mistake between several keys, reported at the place of one of them."""
    return PydanticCustomError("at", "{message}", {"key": key, "message": message})


def no_duplicates(what: str, values: tuple[Any, ...]) -> tuple[Any, ...]:
    """`values` as they are; ValueError names the first that stands there twice."""
    for value in values:
        if values.count(value) > 1:
            raise ValueError(f"duplicate {what} {value!r}")
    return values
