"""What a run was carried out with, for its card; part of no key."""

from __future__ import annotations

import os
import platform
import sys
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version

from tadsr import __version__

LIBRARIES = ("torch", "torchvision", "diffusers", "pyiqa", "lpips", "numpy", "pandas")


def installed(package: str) -> str | None:
    """The version of an installed package, from metadata; None where it is not installed."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


@lru_cache(maxsize=1)
def describe_environment() -> dict[str, str]:
    """Versions, platform and processor count; read from metadata, so nothing is imported."""
    found = {"tadsr": __version__, "python": platform.python_version()}
    found |= {name: installed(name) or "missing" for name in LIBRARIES}
    found["platform"] = f"{sys.platform}-{platform.machine()}"
    found["processors"] = str(os.cpu_count())
    return found
