"""A job: cells that share a process."""

from __future__ import annotations

from dataclasses import dataclass

from tadsr.plan.estimates import CPU_CORE_FLOPS

STAGES = ("data", "weights", "teacher", "targets", "sweep", "student", "evaluate", "compare",
          "report", "publish")  # fmt: skip
COMPUTING = ("teacher", "targets", "sweep", "student", "evaluate")
"""The stages that run networks, each job on devices of its own."""
MANY_JOBS = ("targets", "sweep", "student", "evaluate")
"""The stages that consist of several jobs, each with a name of its own."""


@dataclass(frozen=True)
class Job:
    """Cells that share a process; ends in a receipt."""

    stage: str
    name: str
    cells: tuple[str, ...]
    inputs: tuple[str, ...]
    """Ids of the jobs whose receipts must be there."""
    digest: str
    threads: int = 1
    start: float = 4.0
    """Estimated seconds that do not depend on the networks: imports, reading, writing."""
    flops: float = 0.0
    """Estimated operations of the networks."""

    @property
    def cost(self) -> float:
        """Estimated seconds on one laptop core, for the share done and the time left."""
        return self.start + self.flops / CPU_CORE_FLOPS

    @property
    def id(self) -> str:
        """`<stage>`, or `<stage>/<name>` for a stage of several jobs."""
        return f"{self.stage}/{self.name}" if self.stage in MANY_JOBS else self.stage
