"""Reading the `sweeps:` of an experiment file, and adding the variants that they will find."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from tadsr.config.documents import Document, KeyPath, read_yaml
from tadsr.config.mistakes import explain
from tadsr.config.sweep import BEST_OF, SweepSpec, variant_name
from tadsr.errors import ConfigError, nearest


def add_sweeps(document: Document, folder: Path) -> None:
    """Put the searches into `document` by name, and a variant for each trial that is confirmed.

    Those named alone are files in `folder`. The variants of `document` are complete already.
    Does nothing where there is no search.
    """
    raw = document.values.get("sweeps")
    if raw is None:
        return
    found: dict[str, Any] = {}
    for name, body in _listed(document, raw, folder):
        if name in found:
            raise ConfigError(f"{document.origin(('sweeps',))}: sweeps: duplicate sweep '{name}'")
        for path, place in body.origins.items():
            document.origins["sweeps", name, *path] = place
            document.origins["sweeps", name, *".".join(path).split(".")] = place
        found[name] = body.values
        spec = _validated(document, name, body.values)
        _add_variants(document, name, spec)
    document.values["sweeps"] = found


def _listed(document: Document, raw: Any, folder: Path) -> list[tuple[str, Document]]:
    """(name, body) of each: a name of a file, or a mapping with a name, or a mapping by name."""
    where = document.origin(("sweeps",))
    if isinstance(raw, dict):
        return [(name, _body(document, ("sweeps", name), body, name, folder))
                for name, body in raw.items()]  # fmt: skip
    if not isinstance(raw, list):
        raise ConfigError(f"{where}: sweeps: expected a list of names, got {raw!r}")
    found = []
    for index, entry in enumerate(raw):
        at = ("sweeps", str(index))
        name = entry.get("name") if isinstance(entry, dict) else entry
        if not isinstance(name, str):
            raise ConfigError(f"{document.origin(at)}: sweeps.{index}: expected the name of a file "
                              f"in {folder}, or a mapping with a name; got {entry!r}")  # fmt: skip
        body = {k: v for k, v in entry.items() if k != "name"} if isinstance(entry, dict) else None
        found.append((name, _body(document, at, body, name, folder)))
    return found


def _body(document: Document, at: KeyPath, body: Any, name: str, folder: Path) -> Document:
    """A search as it stands in the experiment file, or in a file of its own."""
    if isinstance(body, dict):
        return document.at(at, body)
    place = document.origin(at)
    if body is not None:
        raise ConfigError(f"{place}: {'.'.join(at)}: expected a mapping, got {body!r}")
    path = folder / f"{name}.yaml"
    if not re.fullmatch(r"[a-z0-9][a-z0-9_-]*", name) or not path.is_file():
        known = nearest(name, [p.stem for p in folder.glob("*.yaml")])
        raise ConfigError(
            f"{place}: sweeps: unknown sweep '{name}': {known} (each is a file in {folder})"
        )
    return read_yaml(path)


def _validated(document: Document, name: str, values: dict[str, Any]) -> SweepSpec:
    try:
        return SweepSpec.model_validate_json(json.dumps(values, default=str))
    except ValidationError as error:
        raise ConfigError(
            explain(error, document.file, document.origins, ("sweeps", name))
        ) from None


def _add_variants(document: Document, name: str, spec: SweepSpec) -> None:
    variants = document.values["variants"]
    base = spec.base or document.values.get("reference", "full")
    if spec.base is None and base not in variants:
        return  # the mistake is the reference's, which is told when the whole is validated
    if base not in variants or base.startswith(BEST_OF):
        known = nearest(base, [v for v in variants if not v.startswith(BEST_OF)])
        place = document.origin(("sweeps", name, "base"))
        raise ConfigError(f"{place}: sweeps.{name}.base: '{base}' is no variant: {known}")
    for which in spec.picks:
        kind = "trial" if which == "best" else f"trial ({which} of the Pareto front)"
        variants[variant_name(name, which)] = {
            "description": f"the best {kind} of the search '{name}', trained anew",
            "delta": variants[base]["delta"],
            "pick": {"sweep": name, "which": which},
        }
