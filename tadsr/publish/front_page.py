"""What MLflow's page of an experiment shows first, as tags of the MLflow experiment.

Left alone, the page lists the parent run with everything below it folded away. A saved view (the
page's own "share view") lists every model with its scores, and the description links to it.
"""

from __future__ import annotations

from tadsr.files import canonical_json
from tadsr.publish.records import Leaderboard

NOTE = "mlflow.note.content"
"""The description of an MLflow experiment or run (Markdown)."""
SIGNATURE = "`tadsr publish`"
"""In every description of ours."""
VIEW = "tadsr"


def front_page(board: Leaderboard, experiment: str, parent: str) -> dict[str, str]:
    """Tags of the MLflow experiment with id `experiment`, whose parent run has id `parent`."""
    runs = f"#/experiments/{experiment}/runs"
    view = f"workflowType=machine_learning&viewStateShareKey={VIEW}"
    note = (
        f"**[Scores]({runs}?{view})** · **[Curves]({runs}?compareRunsMode=CHART&{view})** · "
        f"**[Report]({runs}/{parent}/artifacts/report/index.html)**: "
        f"written by {SIGNATURE}, a view of the files in the results folder."
    )
    return {
        "mlflow.experimentKind": "custom_model_development",  # the page asks otherwise
        NOTE: note,
        f"mlflow.sharedViewState.{VIEW}": canonical_json(_view(board)),
    }


def _view(board: Leaderboard) -> dict[str, object]:
    """The state of MLflow's runs page; sorting by a metric unfolds the children."""
    return {
        "searchFilter": "tags.`tadsr.kind` != 'experiment'",
        "orderByKey": f"metrics.`{board.order}`",
        "orderByAsc": board.ascending,
        "startTime": "ALL",
        "lifecycleFilter": "Active",
        "modelVersionFilter": "All Runs",
        "datasetsFilter": [],
        "selectedColumns": [f"metrics.`{name}`" for name in board.columns],
    }
