"""A job that SLURM told to stop waits for SLURM to end it."""

from __future__ import annotations

import os
import time

LONGEST_GRACE = 600.0
"""Seconds after which a job ends itself. Clusters give less between the signal and the end."""


def wait_to_be_ended() -> None:
    """Under SLURM, wait for the end that it announced; elsewhere do nothing.

    A job that ends itself in the time of grace counts as failed. One that SLURM has to end counts
    as pre-empted and is started again.
    """
    if "SLURM_JOB_ID" in os.environ:
        print("stopped by a signal; waiting for SLURM to end this job", flush=True)
        time.sleep(LONGEST_GRACE)
