"""Image and manifests, as far as they can be looked at without a cluster and a builder."""

from __future__ import annotations

import json
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from tests.conftest import REPOSITORY

DOCKERFILE = (REPOSITORY / "deploy" / "Dockerfile").read_text()
MANIFESTS = [
    pytest.param(manifest, id=f"{path.stem}-{manifest['kind']}")
    for path in sorted((REPOSITORY / "deploy" / "kubernetes").glob("*.yaml"))
    for manifest in yaml.safe_load_all(path.read_text())
]
PROFILE = yaml.safe_load(
    (REPOSITORY / "workflow" / "profiles" / "kubernetes" / "config.yaml").read_text()
)


@pytest.mark.parametrize("manifest", MANIFESTS)
def test_a_manifest_is_one_of_the_official_models_with_nothing_unknown(
    manifest: dict[str, Any],
) -> None:
    """Reading drops unknown keys, so what is written back must be all that there was."""
    client = pytest.importorskip("kubernetes.client")
    versions = {"v1": "V1", "batch/v1": "V1", "rbac.authorization.k8s.io/v1": "V1"}
    model = versions[manifest["apiVersion"]] + manifest["kind"]
    api = client.ApiClient(client.Configuration())
    read = api.deserialize(SimpleNamespace(data=json.dumps(manifest)), model)
    assert api.sanitize_for_serialization(read) == manifest


def test_names_in_manifests_profile_and_image_are_the_same() -> None:
    by_kind: dict[str, dict[str, Any]] = {p.values[0]["kind"]: p.values[0] for p in MANIFESTS}  # type: ignore[index,misc]
    pod = by_kind["Job"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    (mount,) = container["volumeMounts"]
    claim = by_kind["PersistentVolumeClaim"]["metadata"]["name"]
    assert PROFILE["shared-kubernetes-persistent-volumes"] == [f"{claim}:{mount['mountPath']}"]
    assert container["image"] == PROFILE["container-image"]
    account = by_kind["ServiceAccount"]["metadata"]["name"]
    assert pod["serviceAccountName"] == PROFILE["shared-kubernetes-service-account-name"] == account
    assert f"--uid {pod['securityContext']['runAsUser']} " in DOCKERFILE
    assert f" {mount['mountPath']} " in DOCKERFILE


def test_the_role_allows_what_the_executor_asks_for() -> None:
    """The calls of the published executor, by the names of the official client."""
    published = pytest.importorskip("snakemake_executor_plugin_kubernetes")
    source = Path(published.__file__).read_text()
    calls = set(re.findall(r"(?:kubeapi|batchapi)\.([a-z_]+)\(", source))
    wanted = {
        "create_namespaced_job": ("jobs", "create"), "delete_namespaced_job": ("jobs", "delete"),
        "read_namespaced_job_status": ("jobs/status", "get"),
        "create_namespaced_secret": ("secrets", "create"),
        "delete_namespaced_secret": ("secrets", "delete"),
        "list_namespaced_pod": ("pods", "list"), "delete_namespaced_pod": ("pods", "delete"),
        "read_namespaced_pod_log": ("pods/log", "get"),
    }  # fmt: skip
    assert calls == set(wanted)
    (role,) = [p.values[0] for p in MANIFESTS if p.values[0]["kind"] == "Role"]  # type: ignore[index]
    allowed = {(resource, verb) for rule in role["rules"]
               for resource in rule["resources"] for verb in rule["verbs"]}  # fmt: skip
    assert set(wanted.values()) <= allowed


def test_the_image_is_made_of_files_that_exist_and_the_context_holds() -> None:
    copied = [word for line in re.findall(r"^COPY (.+)$", DOCKERFILE, re.MULTILINE)
              for word in line.split()[:-1]]  # fmt: skip
    assert {"requirements.lock", "tadsr", "workflow", "Snakefile"} <= set(copied)
    kept = set(re.findall(r"^!(.+)$", (REPOSITORY / ".dockerignore").read_text(), re.MULTILINE))
    assert kept == set(copied)
    for name in copied:
        assert (REPOSITORY / name).exists(), name


def test_the_image_runs_as_a_user_and_is_built_from_the_lock() -> None:
    users = re.findall(r"^USER (.+)$", DOCKERFILE, re.MULTILINE)
    assert users and users[-1] not in ("root", "0")
    after = DOCKERFILE[DOCKERFILE.rindex("USER ") :]
    assert "RUN" not in after
    assert "--requirement /opt/tadsr/requirements.lock" in DOCKERFILE
    assert "--no-deps" in DOCKERFILE and "--no-build-isolation" in DOCKERFILE
    assert not re.search(r"https?://|--extra-index|ARG|ENV [A-Z_]*(TOKEN|PASSWORD|URI)", DOCKERFILE)
