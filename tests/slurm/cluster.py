"""A real SLURM on this machine, of one node, from Debian's packages; gone when the block ends.

The daemons run in the foreground as children, die with this process however it dies, and keep all
their files in one folder. The one thing outside it is their settings in /etc/slurm, because
Snakemake's plugin drops the variable that could name another place.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from tests.slurm.accounting import SETTINGS, accounting, add_cluster
from tests.slurm.daemons import daemon, wait_until
from tests.slurm.limits import limits

CONFIG = Path("/etc/slurm/slurm.conf")
MARK = "# made by the tests of tadsr\n"
CLUSTER = "tadsr-tests"
PACKAGES = ("slurm-wlm", "munge", "slurmdbd", "mariadb-server")
DAEMONS = ("slurmdbd", "slurmctld", "slurmd", "slurmstepd")

PROGRAMS = ("slurmctld", "munged", "slurmdbd", "mariadbd")

TEMPLATE = """\
ClusterName={cluster}
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort=16817
SlurmdPort=16818
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge/socket
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
{limits}{accounting}MpiDefault=none
ReturnToService=2
KillWait=15
MinJobAge=7200
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
SchedulerParameters=batch_sched_delay=1,sched_interval=5
NodeName={host} NodeAddr=127.0.0.1 CPUs=2 RealMemory={megabytes} State=UNKNOWN
PartitionName=main Nodes={host} Default=YES PriorityTier=1 GraceTime=15 State=UP
PartitionName=urgent Nodes={host} PriorityTier=10 PreemptMode=OFF State=UP
"""


class Unavailable(Exception):
    """Why there can be no SLURM here."""


def install() -> None:
    """Get Debian's packages.

    Raises:
        Unavailable: not root, no apt, or no packages.
    """
    lacking = [name for name in PROGRAMS if shutil.which(name) is None]
    if not lacking:
        return
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        raise Unavailable(f"no {', '.join(lacking)} here, and only root can install them with apt")
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for arguments in (["update"], ["install", "-y", "--no-install-recommends", *PACKAGES]):
        done = subprocess.run(["apt-get", "-qq", *arguments], env=environment, text=True,
                              capture_output=True)  # fmt: skip
        if done.returncode != 0:
            said = done.stderr.strip().splitlines() or ["no reason given"]
            raise Unavailable(f"apt-get {arguments[0]} failed: {said[-1]}")


@contextmanager
def slurm(folder: Path) -> Iterator[None]:
    """Run a controller and a node until the block ends.

    Raises:
        Unavailable: no root, no packages, or a SLURM of this machine's own.
    """
    install()
    if os.geteuid() != 0:
        raise Unavailable("only root can start SLURM's daemons")
    if CONFIG.is_file() and not CONFIG.read_text().startswith(MARK):
        raise Unavailable(f"{CONFIG} is not of these tests: this machine has a SLURM of its own")
    if found := [name for name in DAEMONS if processes(name)]:
        raise Unavailable(f"{', '.join(found)} is running already")
    host = socket.gethostname().partition(".")[0]
    megabytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20
    for name in ("state", "spool", "munge"):
        (folder / name).mkdir()
    CONFIG.parent.mkdir(exist_ok=True)
    with ExitStack() as stack:
        text = TEMPLATE.format(cluster=CLUSTER, folder=folder, host=host,
                               megabytes=min(megabytes - 500, 16_000),
                               limits=stack.enter_context(limits(MARK)),
                               accounting=SETTINGS.format(folder=folder))  # fmt: skip
        CONFIG.write_text(MARK + text)
        stack.callback(CONFIG.unlink)
        stack.enter_context(_munge(folder / "munge"))
        stack.enter_context(accounting(folder, MARK))
        add_cluster(CLUSTER)
        for name in ("slurmctld", "slurmd"):
            stack.enter_context(daemon([name, "-D", "-f", str(CONFIG)], folder / f"{name}.log"))
        stack.callback(_end_all_jobs)
        _wait_for_node(folder)
        yield


def processes(name: str) -> list[int]:
    """Ids of running processes whose program has this name."""
    found = []
    for path in Path("/proc").glob("[0-9]*/comm"):
        try:
            if path.read_text().strip() == name:
                found.append(int(path.parent.name))
        except OSError:  # it ended meanwhile
            continue
    return found


def squeue(*arguments: str) -> list[str]:
    """Lines of `squeue` without its header."""
    done = subprocess.run(["squeue", "--noheader", *arguments], capture_output=True, text=True)
    return done.stdout.splitlines()


@contextmanager
def _munge(folder: Path) -> Iterator[None]:
    """SLURM's authentication, with a key, a socket and a user of its own."""
    key = folder / "key"
    key.write_bytes(os.urandom(128))
    owner = pwd.getpwnam("munge")
    for path in (folder, key):
        os.chown(path, owner.pw_uid, owner.pw_gid)
    key.chmod(0o400)
    folder.chmod(0o711)
    for parent in folder.parents:  # its user has to get there
        if parent.stat().st_uid == os.geteuid() and parent.owner() == "root":
            parent.chmod(parent.stat().st_mode | 0o011)
    command = ["munged", "--foreground", "--force", f"--key-file={key}",
               f"--socket={folder}/socket", f"--pid-file={folder}/pid",
               f"--log-file={folder}/log", f"--seed-file={folder}/seed"]  # fmt: skip
    with daemon(command, folder / "output", user=owner.pw_uid, group=owner.pw_gid):
        wait_until(lambda: (folder / "socket").exists(), "munged", folder / "output")
        yield


def _wait_for_node(folder: Path) -> None:
    command = ["sinfo", "--noheader", "--format=%t", "--partition=main"]

    def is_idle() -> bool:
        done = subprocess.run(command, capture_output=True, text=True)
        return done.stdout.strip() == "idle"

    wait_until(is_idle, "the node", folder / "slurmctld.log", folder / "slurmd.log")


def _end_all_jobs() -> None:
    """Cancel what runs, and kill what outlives that: SLURM without cgroups can miss a process."""
    subprocess.run(["scancel", "--user=root"], capture_output=True)
    end = time.monotonic() + 30
    while squeue("--states=running,completing") and time.monotonic() < end:
        time.sleep(0.5)
    for process in [*processes("slurmstepd"), *_of_jobs()]:
        with suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)


def _of_jobs() -> list[int]:
    """Ids of the processes that jobs of this cluster started, wherever they went."""
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            variables = path.read_bytes().split(b"\0")
        except OSError:  # it ended meanwhile
            continue
        if f"SLURM_CLUSTER_NAME={CLUSTER}".encode() in variables:
            found.append(int(path.parent.name))
    return found
