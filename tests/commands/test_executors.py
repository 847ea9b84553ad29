"""What `tadsr run` tells Snakemake beyond a profile, and profiles that cannot be used."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from tadsr.commands.executors import executor_flags, executor_variables, read_executor
from tadsr.commands.run import find_profile
from tadsr.errors import ConfigError
from tests.conftest import REPOSITORY
from tests.plan.made_up import mini

PROFILES = sorted(path.parent.name for path in REPOSITORY.glob("workflow/profiles/*/config.yaml"))


def test_every_profile_names_an_executor_that_is_here() -> None:
    assert PROFILES == ["kubernetes", "local", "slurm", "slurm-arrays"]
    executors = [read_executor(find_profile(name)) for name in PROFILES]
    assert executors == ["shared-kubernetes", "local", "tadsr-slurm", "tadsr-slurm"]


def test_gpus_of_this_machine_limit_the_jobs_that_ask_for_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    plan = mini(tmp_path, "execution.jobs_per_gpu=3")
    assert executor_flags(plan, "local") == ["--resources", "gpu=6"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert executor_flags(plan, "local") == []


def test_slurm_keeps_its_logs_with_those_of_the_run_and_names_its_jobs(tmp_path: Path) -> None:
    plan = mini(tmp_path)
    flags = executor_flags(plan, "tadsr-slurm")
    assert flags[:2] == ["--tadsr-slurm-logdir", str(plan.root / "logs" / "slurm")]
    assert flags[2:] == ["--tadsr-slurm-jobname-prefix", "tadsr-mini"]


def test_pods_get_the_variables_that_jobs_read_and_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "x")
    monkeypatch.setenv("SOMETHING_PRIVATE", "y")
    flags = executor_flags(mini(tmp_path), "shared-kubernetes")
    assert flags[:2] == ["--precommand", f"cd {Path.cwd()}"]
    names = flags[flags.index("--envvars") + 1 :]
    assert "MLFLOW_TRACKING_PASSWORD" in names and "SOMETHING_PRIVATE" not in names


def test_only_a_profile_that_needs_our_executor_shows_it_to_snakemake() -> None:
    assert executor_variables("local") == {}
    for executor in ("shared-kubernetes", "tadsr-slurm"):
        assert executor_variables(executor)["PYTHONPATH"].endswith("workflow/executors")


@pytest.mark.parametrize(
    ("text", "part"),
    [("executor: tadsr-slurm",
      "needs snakemake-executor-plugin-slurm; pip install 'tadsr\\[cluster\\]'"),
     ("- a list", "a profile is a mapping"), ("executor: [", "config.yaml: while parsing")],
)  # fmt: skip
def test_a_profile_that_cannot_be_used_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, part: str
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    (tmp_path / "config.yaml").write_text(text)
    with pytest.raises(ConfigError, match=part):
        read_executor(tmp_path)
