"""What `tadsr merge` writes: a results folder of links and receipts, made aside."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tadsr.commands.merge_sources import Merge
from tadsr.commands.run import cell_content
from tadsr.commands.weights import weights_state
from tadsr.config.loading import freeze
from tadsr.errors import TadsrError
from tadsr.evaluation.journal import JOURNAL
from tadsr.files import atomic_folder, link_tree, with_checksum, write_json
from tadsr.plan import Plan
from tadsr.plan.receipts import write_receipt
from tadsr.runs.folder import read_card
from tadsr.sweeps import SEARCH_JOURNAL

OF_A_SEARCH = (SEARCH_JOURNAL, "*.lock", "workers")
"""What processes of a search write in place."""


def write_merge(merge: Merge, out: Path) -> None:
    """Make the merged folder beside its place, and rename it when it is whole."""
    try:
        with atomic_folder(out) as aside:
            _fill(merge, aside)
    except OSError as error:
        raise TadsrError(
            f"{out}: {error.strerror or error}; free the place and merge again"
        ) from error


def _fill(merge: Merge, root: Path) -> None:
    write_json(root / "experiment.json", freeze(merge.experiment), sort_keys=False)
    plan = Plan.load(root / "experiment.json")
    for run, source in merge.runs.items():
        unshared = OF_A_SEARCH if run.startswith("sweeps/") else ()
        link_tree(source.plan.root / run, root / run, without=("state", *unshared))
        journal = source.plan.root / run / SEARCH_JOURNAL
        if unshared and journal.is_file():  # appended to in place, so no link may share it
            shutil.copy2(journal, root / run / SEARCH_JOURNAL)
    for model, source in merge.evaluations.items():
        link_tree(source.plan.evaluation(model), plan.evaluation(model), without=(JOURNAL,))
        for path in plan.evaluation(model).glob("*.parquet"):
            if (model, path.stem) not in source.audit.scored:
                path.unlink()  # of images that failed, or of a test set that was taken out
    write_json(root / "merged.json", with_checksum(origins(merge)))
    write_receipts(plan)


def origins(merge: Merge) -> dict[str, Any]:
    """What came from which folder, for the report; where the folders lay is nobody's business."""
    return {
        "sources": [
            {
                "runs": [run for run, origin in merge.runs.items() if origin is source],
                "evaluations": [m for m, origin in merge.evaluations.items() if origin is source],
                "made_with": source.made_with,
            }
            for source in merge.sources
        ]
    }


def write_receipts(plan: Plan) -> None:
    """A receipt for each job of which all is there; `tadsr run` does the others."""
    done: set[str] = set()
    for job in plan.jobs.values():
        if job.stage in ("compare", "report", "publish") or not done.issuperset(job.inputs):
            continue
        if job.stage == "weights":
            contents: dict[str, tuple[str, str | None]] = {**weights_state(plan)}
        else:
            contents = {cell: (_status(plan, job.stage, cell), cell_content(plan, job.stage, cell))
                        for cell in _cells(plan, job.stage, job.cells)}  # fmt: skip
        if all(content is not None for _, content in contents.values()):
            cells = {cell: {"status": status, "content": str(content)}
                     for cell, (status, content) in contents.items()}  # fmt: skip
            write_receipt(plan, job.id, cells)
            done.add(job.id)


def _cells(plan: Plan, stage: str, cells: Sequence[str]) -> list[str]:
    """The cells of a job's receipt."""
    if stage != "evaluate":
        return list(cells)
    tests = plan.experiment.data.test
    return [
        entry
        for name in cells
        for entry in (
            [name]
            if _status(plan, "student", name) == "diverged"
            else [f"{name}@{t}" for t in plan.experiment.evaluation.test_sets(name, tests)]
        )
    ]


def _status(plan: Plan, stage: str, cell: str) -> str:
    folder = plan.student(cell.partition("@")[0])
    card = read_card(folder) if stage in ("student", "evaluate") else None
    return str(card["status"]) if card else "done"
