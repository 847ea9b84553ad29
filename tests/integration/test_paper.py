"""The paper's experiments, as far as they go without data, weights and GPUs: the whole DAG."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY

pytestmark = pytest.mark.integration

COMMON = {"data": 1, "weights": 1, "teacher": 1, "compare": 1, "report": 1,
          "publish": 1, "all": 1}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "students", "pools"),
    [("paper", 45, 3), ("paper_face", 27, 2)],
    ids=["paper", "face"],
)
def test_snakemake_plans_every_job(name: str, students: int, pools: int, tmp_path: Path) -> None:
    command = [
        sys.executable, "-m", "snakemake", "--snakefile", str(REPOSITORY / "Snakefile"),
        "--workflow-profile", str(REPOSITORY / "workflow/profiles/local"), "--cores", "2",
        "--dry-run", "--config", f"experiment={REPOSITORY / 'ablations' / f'{name}.yaml'}",
    ]  # fmt: skip
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    table = done.stdout.split("Job stats:")[1].split("total")[0]
    counts = {rule: int(count) for rule, count in re.findall(r"^(\w+)\s+(\d+)$", table, re.M)}
    many = {"targets": pools, "student": students, "evaluate": students + 1}
    assert counts == {**COMMON, **many}
    assert not (tmp_path / "results").exists(), "a dry run changes nothing"


@pytest.mark.parametrize("name", ["paper", "paper_face"])
def test_a_run_without_the_weights_says_what_to_fetch(name: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tadsr", "run", "--offline",
               str(REPOSITORY / "ablations" / f"{name}.yaml")]  # fmt: skip
    environment = {"PATH": "/usr/bin:/bin", "TADSR_WEIGHTS": str(tmp_path / "none")}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True,
                          check=False)  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "tadsr weights fetch resshift-" in done.stderr
