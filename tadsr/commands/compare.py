"""`tadsr compare`: all scores to statistics and verdicts, as plain data in comparison/."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Collection
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tadsr.commands.common import add_job_arguments, job_context, load_plan, selected_jobs
from tadsr.commands.costs import gather_costs
from tadsr.commands.sweep_summary import gather_sweeps
from tadsr.commands.upscalers import describe_models
from tadsr.commands.versions import rendering_versions
from tadsr.files import atomic_path, write_json
from tadsr.metrics.card import is_unverified
from tadsr.plan import Plan
from tadsr.plan.artefacts import comparison_files
from tadsr.plan.receipts import current_card

if TYPE_CHECKING:
    import pandas as pd

Belongs = Callable[["Plan", dict[str, Any], dict[tuple[str, str], str]], bool]
"""See `is_current`."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    add_job_arguments(parser, named=False)
    parser.add_argument("--partial", action="store_true",
                        help="compare what there is, without a receipt")  # fmt: skip


def run(args: argparse.Namespace) -> int:
    """Compare, and write the receipt unless the comparison is partial."""
    plan = load_plan(args)
    if args.partial:
        compare_all(plan)
        return 0
    for job in selected_jobs(plan, args, "compare"):
        with job_context(plan, job) as context:
            folder = compare_all(plan)
            for name, digest in comparison_files(folder).items():
                context.record(name, "done", digest)
            context.versions = rendering_versions()
    return 0


def compare_all(plan: Plan, belongs: Belongs | None = None) -> Path:
    """Gather every score that belongs to the experiment and write comparison/.

    `belongs` says which do: by default those of the models and images of now.
    """
    from tadsr.evaluation.scores import gather

    experiment = plan.experiment
    folder = plan.root / "comparison"
    folder.mkdir(parents=True, exist_ok=True)
    cells = grid_cells(plan)
    students = [f"{c['variant']}/seed-{c['seed']}" for c in cells if c["status"] == "done"]
    upscalers = [*experiment.evaluation.models, *students]
    scored: dict[tuple[str, str], str] = {}
    accept = belongs or is_current
    gathered = gather(plan.root, list(experiment.data.test), upscalers,
                      accept=lambda identity: accept(plan, identity, scored))  # fmt: skip
    mark_unscored(plan, cells, scored)
    write_parquet(folder / "scores.parquet", gathered.frame)
    write_json(folder / "cards.json", gathered.cards)
    write_json(folder / "missing.json", gathered.missing)
    write_json(folder / "cells.json", cells)
    write_json(folder / "models.json", describe_models(plan, scored))
    write_json(folder / "costs.json", gather_costs(plan))
    if experiment.sweeps:
        write_json(folder / "sweeps.json", gather_sweeps(plan))
    else:
        (folder / "sweeps.json").unlink(missing_ok=True)  # of an earlier experiment file
    unverified = [name for name, card in gathered.cards.items() if is_unverified(card)]
    write_statistics(plan, folder, gathered.frame, cells, unverified)
    write_effects(plan, folder, gathered.frame, cells)
    return folder


def is_current(plan: Plan, identity: dict[str, Any], scored: dict[tuple[str, str], str]) -> bool:
    """Whether scores are of the models and images of now; notes the model's content in `scored`.

    A job that failed may have left the scores of an earlier recipe.
    """
    from tadsr.commands.evaluate import score_identity
    from tadsr.errors import TadsrError

    name, dataset = str(identity.get("upscaler")), str(identity.get("dataset"))
    if not plan.experiment.evaluation.test_sets(name, [dataset]):
        return False
    try:
        now = score_identity(plan, name, dataset)
    except TadsrError:  # what it was made from is not there with the settings of now
        return False
    if any(identity.get(key) != value for key, value in now.items()):
        return False
    scored[name, dataset] = now["upscaler_content"]
    return True


