"""From a checkpoint's tensors to a network: settings that fit, every key accounted for."""

from __future__ import annotations

import inspect
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from tadsr.errors import ConfigError, TadsrError, nearest

LISTED = 20
"""Names per group in an error."""

M = TypeVar("M", bound=nn.Module)


class UnreadableError(Exception):
    """No tensor of a file shows what is asked for; for use within the import."""


def check_overrides(overrides: Mapping[str, Any], network: type) -> None:
    """ConfigError for a setting that `network` does not have, or a value of another kind."""
    parameters = inspect.signature(network).parameters
    for name, value in overrides.items():
        if name not in parameters:
            raise ConfigError(f"'{name}' is no setting of it; {nearest(name, list(parameters))}")
        default = parameters[name].default
        if not _fits(value, default) and not (name == "num_res_blocks" and _fits(value, ())):
            raise ConfigError(f"{name}={value} is no value for it; the default is {default}")


def _fits(value: Any, default: Any) -> bool:
    """Whether `value` is of the kind of `default`: truth, number, numbers in sequence."""
    if default is None:
        return value is None or _fits(value, 0) or isinstance(value, list | tuple)
    if isinstance(default, bool) or isinstance(value, bool):
        return isinstance(value, bool) and isinstance(default, bool)
    if isinstance(default, int | float):
        return isinstance(value, int if isinstance(default, int) else (int, float))
    return isinstance(value, list | tuple) and all(_fits(part, 0) for part in value)


def settle(
    path: Path | str,
    inferred: Mapping[str, Any],
    overrides: Mapping[str, Any],
    free: set[str],
) -> dict[str, Any]:
    """The inferred settings with overrides that do not contradict the file.

    Args:
        inferred: all settings of the network.
        free: names of settings that the file does not decide.

    Raises:
        ConfigError: a value that the tensors contradict; both values named.
    """
    for name, value in overrides.items():
        if name not in free and _frozen(value) != _frozen(inferred[name]):
            raise ConfigError(
                f"{name}={value} contradicts {path}, whose tensors say {inferred[name]}; "
                "leave the setting out, or import another file"
            )
    chosen = {name: value for name, value in overrides.items() if name in free}
    return {**inferred, **chosen}


def _frozen(value: Any) -> Any:
    return tuple(map(_frozen, value)) if isinstance(value, list | tuple) else value


def build(
    path: Path | str, network: Callable[..., M], settings: Mapping[str, Any], overridden: bool
) -> M:
    """`network` with `settings`, on the meta device: without memory or initial weights.

    Raises:
        TadsrError: the settings fit no network; ConfigError if some of them were given.
    """
    try:
        with torch.device("meta"):
            return network(**settings)
    except (ConfigError, ValueError, RuntimeError, ZeroDivisionError) as error:
        kind = ConfigError if overridden else TadsrError
        raise kind(
            f"{path}: its shapes describe no network of the published family ({error}); "
            "check which file this is"
        ) from error


def load_strictly(
    path: Path | str,
    module: nn.Module,
    state: Mapping[str, Tensor],
    *,
    published: Callable[[str], str] = str,
    derived: Mapping[str, Tensor] | None = None,
) -> None:
    """Fill `module` (which may be on the meta device) from `state`, in memory of its own.

    Args:
        published: the key that `state` has for a key of `module`.
        derived: tensors that a file stores but that follow from the sizes: compared, not loaded.

    Raises:
        TadsrError: one line that counts and lists all missing, unexpected and mis-shaped keys, or
            names a derived tensor that differs.
    """
    derived = derived or {}
    own = module.state_dict()
    _account(path, state, {**{published(key): value for key, value in own.items()}, **derived})
    for key, value in derived.items():
        if not torch.equal(state[key], value.to(state[key].dtype)):
            raise TadsrError(
                f"{path}: {key} differs from that of the published networks; "
                "this variant of window attention is not known"
            )
    # Copies: torch's own alignment, and nothing left that is mapped to the file.
    filled = {key: state[published(key)].clone() for key in own}
    module.load_state_dict(filled, assign=True)


def _account(path: Path | str, state: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> None:
    """TadsrError, unless `state` has exactly the keys and shapes of `expected`."""
    missing = sorted(expected.keys() - state.keys())
    unexpected = sorted(state.keys() - expected.keys())
    shapes = [
        f"{key} {tuple(state[key].shape)} instead of {tuple(expected[key].shape)}"
        for key in sorted(expected.keys() & state.keys())
        if expected[key].shape != state[key].shape
    ]
    groups = {"missing": missing, "unexpected": unexpected, "of another shape": shapes}
    found = [f"{len(keys)} {what}: {names_of(keys)}" for what, keys in groups.items() if keys]
    if found:
        raise TadsrError(
            f"{path}: its keys do not fit the network that its shapes describe: "
            f"{'; '.join(found)}; check that this is an unmodified file of the published family"
        )


def most(what: str, values: Iterable[int]) -> int:
    """The most frequent of `values`, the first of them in a draw; `UnreadableError` of none."""
    counted = Counter(values)
    if not counted:
        raise UnreadableError(what)
    return counted.most_common(1)[0][0]


def sizes(state: Mapping[str, Tensor], pattern: str, axis: int) -> list[int]:
    """Sizes above 0 along `axis` of all tensors whose whole key matches `pattern`."""
    return [
        value.shape[axis]
        for key, value in state.items()
        if value.ndim > axis and value.shape[axis] and re.fullmatch(pattern, key)
    ]


def names_of(names: list[str]) -> str:
    """`names` for an error, cut after `LISTED` of them."""
    more = f" ... and {len(names) - LISTED} more" if len(names) > LISTED else ""
    return ", ".join(names[:LISTED]) + more
