"""A PostgreSQL for the tests that need one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.postgresql import PostgreSQL, postgresql


@pytest.fixture(scope="session")
def server() -> Iterator[PostgreSQL]:
    yield from postgresql()


@pytest.fixture
def database(server: PostgreSQL) -> PostgreSQL:
    server.empty()
    return server
