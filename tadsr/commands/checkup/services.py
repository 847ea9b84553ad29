"""What lies outside this machine's Python: weights, MLflow, SLURM, Kubernetes."""

from __future__ import annotations

import shlex
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

from tadsr.commands.checkup.findings import Finding, Level
from tadsr.commands.executors import SHARED_KUBERNETES, SLURM, read_executor
from tadsr.commands.run import find_profile
from tadsr.errors import ConfigError, TadsrError
from tadsr.plan import Plan

PATIENCE = 10.0
"""Seconds for a cluster's answer."""


def weights(plan: Plan | None) -> Iterator[Finding]:
    """Files that the experiment needs (all metrics' without one): here, official, or missing."""
    from tadsr.weights import METRIC_WEIGHTS, Missing, status

    models = plan.model_weights() if plan else []
    files = plan.jobs["weights"].cells if plan else METRIC_WEIGHTS
    for name in (*files, *models):
        found = status(name)
        if isinstance(found, Missing):
            level: Level = "problem" if name in models else "warning"
            yield Finding("weights", level, found.reason, found.command)
        elif found.verified is False:
            yield Finding("weights", "note", f"'{name}' is here; the file is not the official one, "
                          "its tensors decide", f"tadsr weights verify {name}")  # fmt: skip
        else:
            known = "" if found.verified else ", no official sha256 is known"
            yield Finding("weights", "ok", f"'{name}' is here{known}")


def tracking(results: Path) -> Iterator[Finding]:
    """Whether MLflow can be reached, and whether its tables are of this version."""
    from tadsr.publish.state import tracking_state

    try:
        text, remedy = tracking_state(results)
    except TadsrError as error:
        reason, _, remedy = str(error).partition("; ")
        yield Finding("MLflow", "problem", reason, remedy)
        return
    yield Finding("MLflow", "problem" if remedy else "ok", text, remedy)


def profiles(name: str) -> tuple[str, list[Finding]]:
    """The executor of the profile that will be used, and what stands in its way."""
    try:
        return read_executor(find_profile(name)), []
    except ConfigError as error:
        reason, _, remedy = str(error).partition("; ")
        return "", [Finding("profile", "problem", reason, remedy)]


def clusters(executor: str) -> Iterator[Finding]:
    """SLURM and Kubernetes: reachable from here? Their absence matters to their profile alone."""
    partitions = ("sinfo", "--noheader", "--format=%P %a %D nodes %t")
    yield _cluster("SLURM", "slurm", partitions, wanted=executor == SLURM)
    version = ("kubectl", "version", f"--request-timeout={PATIENCE:.0f}s")
    yield _cluster("Kubernetes", "kubernetes", version, wanted=executor == SHARED_KUBERNETES)


def _cluster(subject: str, name: str, command: Sequence[str], *, wanted: bool) -> Finding:
    if shutil.which(command[0]) is None:
        text = f"no {command[0]} on this machine"
        if wanted:
            return Finding(subject, "problem", f"{text}, which the profile needs",
                           "log in to a machine that submits jobs")  # fmt: skip
        return Finding(subject, "note", f"{text}; only --profile {name} needs it")
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE + 5)
    except subprocess.TimeoutExpired:
        answer, code = f"no answer within {PATIENCE + 5:.0f} s", 1
    else:
        code = done.returncode
        said = [line for line in (done.stdout if code == 0 else done.stderr).splitlines() if line]
        answer = "; ".join(said[:4]) or "an empty answer"
    if code == 0:
        return Finding(subject, "ok", answer)
    if not wanted:
        first = answer.partition("; ")[0]
        return Finding(subject, "note", f"{command[0]}: {first}; only --profile {name} needs it")
    return Finding(subject, "problem", f"{command[0]}: {answer}",
                   f"make `{shlex.join(command)}` work first")  # fmt: skip
