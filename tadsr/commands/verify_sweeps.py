"""Searches: their results against receipts, and each trial against its card and its scores."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from tadsr.commands.verify_audit import Audit, pick_name
from tadsr.commands.verify_runs import (
    AGAIN,
    card_of_now,
    is_consistent,
    is_of_now,
    student_upstream,
)
from tadsr.config.sweep import Pick
from tadsr.errors import TadsrError
from tadsr.files import digest_json, is_plain_name, read_json
from tadsr.plan.artefacts import sweep_content, trial_content
from tadsr.runs.folder import CARD
from tadsr.sweeps import BEST

STAGE = "sweep"
TRIALS = "trials.json"


def check_sweeps(audit: Audit) -> None:
    """Each search. One that is finished, undamaged and of now is whole, and so are its picks."""
    for name in audit.plan.experiment.sweeps:
        audit.count(STAGE, "search")
        folder = audit.plan.sweep(name)
        if not folder.is_dir():
            audit.add("missing", STAGE, folder, "no search", remedy=AGAIN)
        elif _is_of_now(audit, name) and _is_concluded(audit, name) and _picks(audit, name):
            sound = [_trial(audit, name, trial) for trial in read_json(folder / TRIALS)]
            if all(sound):
                audit.whole.add(f"sweeps/{name}")


def _upstream(audit: Audit, name: str) -> dict[str, str | None]:
    """What the students of a search are made from, as it is now."""
    return student_upstream(audit, audit.plan.experiment.search_cell(name))


def _is_of_now(audit: Audit, name: str) -> bool:
    """The card of the search: of its recipe, its teacher and its validation images."""
    run = f"sweeps/{name}"
    path = audit.plan.sweep(name) / CARD
    if not path.is_file():
        audit.add("missing", STAGE, run, "not begun", remedy=AGAIN)
        return False
    remedy = f"delete {path.parent} and {AGAIN}"
    card = card_of_now(audit, STAGE, run, remedy)
    if card is None:
        return False
    upstream = {**_upstream(audit, name), "val": audit.contents.get("data/val")}
    return is_of_now(audit, STAGE, run, card, upstream)


def _is_concluded(audit: Audit, name: str) -> bool:
    """Whether the results are those of a receipt that is of now; else there is nothing to pick."""
    job = audit.plan.jobs[f"{STAGE}/{name}"]
    receipt = audit.receipts.get(job.id)
    folder = audit.plan.sweep(name)
    if receipt is None:
        return False  # which is a finding of the receipts
    noted = receipt["cells"].get(f"{name}@results", {}).get("content", "")
    found = sweep_content(folder)
    if found != noted:
        audit.add("wrong", STAGE, folder, found, expected=noted,
                  remedy=f"{AGAIN}, which concludes it again")  # fmt: skip
        return False
    audit.contents[f"{STAGE}s/{name}"] = found
    return bool(receipt["recipe"] == job.digest)


def _picks(audit: Audit, name: str) -> bool:
    """Note what was picked, which students were trained with."""
    path = audit.plan.sweep(name) / BEST
    try:
        picks: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))["picks"]
        found = {pick_name(Pick(sweep=name, which=which)): digest_json(pick["delta"])  # type: ignore[arg-type]
                 for which, pick in picks.items()}  # fmt: skip
    except (OSError, yaml.YAMLError, KeyError, TypeError, AttributeError, ValueError) as error:
        audit.add("wrong", STAGE, path, f"cannot be read ({type(error).__name__})", remedy=AGAIN)
        return False
    audit.contents |= found
    return True


def _trial(audit: Audit, name: str, trial: dict[str, Any]) -> bool:
    """One entry of trials.json: its run is there, is what its card says, and has these scores."""
    run = trial["run"]
    if not run:
        return True  # it failed, and a later one repeats it
    audit.count(STAGE, "trial")
    folder = audit.plan.sweep(name) / "trials" / run
    remedy = f"delete {audit.plan.sweep(name)} and {AGAIN}"
    if not is_plain_name(run) or not (folder / CARD).is_file():
        audit.add("wrong", STAGE, folder, f"no run of trial {trial['number']}", remedy=remedy)
        return False
    card = audit.read_sealed(STAGE, folder / CARD, remedy)
    where = folder.relative_to(audit.plan.root).as_posix()
    if card is None or not is_consistent(audit, STAGE, where, card, remedy):
        return False
    if card.get("content") != trial_content(folder) or not card["recipe_digest"].startswith(run):
        audit.add("wrong", STAGE, folder, trial_content(folder),
                  expected=card.get("content", ""), remedy=remedy)  # fmt: skip
        return False
    if trial["state"] == "complete" and trial["scores"] != _last_scores(folder):
        audit.add("wrong", STAGE, folder, f"not the scores of trial {trial['number']} in {TRIALS}",
                  remedy=remedy)  # fmt: skip
        return False
    return is_of_now(audit, STAGE, where, card, _upstream(audit, name))


def _last_scores(folder: Path) -> object:
    """The last scores of a trial's looks."""
    try:
        looks = read_json(folder / "looks.json")
        return looks[max(looks, key=int)]
    except (TadsrError, ValueError, TypeError, OSError):
        return None
