"""Snakemake's Kubernetes executor, for jobs that share a volume with whoever submits them.

The executor is the published one (snakemake-executor-plugin-kubernetes). That one is for jobs that
share nothing: Snakemake then copies declared inputs and outputs through an object store, and
installs a storage plugin in each pod. Our outputs are receipts; models, resume states and scores
lie beside them undeclared, so a shared volume is needed anyway, and copying is not.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import snakemake_executor_plugin_kubernetes as published

ExecutorSettings = published.ExecutorSettings

common_settings = replace(
    published.common_settings,
    implies_no_shared_fs=False,
    job_deploy_sources=False,
    auto_deploy_default_storage_provider=False,
)


class Executor(published.Executor):
    """The published one, except that a pod that failed does not stop the whole run.

    It asks for the log of the container before the one that failed. Pods of jobs never restart, so
    there is none, and Kubernetes answers with an error.
    """

    def __post_init__(self) -> None:
        super().__post_init__()
        read = self.kubeapi.read_namespaced_pod_log
        self.kubeapi.read_namespaced_pod_log = partial(_read_last_log, read)


def _read_last_log(read: Callable[..., str], **arguments: Any) -> str:
    return read(**{**arguments, "previous": False})
