"""YAML files with the place of each key, for errors that name file and line."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from tadsr.errors import ConfigError, nearest

KeyPath = tuple[str, ...]
MAX_VALUES = 200_000
"""In one file, far above any experiment."""
Origins = dict[KeyPath, str]
"""Where a value was written: dotted path -> `file:line`, or `--set`."""


class Loader(yaml.SafeLoader):
    """SafeLoader that reads 1e-3 as a number, as YAML 1.2 does and people expect."""


Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(\d[\d_]*)(\.\d*)?([eE][-+]?\d+)$|^[-+]?\d+\.\d*$|^[-+]?\.\d+$"),
    list("-+0123456789."),
)


@dataclass
class Document:
    """A mapping read from YAML and where each of its keys was written."""

    file: str
    values: dict[str, Any] = field(default_factory=dict)
    origins: Origins = field(default_factory=dict)
    size: int = 0
    """Values constructed so far, each use of an alias counted."""

    def origin(self, path: KeyPath) -> str:
        """Where the deepest known part of `path` was written."""
        return origin_of(path, self.origins, self.file)

    def at(self, path: KeyPath, values: dict[str, Any]) -> Document:
        """The mapping `values` that stands at `path`, as a document of its own."""
        depth = len(path)
        below = {at[depth:]: where for at, where in self.origins.items() if at[:depth] == path}
        return Document(self.origin(path), values, below)


def origin_of(location: KeyPath, origins: Origins, file: str) -> str:
    """The place of the deepest part of `location` that was written somewhere."""
    for end in range(len(location), 0, -1):
        if location[:end] in origins:
            return origins[location[:end]]
        for path, place in origins.items():
            if path[:end] == location[:end]:
                return place
    return file


def read_yaml(path: Path) -> Document:
    """Read a mapping of settings; ConfigError, one line, for whatever is wrong with the file."""
    if path.is_dir():
        raise ConfigError(f"{path}: is a folder; give an experiment file (YAML)")
    if not path.is_file():
        folder = path.parent if path.parent.is_dir() else Path()
        names = [str(p) for p in sorted(folder.glob("*.yaml"))]
        hint = nearest(str(path), names) if names else f"no YAML files in {folder}"
        raise ConfigError(f"{path}: no such file; {hint}")
    try:
        root = yaml.compose(path.read_text(encoding="utf-8"), Loader=Loader)
        document = Document(str(path))
        if root is None:
            return document
        if not isinstance(root, yaml.MappingNode):
            raise ConfigError(f"{path}:1: expected a mapping of settings (key: value)")
        document.values = construct(root, (), document)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or str(error).splitlines()[0]
        raise ConfigError(f"{path}{line}: not valid YAML: {problem}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not UTF-8 text") from error
    except RecursionError as error:
        what = "an alias (*name) stands inside its own anchor, or brackets are nested too deep"
        raise ConfigError(f"{path}: {what}") from error
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror})") from error
    return document


def read_setting(text: str, example: str) -> tuple[str, Any]:
    """The key and the value, in YAML, of a `--set key=value`; ConfigError, one line.

    Args:
        example: shown where the text is not of that form.
    """
    key, sign, value = text.partition("=")
    if not sign or not key.strip():
        raise ConfigError(f"--set {text}: expected key=value, such as {example}")
    try:
        node = yaml.compose(value, Loader=Loader)
        found = None if node is None else construct(node, (), Document(f"--set {text}"))
    except (yaml.YAMLError, RecursionError) as error:
        raise ConfigError(f"--set {text}: the value is not valid YAML") from error
    return key.strip(), found


def construct(node: yaml.Node, at: KeyPath, document: Document) -> Any:
    """The value of a node, noting in `document` where each key was written."""
    document.size += 1
    if document.size > MAX_VALUES:  # a few aliases of aliases stand for billions
        raise ConfigError(f"{document.file}: more than {MAX_VALUES:,} values; shorten its aliases")
    document.origins[at] = f"{document.file}:{node.start_mark.line + 1}"
    if isinstance(node, yaml.MappingNode):
        values: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = str(key_node.value)
            where = f"{document.file}:{key_node.start_mark.line + 1}"
            if key in values:
                raise ConfigError(f"{where}: duplicate key '{'.'.join((*at, key))}'")
            values[key] = construct(value_node, (*at, key), document)
            document.origins[(*at, key)] = where
        return values
    if isinstance(node, yaml.SequenceNode):
        return [construct(v, (*at, str(i)), document) for i, v in enumerate(node.value)]
    return _scalar(node)


def _scalar(node: yaml.Node) -> Any:
    loader = Loader("")
    try:
        return loader.construct_object(node, deep=True)
    finally:
        loader.dispose()
