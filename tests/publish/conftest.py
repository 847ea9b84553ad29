"""A results folder with an MLflow database, per test."""

from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from made_up_results import NAME, make_results

from tadsr.plan import Plan


def without_syncing(connection: Any, _: Any) -> None:
    """Hundreds of small commits need not reach the disk one by one here."""
    if isinstance(connection, sqlite3.Connection):  # other tests of this process have PostgreSQL
        connection.execute("PRAGMA synchronous = OFF")


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A results folder and an MLflow database with its tables, made once."""
    import sqlalchemy

    from tadsr.publish.database import create_database

    sqlalchemy.event.listen(sqlalchemy.engine.Engine, "connect", without_syncing)
    folder = tmp_path_factory.mktemp("template")
    make_results(folder / NAME)
    create_database(folder / "mlflow.db")
    return folder


@pytest.fixture
def plan(template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Plan:
    """The made-up experiment in a results folder of its own, MLflow in a file beside it."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    results = tmp_path / "results"
    shutil.copytree(template, results)
    return Plan.load(results / NAME / "experiment.json")
