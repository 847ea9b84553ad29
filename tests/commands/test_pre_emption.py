"""A job that a signal stopped: under SLURM it waits to be ended, elsewhere it ends."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tadsr.commands.common import job_context
from tadsr.runs.pre_emption import LONGEST_GRACE
from tests.plan.made_up import mini


@pytest.mark.parametrize(("variable", "waits"), [("SLURM_JOB_ID", [LONGEST_GRACE]), (None, [])])
def test_a_stopped_job_waits_for_slurm_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str | None, waits: list[float]
) -> None:
    waited: list[float] = []
    monkeypatch.setattr(time, "sleep", waited.append)
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    if variable:
        monkeypatch.setenv(variable, "7")
    plan = mini(tmp_path)
    with pytest.raises(SystemExit), job_context(plan, plan.jobs["compare"]):
        raise SystemExit(143)
    assert waited == waits
    assert not plan.receipt("compare").is_file()
    assert not plan.log("compare").with_suffix(".failed").is_file()
