"""The measured models: where MLflow ties a score to the test set it was measured on.

A metric of a run has no data set in MLflow; one of a *logged model* has. So each run with scores
has one such model, whose page and whose line in the Models tab show scores by data set. Weights
stay in the results folder.
"""

from __future__ import annotations

import re
from functools import cached_property
from typing import Any

from mlflow.entities import LoggedModelOutput
from mlflow.tracking import MlflowClient

from tadsr.publish.records import RunRecord

MlflowRun = Any
SHOWN_TAGS = ("tadsr.variant", "tadsr.seed", "tadsr.digest", "tadsr.model_content", "tadsr.model")


class Models:
    """The logged models of one MLflow experiment, by the run they belong to."""

    def __init__(self, client: MlflowClient, number: str) -> None:
        self.client = client
        self.number = number

    @cached_property
    def _found(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        token: str | None = None
        while True:
            page = self.client.search_logged_models([self.number], page_token=token)
            for model in page:
                found.setdefault(str(model.source_run_id), []).append(model.model_id)
            token = page.token
            if not token:
                return found

    def of_run(self, record: RunRecord, run: MlflowRun) -> str:
        """The id of a run's model, made if need be, and told to the run."""
        run_id = run.info.run_id
        for surplus in self._found.get(run_id, [])[1:]:
            self.client.delete_logged_model(surplus)
        model = next(iter(self._found.get(run_id, [])), None)
        tags = {name: record.tags[name] for name in SHOWN_TAGS if name in record.tags}
        if model is not None:
            self.client.set_logged_model_tags(model, tags)
        else:
            made = self.client.create_logged_model(
                self.number, _name(record.key), run_id, tags, model_type=record.kind
            )
            model = str(made.model_id)
        self._found[run_id] = [model]
        outputs = run.outputs.model_outputs if run.outputs else []
        if model not in [output.model_id for output in outputs]:
            self.client.log_outputs(run_id, [LoggedModelOutput(model, 0)])
        self.client.finalize_logged_model(model, "READY")
        return model

    def remove(self, run_id: str) -> None:
        """Put the models of a run into the trash."""
        for model in self._found.pop(run_id, []):
            self.client.delete_logged_model(model)


def _name(key: str) -> str:
    """A run's key in the letters that MLflow allows for a model's name."""
    return re.sub(r"[^\w-]", "-", key)
