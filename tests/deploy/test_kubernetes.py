"""The Kubernetes profile against a stand-in for the cluster: what is submitted, and that it works.

The profile is parsed by Snakemake, the jobs are made by the published executor and sent through the
official client; the stand-in carries their commands out. What this cannot show: scheduling, image
pulls, mounts, and that pods are stopped at their limits.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conftest import REPOSITORY
from tests.deploy.kubernetes_api import Cluster, kubernetes_api

pytest.importorskip("snakemake_executor_plugin_kubernetes",
                    reason="the extra `cluster` is not installed")  # fmt: skip
PROFILE = REPOSITORY / "workflow" / "profiles" / "kubernetes" / "config.yaml"
MINI = REPOSITORY / "tests" / "integration" / "mini.yaml"


def run(folder: Path, *arguments: str) -> tuple[subprocess.CompletedProcess[str], Cluster]:
    """`tadsr run --profile kubernetes` in a folder, against a new stand-in."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    with kubernetes_api(path) as (cluster, config):
        environment = {**os.environ, "KUBECONFIG": str(config), "TADSR_WEIGHTS": f"{folder}/none",
                       "MLFLOW_TRACKING_URI": "sqlite:////a/secret/place.db"}  # fmt: skip
        command = [sys.executable, "-m", "tadsr", "run", "mini.yaml", "--offline", "--profile",
                   "kubernetes", "--seconds-between-status-checks", "1", *arguments]  # fmt: skip
        done = subprocess.run(command, cwd=folder, env=environment, text=True,
                              capture_output=True, timeout=300)  # fmt: skip
    return done, cluster


@pytest.fixture(scope="module")
def submitted(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Cluster]:
    """The small experiment up to the teacher's answers."""
    folder = tmp_path_factory.mktemp("shared")
    shutil.copy(MINI, folder)
    done, cluster = run(folder, "--until", "targets")
    log = folder / "results" / "mini" / "logs" / "snakemake.log"
    assert done.returncode == 0, done.stdout + done.stderr + log.read_text()
    return folder, cluster


def of_rule(cluster: Cluster, rule: str) -> dict[str, Any]:
    """The pod of the job that was submitted for a rule."""
    found = [job["spec"]["template"]["spec"] for job in cluster.jobs.values()
             if f"--allowed-rules {rule}" in job["spec"]["template"]["spec"]["containers"][0]["args"][1]]  # fmt: skip # noqa: E501
    assert len(found) == 1
    pod: dict[str, Any] = found[0]
    return pod


@pytest.mark.slow
@pytest.mark.integration
class TestWhatIsSubmitted:
    def test_the_jobs_do_their_work_on_the_shared_folder(
        self, submitted: tuple[Path, Cluster]
    ) -> None:
        folder, cluster = submitted
        receipts = folder / "results" / "mini" / "jobs"
        assert (receipts / "teacher.json").is_file() and list(receipts.glob("targets/*.json"))
        assert len(cluster.jobs) == 3  # data, teacher, targets
        assert cluster.refused == [] and cluster.deleted == set(cluster.jobs)

    def test_memory_and_processors_are_requested_and_limited(
        self, submitted: tuple[Path, Cluster]
    ) -> None:
        from tadsr.plan import Plan

        for rule, needs in Plan.load(MINI).resources.items():
            if rule in ("data", "teacher", "targets"):
                asked = of_rule(submitted[1], rule)["containers"][0]["resources"]
                assert asked["requests"]["memory"] == f"{needs.mem_mb}M", rule
                assert asked["limits"]["memory"] == f"{needs.mem_mb}M"
                assert asked["limits"]["cpu"] == "1000m"

    def test_gpus_go_to_the_jobs_that_compute_and_to_no_other(
        self, submitted: tuple[Path, Cluster]
    ) -> None:
        teacher, data = (of_rule(submitted[1], rule) for rule in ("teacher", "data"))
        asked = teacher["containers"][0]["resources"]
        assert asked["limits"]["nvidia.com/gpu"] == asked["requests"]["nvidia.com/gpu"] == "1"
        assert [taint["key"] for taint in teacher["tolerations"]] == ["nvidia.com/gpu"]
        assert "nvidia.com/gpu" not in data["containers"][0]["resources"]["limits"]
        assert "tolerations" not in data

    def test_image_volume_and_account_are_those_of_the_profile(
        self, submitted: tuple[Path, Cluster]
    ) -> None:
        profile = yaml.safe_load(PROFILE.read_text())
        (volume,) = profile["shared-kubernetes-persistent-volumes"]
        claim, _, path = volume.partition(":")
        pod = of_rule(submitted[1], "teacher")
        container = pod["containers"][0]
        assert container["image"] == profile["container-image"]
        assert {"name": claim, "mountPath": path} in container["volumeMounts"]
        claims = [v["persistentVolumeClaim"]["claimName"] for v in pod["volumes"]
                  if "persistentVolumeClaim" in v]  # fmt: skip
        assert claims == [claim]
        assert pod["serviceAccountName"] == profile["shared-kubernetes-service-account-name"]

    def test_secrets_travel_as_a_secret_and_are_deleted(
        self, submitted: tuple[Path, Cluster]
    ) -> None:
        names = {v["name"] for v in of_rule(submitted[1], "teacher")["containers"][0]["env"]}
        assert {"MLFLOW_TRACKING_URI", "TADSR_WEIGHTS"} <= names
        assert "secret/place" not in json.dumps(submitted[1].jobs)
        assert submitted[1].secrets == {}

    def test_nothing_is_installed_or_copied_in_a_pod(self, submitted: tuple[Path, Cluster]) -> None:
        for job in submitted[1].jobs.values():
            command = job["spec"]["template"]["spec"]["containers"][0]["args"][1]
            assert command.startswith(f"cd {submitted[0]} && ")
            assert "pip install" not in command and "--deploy-sources" not in command

    def test_a_job_that_fails_is_named_and_does_not_stop_the_run(
        self, submitted: tuple[Path, Cluster]
    ) -> None:
        folder = submitted[0]
        blocked = folder / "results" / "mini" / "students" / "full"
        blocked.parent.mkdir(exist_ok=True)
        blocked.write_text("a file where a folder should be")
        done, cluster = run(folder, "--until", "student", "--retries", "0")
        assert done.returncode == 1
        assert "failed: student/full" in done.stdout
        assert (folder / "results" / "mini" / "jobs" / "student" / "distill_only.json").is_file()
        assert len(cluster.jobs) == 2 and cluster.deleted == set(cluster.jobs)
