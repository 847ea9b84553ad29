"""Variants as they are written: files, inline mappings, and what each extends."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tadsr.config.deltas import flatten, refuse_other_roots
from tadsr.config.documents import Document, read_yaml
from tadsr.errors import ConfigError, nearest


@dataclass(frozen=True)
class Draft:
    """A variant with the flat delta that it stands for."""

    description: str
    delta: Document


@dataclass(frozen=True, eq=False)
class _Written:
    """A variant as it stands somewhere: its own keys alone."""

    name: str
    description: str
    extends: tuple[str, ...]
    place: str
    """Where `extends` stands."""
    delta: Document


def collect_variants(document: Document, folder: Path) -> dict[str, Draft]:
    """The variants of an experiment file by name; those named alone are files in `folder`."""
    library = _Library(folder / "variants")
    found: dict[str, _Written | None] = {}
    for name, body, place in _listed(document):
        if name in found:
            raise ConfigError(f"{place}: variants: duplicate variant '{name}'")
        found[name] = None if body is None else _written(name, body)
        if body is None:
            library.file(name, f"{place}: variants")
    library.inline = {name: written for name, written in found.items() if written is not None}
    drafts = {}
    for name, inline in found.items():
        written = inline or library.file(name, "")
        drafts[name] = Draft(written.description, library.composed(written, (written,)))
    return drafts


def _listed(document: Document) -> Iterator[tuple[str, Document | None, str]]:
    """(name, body, place) of each; no body for the name of a file."""
    default = [] if document.values.get("grid") else ["full"]
    raw = document.values.get("variants", default)
    where = document.origin(("variants",))
    if isinstance(raw, dict):
        for name, body in raw.items():
            yield name, _mapping(document, ("variants", name), body), where
        return
    if not isinstance(raw, list):
        raise ConfigError(f"{where}: variants: expected a list of names, got {raw!r}")
    for index, entry in enumerate(raw):
        at = ("variants", str(index))
        if isinstance(entry, str):
            yield entry, None, document.origin(at)
            continue
        body = _mapping(document, at, entry)
        name = body.values.pop("name", None)
        if not isinstance(name, str):
            raise ConfigError(f"{body.file}: variants.{index}: give it a name, name: ...")
        yield name, body, body.file


def _mapping(document: Document, at: tuple[str, str], body: Any) -> Document:
    if body is None:  # `full:` alone is the base as it stands
        body = {}
    if not isinstance(body, dict):
        expected = "a name or a mapping" if at[1].isdigit() else "a mapping"
        raise ConfigError(f"{document.origin(at)}: {'.'.join(at)}: expected {expected}, "
                          f"got {body!r}")  # fmt: skip
    return document.at(at, dict(body))


def _written(name: str, document: Document) -> _Written:
    extends = document.values.pop("extends", [])
    place = document.origin(("extends",))
    names = [extends] if isinstance(extends, str) else extends
    if not isinstance(names, list) or not all(isinstance(parent, str) for parent in names):
        raise ConfigError(f"{place}: extends: expected a name or a list of names, got {extends!r}")
    delta = flatten(document)
    description = delta.values.pop("description", "")
    if not isinstance(description, str):
        where = delta.origin(("description",))
        raise ConfigError(f"{where}: description: expected text, got {description!r}")
    refuse_other_roots(delta, "a variant")
    return _Written(name, description, tuple(names), place, delta)


class _Library:
    """Where names of variants are looked up."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.inline: dict[str, _Written] = {}
        self.files: dict[str, _Written] = {}

    def file(self, name: str, place: str, inline: tuple[str, ...] = ()) -> _Written:
        """The variant of a file; `inline` are further names to offer where there is none."""
        if name not in self.files:
            path = self.folder / f"{name}.yaml"
            if not re.fullmatch(r"[a-z0-9][a-z0-9_-]*", name) or not path.is_file():
                known = [*inline, *(p.stem for p in self.folder.glob("*.yaml"))]
                raise ConfigError(
                    f"{place}: unknown variant '{name}': {nearest(name, known)}"
                    f" (each is a file in {self.folder})"
                )
            self.files[name] = _written(name, read_yaml(path))
        return self.files[name]

    def composed(self, written: _Written, trail: tuple[_Written, ...]) -> Document:
        """The deltas of what a variant extends in order, its own keys last."""
        result = Document(written.delta.file)
        deltas = [self.composed(parent, (*trail, parent)) for parent in self.parents(trail)]
        for delta in (*deltas, written.delta):
            for key, value in delta.values.items():
                result.values.pop(key, None)  # so that later keys also come later
                result.values[key] = value
            result.origins |= delta.origins
        return result

    def parents(self, trail: tuple[_Written, ...]) -> Iterator[_Written]:
        """What the last of `trail` extends: inline ones know each other, files only files."""
        child = trail[-1]
        known = self.inline if child in self.inline.values() else {}
        for name in child.extends:
            parent = known.get(name) or self.file(name, f"{child.place}: extends", tuple(known))
            if parent in trail:
                circle = " → ".join([*(w.name for w in trail[trail.index(parent) :]), name])
                raise ConfigError(f"{child.place}: extends: {circle} goes in a circle")
            yield parent
