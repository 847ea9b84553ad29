"""A PostgreSQL of Debian's, started for the tests that need one."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest


class PostgreSQL:
    """A server in a folder of its own, under its own user: it refuses to run as root."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "data"
        self.user = pwd.getpwnam("postgres") if os.getuid() == 0 else None
        if self.user:
            os.chown(folder, self.user.pw_uid, self.user.pw_gid)
        self.port = _free_port()
        self.url = f"postgresql://postgres@127.0.0.1:{self.port}/postgres"
        programs = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
        self.programs = programs[-1] if programs else Path("/usr/bin")
        self.call("initdb", "-D", str(self.folder), "-A", "trust", "-U", "postgres")
        self.start()

    def call(self, program: str, *arguments: str) -> None:
        user = self.user.pw_uid if self.user else None
        subprocess.run([self.programs / program, *arguments], check=True, user=user,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                       cwd=self.folder.parent)  # fmt: skip

    def start(self) -> None:
        options = f"-p {self.port} -c listen_addresses=127.0.0.1 -c unix_socket_directories=''"
        self.call("pg_ctl", "-D", str(self.folder), "-w", "-o", options, "start")

    def kill(self) -> None:
        """kill -9 of the server and all its processes."""
        pid = int((self.folder / "postmaster.pid").read_text().splitlines()[0])
        children = subprocess.run(["ps", "-o", "pid=", "--ppid", str(pid)], text=True,
                                  capture_output=True, check=False).stdout.split()  # fmt: skip
        for process in (pid, *map(int, children)):
            with_grace(process)
        while Path(f"/proc/{pid}").exists():
            time.sleep(0.05)

    def empty(self) -> None:
        """Drop everything that is in the database."""
        import psycopg

        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute("DROP SCHEMA public CASCADE")
            connection.execute("CREATE SCHEMA public")

    def stop(self) -> None:
        self.call("pg_ctl", "-D", str(self.folder), "-m", "immediate", "stop")


def with_grace(process: int) -> None:
    try:
        os.kill(process, signal.SIGKILL)
    except ProcessLookupError:
        return


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def postgresql() -> Iterator[PostgreSQL]:
    """A running server until the generator is closed; skips where there is none to start."""
    if not shutil.which("pg_ctl") and not list(Path("/usr/lib/postgresql").glob("*/bin/pg_ctl")):
        pytest.skip("PostgreSQL is not installed (apt-get install postgresql)")
    # pytest's own folders are closed to other users, and the server is one.
    folder = Path(tempfile.mkdtemp(prefix="tadsr-postgresql-"))
    started = PostgreSQL(folder)
    try:
        yield started
    finally:
        started.stop()
        shutil.rmtree(folder, ignore_errors=True)
