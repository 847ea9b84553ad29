"""Whether MLflow can be used as it is, without changing anything there."""

from __future__ import annotations

import os
from pathlib import Path

from mlflow.store.db import utils
from mlflow.tracking import MlflowClient
from sqlalchemy import create_engine, inspect

from tadsr.errors import without_secrets
from tadsr.publish.connection import REACH, explained, settings
from tadsr.publish.location import ENVIRONMENT, is_server, tracking_uri


def tracking_state(results: Path) -> tuple[str, str]:
    """(what there is, what to do about it; empty if all is well).

    Raises `TadsrError` if MLflow cannot be reached.
    """
    uri = tracking_uri(results)
    shown = without_secrets(uri)
    with explained(uri, results), settings(REACH):
        if is_server(uri):
            MlflowClient(uri).search_experiments(max_results=1)
            return f"{shown} answers", ""
        if uri.startswith("sqlite:///"):
            if not _writable(_file(uri)):
                set_here = bool(os.environ.get(ENVIRONMENT))
                remedy = (
                    f"unset {ENVIRONMENT}, or correct it"
                    if set_here
                    else "choose another --results"
                )
                return f"{_file(uri)} cannot be written to", remedy
            if not _file(uri).is_file():
                return f"{_file(uri)} does not exist yet; publishing makes it", ""
        return _database(uri, shown)


def _file(uri: str) -> Path:
    return Path(uri.removeprefix("sqlite:///"))


def _writable(path: Path) -> bool:
    """Whether a file can be written, or made; folders above it are made too."""
    place = path.absolute()
    while not place.exists():
        place = place.parent
    return os.access(place, os.W_OK) and (place == path.absolute() or place.is_dir())


def _database(uri: str, shown: str) -> tuple[str, str]:
    """The version of the tables of a database that is there."""
    engine = create_engine(uri)
    try:
        if not inspect(engine).get_table_names():
            return f"{shown} is empty; publishing makes its tables", ""
        here, wanted = utils._get_schema_version(engine), utils._get_latest_schema_revision()
    finally:
        engine.dispose()
    if here == wanted:
        return f"{shown} is reachable, its tables are of this MLflow", ""
    return (
        f"{shown} has tables of another MLflow (schema {here}, this one's is {wanted})",
        f"make a copy of it, then: mlflow db upgrade {_address(uri, shown)}",
    )


def _address(uri: str, shown: str) -> str:
    """Never a password on the screen."""
    return f'"${ENVIRONMENT}"' if os.environ.get(ENVIRONMENT) or shown != uri else uri
