"""The accounting of a SLURM of the tests: MariaDB and slurmdbd, which `sacct` asks.

MariaDB listens on a socket in the folder alone.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.slurm.daemons import daemon, wait_until

CONFIG = Path("/etc/slurm/slurmdbd.conf")

TEMPLATE = """\
DbdHost=localhost
DbdAddr=127.0.0.1
DbdPort=16819
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge/socket
PidFile={folder}/slurmdbd.pid
StorageType=accounting_storage/mysql
StorageHost=localhost
StorageUser=root
StorageLoc=accounts
"""
SETTINGS = """\
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=127.0.0.1
AccountingStoragePort=16819
AccountingStoragePass={folder}/munge/socket
AccountingStorageEnforce=associations
AccountingStoreFlags=job_comment
"""
"""Of slurm.conf."""


@contextmanager
def accounting(folder: Path, mark: str) -> Iterator[None]:
    """Run a database and slurmdbd until the block ends; `mark` begins its configuration file."""
    data, socket = folder / "mariadb", folder / "mariadb.socket"
    install = ["mariadb-install-db", "--no-defaults", "--user=root", f"--datadir={data}",
               "--auth-root-authentication-method=normal", "--skip-test-db"]  # fmt: skip
    subprocess.run(install, check=True, capture_output=True)
    serve = ["mariadbd", "--no-defaults", "--user=root", f"--datadir={data}", f"--socket={socket}",
             "--skip-networking", "--innodb-lock-wait-timeout=900"]  # fmt: skip
    log = folder / "slurmdbd.log"
    CONFIG.write_text(mark + TEMPLATE.format(folder=folder))
    CONFIG.chmod(0o600)  # slurmdbd asks for it
    try:
        with daemon(serve, folder / "mariadb.log"):
            wait_until(lambda: _answers(socket), "MariaDB", folder / "mariadb.log")
            variables = {"MYSQL_UNIX_PORT": str(socket)}
            with daemon(["slurmdbd", "-D", "-v"], log, variables=variables):
                wait_until(lambda: _managed("show", "cluster"), "slurmdbd", log)
                yield
    finally:
        CONFIG.unlink()


def add_cluster(name: str) -> None:
    """Make a cluster known, before its controller starts; root has an account from the outset."""
    assert _managed("add", "cluster", name), f"sacctmgr could not add the cluster {name}"


def _answers(socket: Path) -> bool:
    command = ["mariadb", "--no-defaults", f"--socket={socket}", "--execute=SELECT 1"]
    return subprocess.run(command, capture_output=True).returncode == 0


def _managed(*arguments: str) -> bool:
    command = ["sacctmgr", "--immediate", "--noheader", *arguments]
    return subprocess.run(command, capture_output=True).returncode == 0
