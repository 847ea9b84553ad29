"""What Snakemake's executors have to be told beyond their profile."""

from __future__ import annotations

import importlib.util
import os
import shlex
from pathlib import Path
from typing import Any

import yaml

from tadsr.errors import ConfigError
from tadsr.plan import Plan
from tadsr.plan.scheduler import slurm_logs
from tadsr.runs.devices import visible_gpus

SHARED_KUBERNETES = "shared-kubernetes"
SLURM = "tadsr-slurm"
PLUGINS = {
    SLURM: "snakemake_executor_plugin_slurm",
    SHARED_KUBERNETES: "snakemake_executor_plugin_kubernetes",
}
"""Executors of ours (workflow/executors), and the published ones that they wrap (`cluster`)."""
OWN_EXECUTORS = Path(__file__).resolve().parents[2] / "workflow" / "executors"
PASSED_ON = ("MLFLOW_", "TADSR_", "AWS_", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")
"""Beginnings of the environment variables that jobs on Kubernetes get, as a secret."""


def read_executor(profile: Path) -> str:
    """The executor that a profile names.

    Raises:
        ConfigError: it needs a package that is not installed, or is no YAML mapping.
    """
    file = profile / "config.yaml"
    try:
        settings: Any = yaml.safe_load(file.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise ConfigError(f"{file}: {' '.join(str(error).split())}") from error
    if not isinstance(settings, dict):
        raise ConfigError(f"{file}: a profile is a mapping of Snakemake's flags")
    executor = str(settings.get("executor", "local"))
    module = PLUGINS.get(executor)
    if module and importlib.util.find_spec(module) is None:
        raise ConfigError(
            f"{file}: executor {executor} needs {module.replace('_', '-')}; "
            "pip install 'tadsr[cluster]'"
        )
    return executor


def executor_flags(plan: Plan, executor: str) -> list[str]:
    """Flags that follow from this machine and this experiment, before those of the user."""
    if executor == "local":
        gpus = len(visible_gpus()) * plan.experiment.execution.jobs_per_gpu
        return ["--resources", f"gpu={gpus}"] if gpus else []
    if executor == SLURM:
        return [f"--{executor}-logdir", str(slurm_logs(plan).absolute()),
                f"--{executor}-jobname-prefix", f"tadsr-{plan.experiment.name}"[:50]]  # fmt: skip
    if executor == SHARED_KUBERNETES:
        names = sorted(name for name in os.environ if name.startswith(PASSED_ON))
        return ["--precommand", f"cd {shlex.quote(str(Path.cwd()))}",
                *(["--envvars", *names] if names else [])]  # fmt: skip
    return []


def executor_variables(executor: str) -> dict[str, str]:
    """Environment variables for Snakemake: where it finds an executor of ours."""
    if executor not in PLUGINS:
        return {}
    found = [os.environ.get("PYTHONPATH", ""), str(OWN_EXECUTORS)]
    return {"PYTHONPATH": os.pathsep.join(filter(None, found))}
