"""How a SLURM of the tests holds jobs to their memory: by control groups, or by looking at it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

CONFIG = Path("/etc/slurm/cgroup.conf")
GROUPS = Path("/sys/fs/cgroup")
BY_GROUPS = """\
ProctrackType=proctrack/cgroup
TaskPlugin=task/cgroup
JobAcctGatherType=jobacct_gather/cgroup
"""
GROUP_SETTINGS = """\
CgroupPlugin=cgroup/v1
CgroupMountpoint={groups}
CgroupAutomount=no
ConstrainRAMSpace=yes
ConstrainSwapSpace=yes
"""
BY_SAMPLING = """\
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=1
JobAcctGatherParams=OverMemoryKill
"""


@contextmanager
def limits(mark: str) -> Iterator[str]:
    """What slurm.conf says of it; control groups (version 1) where this machine has them."""
    if not all((GROUPS / name / "tasks").is_file() for name in ("memory", "freezer")):
        yield BY_SAMPLING
        return
    CONFIG.write_text(mark + GROUP_SETTINGS.format(groups=GROUPS))
    try:
        yield BY_GROUPS
    finally:
        CONFIG.unlink()
