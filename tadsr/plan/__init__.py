"""What determines what, which jobs follow, and how far they are. Nothing here imports torch."""

from tadsr.plan.jobs import Job, Plan

__all__ = ["Job", "Plan"]
