"""Whether a PostgreSQL for searches can be used as it is. Changes nothing there."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path

from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from optuna.storages import _rdb
from optuna.storages._rdb.models import BaseModel
from sqlalchemy import create_engine, inspect, text
from sqlalchemy.engine import URL, Connection
from sqlalchemy.exc import SQLAlchemyError

from tadsr.sweeps.remarks import Remark
from tadsr.sweeps.storage import database_url, reason

SECONDS = 5
"""That the database has for an answer."""
CONNECT = {"connect_timeout": SECONDS, "options": f"-c statement_timeout={1000 * SECONDS}"}
WHERE = "execution.sweep_storage"
ROWS = ("SELECT", "INSERT", "UPDATE", "DELETE")
"""What a worker does with the rows of tables."""
TABLES = (*BaseModel.metadata.tables, "alembic_version")
"""That Optuna makes."""


def database_state(where: str) -> Iterator[Remark]:
    """What there is to say of the database at a URL; its trials can be read if no problem is.

    Raises:
        ConfigError: it is no URL.
    """
    url = database_url(where)
    engine = create_engine(url, connect_args=CONNECT)
    try:
        with engine.connect() as connection:
            yield from _inside(connection, url)
    except SQLAlchemyError as error:
        why = reason(error)
        yield Remark("problem", f"{WHERE}: {_shown(url)} cannot be used ({why})", _way_in(url, why))
    finally:
        engine.dispose()


def _shown(url: URL) -> str:
    return url.set(drivername="postgresql").render_as_string()


def _way_in(url: URL, why: str) -> str:
    """What to do about a database that lets nobody in."""
    if "password" in why:
        parts = (url.host, url.port, url.database, url.username)
        line = ":".join(str(part or "*") for part in parts)
        return f"put the line {line}:PASSWORD into ~/.pgpass (chmod 600), or set PGPASSWORD"
    if "does not exist" in why and "database" in why:
        return f"{_tool('createdb', url)} {shlex.quote(url.database or '')}, or correct {WHERE}"
    if "does not exist" in why and "role" in why:
        user = shlex.quote(url.username or "")
        return f"{_tool('createuser', url, 'postgres')} {user}, or correct {WHERE}"
    ask = _tool("pg_isready", url)
    return f"start the database ({ask} tells whether it answers), or correct {WHERE}"


def _tool(program: str, url: URL, user: str | None = None) -> str:
    """A program of PostgreSQL's, pointed at the server."""
    given = (("h", url.host), ("p", url.port), ("U", user or url.username))
    options = [f"-{key} {shlex.quote(str(value))}" for key, value in given if value]
    return " ".join([program, *options])


def _inside(connection: Connection, url: URL) -> Iterator[Remark]:
    """Permissions and schema, once connected."""
    if locked := _read_only(connection):
        yield Remark("problem", f"{WHERE}: {_shown(url)} {locked}",
                     f"correct {WHERE}: name a server that can be written to")  # fmt: skip
        return
    schema = connection.scalar(text("SELECT current_schema()")) or "public"
    tables = set(inspect(connection).get_table_names(schema)) & {*TABLES}
    rights = [*_lacking(connection, schema, tables)]
    if rights:
        yield _not_permitted(connection, url, schema, rights)
    elif not tables:
        yield Remark("ok", f"{WHERE}: {_shown(url)} is reachable and has no tables yet; the first "
                     "search makes them")  # fmt: skip
    elif mistake := _schema(connection, url, tables):
        yield mistake
    else:
        yield Remark("ok", f"{WHERE}: {_shown(url)} is reachable and can be written to, its tables "
                     "are of this Optuna")  # fmt: skip


def _read_only(connection: Connection) -> str:
    recovering, only = connection.execute(
        text("SELECT pg_is_in_recovery(), current_setting('transaction_read_only')")
    ).one()
    if recovering:
        return "is a standby, which cannot be written to"
    return "can only be read (default_transaction_read_only)" if only == "on" else ""


def _schema(connection: Connection, url: URL, tables: set[str]) -> Remark | None:
    """Tables of another version, or not all of them."""
    scripts = ScriptDirectory(str(Path(_rdb.__file__).parent / "alembic"))
    known = [revision.revision for revision in scripts.walk_revisions()]
    here = MigrationContext.configure(connection).get_current_revision()
    missing = sorted(set(TABLES) - tables)
    if here == known[0]:
        return None if not missing else Remark(
            "problem", f"{WHERE}: {_shown(url)} lacks tables of Optuna: {', '.join(missing)}",
            f"name an empty database in {WHERE}")  # fmt: skip
    what = (f"{WHERE}: {_shown(url)} has tables of another Optuna (schema {here}, this one's is "
            f"{known[0]})")  # fmt: skip
    if here is not None and here not in known:
        return Remark("problem", f"{what}, a newer one", "install the Optuna that made them, or "
                      f"name another database in {WHERE}")  # fmt: skip
    address = shlex.quote(url.render_as_string())
    return Remark("problem", what, "make a copy of it (pg_dump), then: optuna storage upgrade "
                  f"--storage {address}")  # fmt: skip


def _lacking(connection: Connection, schema: str, tables: set[str]) -> Iterator[str]:
    """What a worker does, and may not: with rows, or with no tables yet by making them."""
    ask = text("SELECT has_schema_privilege(:schema, :right)")
    for right in ("USAGE",) if tables else ("USAGE", "CREATE"):
        if not connection.scalar(ask, {"schema": schema, "right": right}):
            yield right
    # By number: a name would be looked up in a schema that we may not use.
    ask = text("SELECT bool_and(has_table_privilege(c.oid, :right)) FROM pg_class c JOIN "
               "pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = :schema "
               "AND c.relname = ANY(:tables)")  # fmt: skip
    for right in ROWS if tables else ():
        values = {"schema": schema, "right": right, "tables": sorted(tables)}
        if not connection.scalar(ask, values):
            yield right


def _not_permitted(connection: Connection, url: URL, schema: str, rights: list[str]) -> Remark:
    """With the command by which an owner sets it right."""
    user = f'TO "{url.username}"'
    rows = [right for right in ROWS if right in rights]
    grants = [f"GRANT {', '.join(r for r in rights if r not in ROWS)} ON SCHEMA {schema} {user}"]
    owner = "SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = current_database()"
    if rights == rows:
        grants = []
        owner = "SELECT tableowner FROM pg_tables WHERE tablename = 'trials'"
    if rows:
        grants += [f"GRANT {', '.join(ROWS)} ON ALL TABLES IN SCHEMA {schema} {user}",
                   f"GRANT USAGE ON ALL SEQUENCES IN SCHEMA {schema} {user}"]  # fmt: skip
    return Remark(
        "problem",
        f"{WHERE}: {_shown(url)} is reachable, but '{url.username}' lacks rights in schema "
        f"{schema}: {', '.join(rights)}",
        f"{_tool('psql', url, str(connection.scalar(text(owner))))} "
        f"-d {shlex.quote(url.database or '')} -c {shlex.quote('; '.join(grants))}",
    )
