"""Where MLflow keeps what is published, and the one command that opens it. Imports no MLflow."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import sys
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from tadsr.errors import ConfigError

ENVIRONMENT = "MLFLOW_TRACKING_URI"
"""The variable by which MLflow itself is pointed at a server or a database."""
DATABASES = ("sqlite", "postgresql", "mysql", "mssql")
SERVERS = ("http", "https", "databricks", "uc")
PORT = 5000


def tracking_uri(results: Path | str = "results") -> str:
    """`MLFLOW_TRACKING_URI` if it is set, else an SQLite file in the results folder.

    Raises `ConfigError` for a folder, which MLflow no longer keeps runs in.
    """
    given = os.environ.get(ENVIRONMENT, "").strip()
    if not given:
        return f"sqlite:///{database_path(results).absolute().as_posix()}"
    if not is_server(given) and not _scheme(given).startswith(DATABASES):
        raise ConfigError(
            f"{ENVIRONMENT}={given}: MLflow keeps no runs in folders any more; unset it, or set "
            "it to http://<host>:<port> or sqlite:///<file>"
        )
    return given


def database_path(results: Path | str = "results") -> Path:
    """The SQLite file that is used unless `MLFLOW_TRACKING_URI` says otherwise."""
    return Path(results) / "mlflow.db"


def artifact_location(results: Path | str = "results") -> Path:
    """The absolute folder of artefacts, for a database without a server in front of it."""
    return (Path(results) / "mlartifacts").absolute()


def is_server(uri: str) -> bool:
    """Whether a tracking server answers at `uri`, which then keeps the artefacts too."""
    return _scheme(uri) in SERVERS


def open_command(results: Path | str = "results") -> str:
    """What a user types to look at MLflow: a command on loopback, or a server's address."""
    uri = tracking_uri(results)
    if is_server(uri):
        return _without_user(uri)
    program = f"{shlex.quote(_program())} ui --host 127.0.0.1 --port {PORT}"
    if os.environ.get(ENVIRONMENT, "").strip():
        # A database's address may hold a password: not on the screen, nor in the list of processes.
        return f'MLFLOW_BACKEND_STORE_URI="${ENVIRONMENT}" {program}'
    store = shlex.quote(f"sqlite:///{_from_here(database_path(results)).as_posix()}")
    return f"{program} --backend-store-uri {store}"


def _without_user(uri: str) -> str:
    """A server's address as a browser takes it: user name and password are asked for there."""
    parts = urlsplit(uri)
    if "@" not in parts.netloc:
        return uri
    return urlunsplit(parts._replace(netloc=parts.netloc.rsplit("@", 1)[1]))


def _scheme(uri: str) -> str:
    """`http`, `sqlite`, `postgresql+psycopg2`, ...; empty for a path."""
    match = re.match(r"([a-z][a-z0-9+-]+)(:|$)", uri.lower())
    return match[1] if match else ""


def _program() -> str:
    """The `mlflow` that belongs to this interpreter, as short as the shell understands it."""
    beside = Path(sys.executable).parent / "mlflow"
    found = shutil.which("mlflow")
    if found is not None and (not beside.is_file() or Path(found).samefile(beside)):
        return "mlflow"
    return str(_from_here(beside))


def _from_here(path: Path) -> Path:
    """`path` relative to the current folder if it lies below it, else absolute."""
    absolute, here = path.absolute(), Path.cwd()
    return absolute.relative_to(here) if absolute.is_relative_to(here) else absolute
