"""Two machines, one teacher: trained apart, merged, and finished by `tadsr run`."""

from __future__ import annotations

import shutil
from pathlib import Path

import pandas as pd
import pytest

from tests.workplace import Workplace

pytestmark = [pytest.mark.integration, pytest.mark.slow]


def test_seeds_of_two_machines_become_one_report(tmp_path: Path) -> None:
    """The way of docs/several_machines.md, on the small experiment."""
    first, second = (Workplace(tmp_path / name) for name in ("first", "second"))
    short = ("--set", "variants={full: {}}", "--set", "evaluation.metrics=[psnr]")
    first.run("--set", "seeds=[0]", *short, "--until", "evaluate")
    for part in ("data", "teacher", "targets"):
        shutil.copytree(first.root / part, second.root / part)
    second.run("--set", "seeds=[1]", *short, "--until", "evaluate")
    assert second.state()["teacher"] == first.state()["teacher"]  # taken over, not trained again
    place = Workplace(tmp_path / "merged")
    merged = place.tadsr("merge", str(first.root), str(second.root), "--out", str(place.root))
    assert "merged 1 variants x 2 seeds" in merged
    before = place.state()
    jobs = place.root / "jobs" / "evaluate" / "full.json"
    written = jobs.stat().st_mtime_ns
    place.run("--set", "seeds=[0,1]", *short)
    assert place.state() == before  # nothing was trained
    assert "Merged from 2 results folders" in (place.root / "report" / "index.html").read_text()
    scores = pd.read_parquet(place.root / "comparison" / "scores.parquet")
    assert set(scores.loc[scores["variant"] == "full", "seed"]) == {0, 1}
    assert jobs.stat().st_mtime_ns == written  # nor measured
    frozen = str(place.root / "experiment.json")
    assert "all digests match" in place.tadsr("verify", frozen, "--fast")
    assert "nothing to do" in place.run("--set", "seeds=[0,1]", *short)
