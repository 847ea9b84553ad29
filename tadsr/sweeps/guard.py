"""Test sets are closed to a search: opening one of their files is an error."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tadsr.errors import TadsrError

_CLOSED: list[str] = []


def _watch(event: str, arguments: tuple[Any, ...]) -> None:
    if event != "open" or not _CLOSED or not isinstance(arguments[0], str | bytes | os.PathLike):
        return
    path = os.path.abspath(os.fsdecode(arguments[0]))  # noqa: PTH100 (each file: be quick)
    for folder in _CLOSED:
        if path.startswith(folder):
            raise TadsrError(
                f"{path}: a search wanted to read a test set; it may see validation images alone"
            )


@contextmanager
def closed(folders: Iterable[Path]) -> Iterator[None]:
    """Within the block, no thread of this process can open a file below `folders`.

    By Python's audit hooks, which see every file that Python opens, whatever library asks.
    """
    _install()
    added = [f"{folder.absolute()}{os.sep}" for folder in folders]
    _CLOSED.extend(added)
    try:
        yield
    finally:
        for folder in added:
            _CLOSED.remove(folder)


_installed: list[bool] = []


def _install() -> None:
    """A hook cannot be removed: there is one, which does nothing while nothing is closed."""
    if not _installed:
        sys.addaudithook(_watch)
        _installed.append(True)
