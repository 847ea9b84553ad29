"""Reaching MLflow: how long to try, what to say when it cannot be had, which experiment."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient
from sqlalchemy.exc import SQLAlchemyError

from tadsr.errors import TadsrError, storage_error
from tadsr.publish.database import prepare_database
from tadsr.publish.location import (
    ENVIRONMENT,
    artifact_location,
    is_server,
)

REACH = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1", "MLFLOW_HTTP_REQUEST_TIMEOUT": "5"}
"""While finding out whether a server is there; MLflow's own defaults wait for minutes."""
CARRY = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1", "MLFLOW_HTTP_REQUEST_TIMEOUT": "20"}
"""While following, where the next look is another try."""
WORK = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "3",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "60",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}


class UnreachableError(TadsrError):
    """MLflow cannot be had, or refuses; later it may be otherwise."""


@contextmanager
def connected(
    uri: str, experiment: str, results: Path, *, patience: Mapping[str, str] = WORK
) -> Iterator[tuple[MlflowClient, str]]:
    """Yield a client for `uri` and the id of the MLflow experiment, made if need be.

    What MLflow, the network or the database raise inside becomes an `UnreachableError` of one
    line. `patience` says how long each call inside waits and how often it is tried again.
    """
    with explained(uri, results):
        prepare_database(uri, experiment, results)
        client = MlflowClient(uri)
        with settings(REACH):
            number = _experiment(client, experiment, uri, results)
        with settings(patience):
            yield client, number


def _experiment(client: MlflowClient, name: str, uri: str, results: Path) -> str:
    """The id of the MLflow experiment, made or taken out of the trash if need be."""
    found = client.get_experiment_by_name(name)
    if found is None:
        place = None if is_server(uri) else str(artifact_location(results) / name)
        number: str = client.create_experiment(name, place)
        return number
    if found.lifecycle_stage == "deleted":
        client.restore_experiment(found.experiment_id)
    return str(found.experiment_id)


@contextmanager
def settings(values: Mapping[str, str]) -> Iterator[None]:
    """Set MLflow's environment variables for a while, where the user has not set them."""
    added = {name: value for name, value in values.items() if name not in os.environ}
    os.environ.update(added)
    try:
        yield
    finally:
        for name in added:
            os.environ.pop(name, None)


@contextmanager
def explained(uri: str, results: Path) -> Iterator[None]:
    """Turn what MLflow, the network or the database raise into one line with a remedy."""
    try:
        yield
    except ImportError as error:
        raise UnreachableError(
            f"MLflow at {uri}: no driver for it is installed ({error.name}); "
            f"write postgresql+psycopg://, whose driver is here, in {ENVIRONMENT}, or "
            "install the driver that SQLAlchemy has for it"
        ) from error
    except (MlflowException, SQLAlchemyError, OSError) as error:
        if refused := storage_error(error, uri):
            raise refused from error
        raise UnreachableError(
            f"MLflow at {uri}: {_reason(error)}; nothing is lost, the files in "
            f"{results} are the truth: make it reachable, or unset {ENVIRONMENT}, and run "
            "`tadsr publish` again"
        ) from error


def _reason(error: BaseException) -> str:
    """The first line of what went wrong in the operating system, or else of `error` itself."""
    reason, cause = error, error.__cause__ or error.__context__
    while cause is not None:
        if isinstance(cause, OSError):
            reason = cause
        cause = cause.__cause__ or cause.__context__
    return (str(reason).strip().splitlines() or [type(reason).__name__])[0][:200]
