"""The SQLite file of MLflow: made whole or not at all, and mended when results were moved."""

from __future__ import annotations

import logging
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from tadsr.files import atomic_path
from tadsr.publish.location import artifact_location, database_path


def prepare_database(uri: str, experiment: str, results: Path) -> None:
    """Make the tables of our own SQLite file, or of another that does not exist yet."""
    if not uri.startswith("sqlite:///"):
        return
    path = Path(uri.removeprefix("sqlite:///"))
    if not path.is_file() or not path.stat().st_size:
        create_database(path)
    elif path == database_path(results).absolute():
        relocate_artifacts(path, experiment, artifact_location(results) / experiment)


def create_database(path: Path) -> None:
    """Make a database with MLflow's current tables, as `mlflow db upgrade` does.

    MLflow would make the tables on first use, but a process killed meanwhile, or two at once,
    leave a file that stays broken. Here the file appears when it is complete. In a folder of its
    own, SQLite has it for itself: its locks and ours on one file would meet on NFS.
    """
    import sqlalchemy
    from mlflow.store.db import utils

    logging.getLogger("mlflow.store.db.utils").setLevel(logging.WARNING)
    logging.getLogger("alembic").setLevel(logging.WARNING)
    with atomic_path(path, within_folder=True) as temporary:
        engine = sqlalchemy.create_engine(f"sqlite:///{temporary.absolute().as_posix()}")
        sqlalchemy.event.listen(engine, "connect", _without_syncing)
        try:
            utils._initialize_tables(engine)
        finally:
            engine.dispose()


def _without_syncing(connection: Any, _: Any) -> None:
    """Hundreds of small migrations need not each reach the disk: `atomic_path` syncs once."""
    connection.execute("PRAGMA synchronous = OFF")


def relocate_artifacts(path: Path, experiment: str, location: Path) -> None:
    """Point the runs of an MLflow experiment to `location`, if it was made elsewhere.

    MLflow stores absolute places, which are wrong after the results folder was moved or copied.
    """
    with closing(sqlite3.connect(path)) as connection, connection:
        row = connection.execute(
            "SELECT experiment_id, artifact_location FROM experiments WHERE name = ?",
            (experiment,),
        ).fetchone()
        if row is None or row[1] == str(location):
            return
        number, old = row
        connection.execute(
            "UPDATE experiments SET artifact_location = ? WHERE experiment_id = ?",
            (str(location), number),
        )
        for table, column in (("runs", "artifact_uri"), ("logged_models", "artifact_location")):
            connection.execute(
                f"UPDATE {table} SET {column} = ? || substr({column}, ?) "  # noqa: S608
                f"WHERE experiment_id = ? AND substr({column}, 1, ?) = ?",
                (str(location), len(old) + 1, number, len(old), old),
            )
