"""Python and the installed packages, held against the lock and the declared requirements."""

from __future__ import annotations

import platform
import re
import sys
from collections.abc import Iterator
from importlib.metadata import metadata, requires
from pathlib import Path

from packaging.markers import Marker
from packaging.requirements import Requirement

from tadsr.commands.checkup.findings import Finding, Level
from tadsr.runs.environment import installed

LOCK = "requirements.lock"
LOCK_LINE = re.compile(r"(?P<name>[A-Za-z0-9._-]+)==(?P<version>[^\s;]+)\s*(;\s*(?P<marker>.+))?")
NUMBERS = ("torch", "torchvision", "diffusers", "pyiqa", "lpips", "numpy", "scipy", "pillow")
"""Packages another version of which may change the last digits of results."""
REINSTALL = "make .venv/.installed, or pip install -r requirements.lock"


def software(repository: Path) -> Iterator[Finding]:
    """Findings about Python, declared requirements and the lock (where it lies in `repository`)."""
    yield _python()
    broken = list(_unmet())
    for text in broken:
        yield Finding("packages", "problem", text, REINSTALL)
    lock = repository / LOCK
    if lock.is_file():
        yield _against_lock(locked_versions(lock.read_text(encoding="utf-8")))
    elif not broken:
        yield Finding("packages", "ok", "all requirements are met (there is no lock to compare)")


def locked_versions(text: str) -> dict[str, str]:
    """Name to exact version of a lock file, of the lines that are meant for this platform."""
    found = {}
    for line in text.splitlines():
        match = LOCK_LINE.fullmatch(line.strip())
        if match and (match["marker"] is None or Marker(match["marker"]).evaluate()):
            found[match["name"]] = match["version"]
    return found


def _python() -> Finding:
    wanted = metadata("tadsr")["Requires-Python"] or ">=3.11"
    text = f"{platform.python_version()} at {sys.executable}"
    if not Requirement(f"python{wanted}").specifier.contains(platform.python_version()):
        return Finding("python", "problem", text, f"use Python {wanted}")
    return Finding("python", "ok", text)


def _unmet() -> Iterator[str]:
    """Requirements of tadsr itself that the installed packages do not meet."""
    for text in requires("tadsr") or ():
        wanted = Requirement(text)
        if wanted.marker is not None and not wanted.marker.evaluate({"extra": ""}):
            continue
        here = installed(wanted.name)
        if here is None:
            yield f"{wanted.name} is not installed"
        elif not wanted.specifier.contains(here, prereleases=True):
            yield f"{wanted.name} {here} is installed, needed is {wanted.specifier}"


def _against_lock(locked: dict[str, str]) -> Finding:
    others = {
        name: here
        for name, wanted in locked.items()
        if (here := installed(name) or "missing") != wanted and not _same(here, wanted)
    }
    if not others:
        return Finding("packages", "ok", f"all {len(locked)} as in {LOCK}")
    shown = [f"{name} {here} (locked: {locked[name]})" for name, here in others.items()]
    weighty = [name for name in others if name in NUMBERS]
    level: Level = "warning" if weighty else "note"
    catch = f"; {', '.join(weighty)} may change last digits" if weighty else ""
    return Finding("packages", level, f"{len(others)} of {len(locked)} differ from {LOCK}: "
                   + ", ".join(shown[:6]) + (", ..." if len(shown) > 6 else "") + catch,
                   REINSTALL)  # fmt: skip


def _same(here: str, wanted: str) -> bool:
    """Whether two versions differ by a local part alone, such as `+cu128`."""
    return here.partition("+")[0] == wanted.partition("+")[0]