def mark_unscored(
    plan: Plan, cells: list[dict[str, Any]], scored: Collection[tuple[str, str]]
) -> None:
    """A student that is trained but has no scores of now is a hole like any other."""
    for cell in cells:
        name = f"{cell['variant']}/seed-{cell['seed']}"
        lacking = [
            dataset for dataset in plan.experiment.data.test if (name, dataset) not in scored
        ]
        if cell["status"] == "done" and lacking:
            cell["status"], cell["message"] = "failed", f"not evaluated on {', '.join(lacking)}"


def grid_cells(plan: Plan) -> list[dict[str, Any]]:
    """What became of each cell of the grid, from its run card."""
    rows = []
    for cell in plan.experiment.cells():
        card = current_card(plan, f"students/{cell.name}") or {}
        status = card.get("status", "missing")
        rows.append({
            "variant": cell.variant, "seed": cell.seed,
            "status": "missing" if status == "running" else status,
            "message": card.get("message", ""), "results": card.get("results", {}),
            "seconds": card.get("seconds"), "content": card.get("content", ""),
        })  # fmt: skip
    return rows


def write_statistics(
    plan: Plan, folder: Path, scores: pd.DataFrame, cells: list[dict[str, Any]],
    unverified: list[str],
) -> None:  # fmt: skip
    """Means, comparisons with the reference, and alarms; no verdict by `unverified` metrics."""
    from tadsr.compare import Comparison, Summary, compare, find_alarms, summarize, to_frame

    experiment = plan.experiment
    given = settings_of(plan, cells)
    comparable = experiment.reference in set(scores["variant"])
    summaries = summarize(scores, diverged=given["diverged"]) if len(scores) else []
    comparisons = compare(
        scores, experiment.reference,
        [(endpoint.dataset, endpoint.metric) for endpoint in experiment.primary],
        margins={(e.dataset, e.metric): e.margin for e in experiment.primary
                 if e.margin is not None},
        unverified=unverified,
        exploratory=experiment.grid.added if experiment.grid else (),
        **given,
    ) if comparable else []  # fmt: skip
    write_parquet(folder / "means.parquet", to_frame(summaries, Summary))
    write_parquet(folder / "comparisons.parquet", to_frame(comparisons, Comparison))
    alarms = [asdict(alarm) for alarm in find_alarms(
        comparisons, summaries, metrics=experiment.metrics(),
        contents={(c["variant"], c["seed"]): c["content"] for c in cells if c["status"] == "done"},
    )]  # fmt: skip
    if not comparable:
        text = f"The reference variant '{experiment.reference}' has no scores: no comparisons."
        alarms.append({"kind": "no_reference", "variant": experiment.reference, "dataset": "",
                       "metric": "", "text": text})  # fmt: skip
    write_json(folder / "alarms.json", alarms)


def settings_of(plan: Plan, cells: list[dict[str, Any]]) -> dict[str, Any]:
    """What all statistics are told beside the scores."""
    experiment = plan.experiment
    diverged = {
        variant: [c["seed"] for c in cells if c["variant"] == variant and c["status"] == "diverged"]
        for variant in experiment.variants
    }
    return {
        "directions": {spec.id: spec.direction for spec in experiment.metrics()},
        "diverged": diverged,
        "declared_seeds": dict.fromkeys(experiment.variants, experiment.seeds),
    }


def write_effects(
    plan: Plan, folder: Path, scores: pd.DataFrame, cells: list[dict[str, Any]]
) -> None:
    """Main effects and interactions of the grid's axes, where there is a grid."""
    from tadsr.compare import Effect, effects, to_frame

    grid = plan.experiment.grid
    if grid is None:
        (folder / "effects.parquet").unlink(missing_ok=True)  # of an earlier experiment file
        return
    found = effects(
        scores,
        {axis: list(levels) for axis, levels in grid.axes.items()},
        [(point.variant, point.levels) for point in grid.points],
        **settings_of(plan, cells),
    ) if len(scores) else []  # fmt: skip
    write_parquet(folder / "effects.parquet", to_frame(found, Effect))


def write_parquet(path: Path, frame: pd.DataFrame) -> None:
    """Write a frame in one step."""
    with atomic_path(path) as temporary:
        frame.to_parquet(temporary, index=False)
