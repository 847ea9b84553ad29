"""Holding a search against the experiment that it belongs to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from tadsr.config.base import mistake_at
from tadsr.config.deltas import changed
from tadsr.config.student import StudentSpec, TargetsSpec
from tadsr.config.sweep import SweepSpec

UNCHANGEABLE = ("images", "validate_every", "checkpoint_every", "validated_weights", "threads")
"""Settings of `student.training` that a search leaves alone: a trial's length is what a pruner
divides, and the others change how a training is watched."""


def check_sweep(
    name: str, spec: SweepSpec, student: StudentSpec, targets: TargetsSpec, seeds: Sequence[int]
) -> None:
    """Hold a search against the experiment; `student` and `targets` are its base's.

    Raises:
        PydanticCustomError: at the key below `sweeps`.
    """
    if "--" in name:
        raise mistake_at(f"sweeps.{name}", "a search's name holds no '--'; choose another")
    if spec.seed in seeds:
        raise mistake_at(f"sweeps.{name}.seed", f"{spec.seed} is a seed of the experiment; the "
                         "winner is confirmed with seeds that the search has not seen: choose "
                         "another")  # fmt: skip
    for place, delta in spec.deltas():
        for key in delta:
            _check_key(f"sweeps.{name}.{place}", key)
        try:
            changed(student, targets, delta)
        except ValidationError as error:
            reason = error.errors(include_url=False)[0]["msg"].removeprefix("Value error, ")
            raise mistake_at(f"sweeps.{name}.{place}", f"{_shown(delta)}: {reason}") from None


def _check_key(place: str, key: str) -> None:
    from tadsr.config.mistakes import is_section, type_at, unknown_key  # they know Experiment

    path = tuple(key.split("."))
    if path[0] != "student":
        raise mistake_at(place, f"{key}: a search changes keys below student, as its trials share "
                         "one set of targets")  # fmt: skip
    if path[:2] == ("student", "training") and path[2:] and path[2] in UNCHANGEABLE:
        raise mistake_at(place, f"{key}: is the same for all trials; set it in the base variant")
    if type_at(path) is None:
        raise mistake_at(place, f"{key}: {unknown_key(path)}")
    if is_section(path):
        raise mistake_at(place, f"{key}: is a section, not a setting")


def _shown(delta: Mapping[str, Any]) -> str:
    return ", ".join(f"{key}={value!r}" for key, value in delta.items())
