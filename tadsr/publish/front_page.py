"""What MLflow's page of an experiment shows first, as tags of the MLflow experiment.

Left alone, the page lists the parent run with everything below it folded away. A saved view (the
page's own "share view") lists every model with its scores, and the description links to it.
"""

from __future__ import annotations

from tadsr.files import canonical_json
from tadsr.publish.records import Leaderboard
from tadsr.publish.trainings import NOTE

SIGNATURE = "`tadsr publish`"
"""In every description of ours."""
VIEW = "tadsr"
NO_MODELS = ("experiment", "sweep", "trial")
"""Kinds of runs that were not measured on test sets."""
PICTURES = "images"
"""The section of the page of charts that holds the image grid."""


KIND = {"mlflow.experimentKind": "custom_model_development"}
"""The page asks otherwise."""
TRAINING = "workflowType=machine_learning"
"""In every link: the page shows the menu of language models otherwise."""


def front_page(board: Leaderboard, experiment: str, parent: str) -> dict[str, str]:
    """Tags of the MLflow experiment with id `experiment`, whose parent run has id `parent`."""
    runs = f"#/experiments/{experiment}/runs"
    view = f"{TRAINING}&viewStateShareKey={VIEW}"
    note = (
        f"**[Scores]({runs}?{view})** · **[Curves]({runs}?compareRunsMode=CHART&{view})** · "
        f"**[Images one by one]({runs}?compareRunsMode=ARTIFACT&{view})** · "
        f"**[Models]({runs.removesuffix('runs')}models?{TRAINING})** · "
        f"**[Report]({runs}/{parent}/artifacts/report/index.html?{TRAINING})**: "
        f"written by {SIGNATURE}, a view of the files in the results folder."
    )
    shared = {f"mlflow.sharedViewState.{VIEW}": canonical_json(_view(board))}
    return {**KIND, NOTE: note, **shared}


def page_under_way(experiment: str) -> dict[str, str]:
    """The same while trainings run for the first time: there are curves, and nothing else yet."""
    runs = f"#/experiments/{experiment}/runs?compareRunsMode=CHART&{TRAINING}"
    note = f"Trainings are under way: **[Curves]({runs})**, carried over by {SIGNATURE} --follow."
    return {**KIND, NOTE: note}


def _view(board: Leaderboard) -> dict[str, object]:
    """The state of MLflow's runs page; sorting by a metric unfolds the children.

    Charts that are not named here, those of metrics, the page adds by itself.
    """
    return {
        "searchFilter": " and ".join(f"tags.`tadsr.kind` != '{kind}'" for kind in NO_MODELS),
        "orderByKey": f"metrics.`{board.order}`",
        "orderByAsc": board.ascending,
        "startTime": "ALL",
        "lifecycleFilter": "Active",
        "modelVersionFilter": "All Runs",
        "datasetsFilter": [],
        "selectedColumns": [f"metrics.`{name}`" for name in board.columns],
        "compareRunSections": [_section(name) for name in board.sections],
        "compareRunCharts": [_picture(name) for name in board.images],
        "isAccordionReordered": True,
    }


def _section(name: str) -> dict[str, object]:
    section = {"uuid": name, "name": name, "display": True, "isReordered": False}
    return section | ({"columns": 1, "cardHeight": 420} if name == PICTURES else {})


def _picture(name: str) -> dict[str, object]:
    """One picture of every model; left alone, the page hides it behind all their settings."""
    return {
        "uuid": name,
        "type": "IMAGE",
        "imageKeys": [name],
        "displayName": name,
        "metricSectionId": PICTURES,
        "step": 0,
        "showRunParams": False,
        "isGenerated": True,
        "deleted": False,
    }
