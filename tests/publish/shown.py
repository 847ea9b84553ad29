"""All that MLflow shows of an experiment, without the ids and times that differ by nature."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mlflow.entities import Run
from mlflow.tracking import MlflowClient

from tadsr.files import digest_files


def runs_of(client: MlflowClient, name: str) -> dict[str, Run]:
    """Our active runs by key; two of one key are an error."""
    number = client.get_experiment_by_name(name).experiment_id
    query = f"tags.`tadsr.experiment` = '{name}'"
    runs = _all_of(lambda token: client.search_runs([number], query, page_token=token))
    found = {run.data.tags["tadsr.key"]: run for run in runs}
    assert len(found) == len(runs)
    return found


def ids_of(client: MlflowClient, name: str) -> dict[str, str]:
    return {key: run.info.run_id for key, run in runs_of(client, name).items()}


def shown(client: MlflowClient, name: str, scratch: Path) -> dict[str, Any]:
    """Equal for two experiments that look the same to a reader."""
    experiment = client.get_experiment_by_name(name)
    runs = runs_of(client, name)
    ids = {run.info.run_id: key for key, run in runs.items()}
    state: dict[str, Any] = {"tags": _without_ids(experiment.tags)}
    for key, run in runs.items():
        state[key] = _run(client, run, ids, scratch)
    number = experiment.experiment_id
    models = _all_of(lambda token: client.search_logged_models([number], page_token=token))
    state["models"] = sorted(_model(model, ids) for model in models)
    return state


def _all_of(page_at: Callable[[str | None], Any]) -> list[Any]:
    """The entries of every page."""
    page = page_at(None)
    found = list(page)
    while page.token:
        page = page_at(page.token)
        found += page
    return found


def _run(client: MlflowClient, run: Run, ids: dict[str, str], scratch: Path) -> dict[str, Any]:
    run_id = run.info.run_id
    history = {
        metric: sorted((p.step, p.value, p.timestamp)
                       for p in client.get_metric_history(run_id, metric))
        for metric in run.data.metrics
    }  # fmt: skip
    folder = scratch / run_id
    folder.mkdir(parents=True)
    client.download_artifacts(run_id, "", str(folder))
    return {
        "status": run.info.status,
        "name": run.info.run_name,
        "tags": {n: ids.get(v, v) for n, v in run.data.tags.items()},
        "params": run.data.params,
        "history": history,
        "latest": run.data.metrics,
        "datasets": sorted((i.dataset.name, i.dataset.digest, i.tags[0].value)
                           for i in run.inputs.dataset_inputs),
        "models": len(run.outputs.model_outputs) if run.outputs else 0,
        "artefacts": digest_files(folder),
        "names": sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*")),
    }  # fmt: skip


def _model(model: Any, ids: dict[str, str]) -> tuple[Any, ...]:
    metrics = sorted((m.key, m.step, m.value, m.dataset_name, m.dataset_digest)
                     for m in model.metrics or [])  # fmt: skip
    return (
        model.name, str(model.status), sorted(model.tags.items()),
        ids.get(model.source_run_id, "an unknown run"), metrics,
    )  # fmt: skip


def _without_ids(tags: dict[str, str]) -> dict[str, str]:
    """An experiment's tags; its description links to runs by their ids."""
    return {name: re.sub(r"(experiments|runs)/[0-9a-f]+", r"\1/ID", value)
            for name, value in tags.items()}  # fmt: skip
