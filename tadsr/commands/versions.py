"""What the bytes of a comparison and of a report depend on besides the results."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from tadsr import __version__
from tadsr.files import digest_json, list_files
from tadsr.runs.environment import installed

LIBRARIES = ("jinja2", "matplotlib", "numpy", "pandas", "pillow", "pyarrow", "scipy")
PACKAGE = Path(__file__).resolve().parents[1]
SOURCES = ("*.py", "*.j2", "*.css", "*.js", "*.yaml", "*.csv", "*.mplstyle")
CODE = (PACKAGE / "compare", PACKAGE / "report", PACKAGE.parent / "reports")


@cache
def rendering_versions() -> dict[str, str]:
    """Versions of tadsr and the libraries, and the digest of the code that compares and renders.

    From metadata, so that nothing is imported. The digest tells apart two states of a checkout
    that call themselves the same version.
    """
    found = {name: installed(name) or "missing" for name in LIBRARIES}
    code = {folder.name: list_files(folder, SOURCES) for folder in CODE}
    return {"tadsr": __version__, **found, "code": digest_json(code)}
