"""Data sets, teacher, target pools and students against their run cards and manifests."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from tadsr.commands.verify_audit import Audit, pick_name
from tadsr.config.experiment import Cell
from tadsr.data.manifest import Stored, dataset_content, stored_images
from tadsr.errors import TadsrError
from tadsr.files import digest_json, is_within, sha256_file
from tadsr.plan import recipes
from tadsr.plan.artefacts import model_content, pool_content
from tadsr.runs.folder import CARD, FINISHED, run_files
from tadsr.weights import Missing, file_digest, status

AGAIN = "run `tadsr run`"


def check_data(audit: Audit) -> None:
    """Each data set: its card, its manifest, and the pixels of every image."""
    for name in audit.plan.experiment.data.all():
        run = f"data/{name}"
        if check_run(audit, "data", run, dataset_content, {}):
            check_images(audit, audit.plan.root / run)
        audit.count("data", "data set")


def check_images(audit: Audit, folder: Path) -> None:
    """Decode every image of a data set and hold it against the manifest."""
    images = stored_images(folder)
    known = {image.path for image in images}
    for path in sorted((*folder.glob("hr/*"), *folder.glob("lr/*"))):
        if path not in known:
            audit.add("unknown", "data", path, "is not in the manifest")
    here = [image for image in images if not image.in_place or image.path.parent.is_dir()]
    if len(here) < len(images):
        away = len(images) - len(here)
        audit.add("unchecked", "data", folder, f"{away} training images stay in a folder that is "
                  "not on this machine")  # fmt: skip
    for image, found in audit.each("data", _look, here):
        audit.count("data", "image")
        if found != image.digest:
            word = "wrong" if image.path.is_file() else "missing"
            audit.add(word, "data", image.path, found, expected=image.digest,
                      remedy=_image_remedy(image, folder))  # fmt: skip


def _look(image: Stored) -> str:
    """The digest of what is there, or why there is none."""
    try:
        return image.found()
    except TadsrError as error:
        return str(error).removeprefix(f"{image.path}: ")


def _image_remedy(image: Stored, folder: Path) -> str:
    if image.in_place:
        return "put the training image back"
    return f"delete {folder} and {AGAIN}"


def check_teacher(audit: Audit) -> None:
    """The teacher's card and model, and that the data sets are those it learned from."""
    names = ("train", "val")
    upstream = {name: audit.contents.get(f"data/{name}") for name in names}
    for role, weights in audit.plan.teacher_weights():
        upstream[f"weights: {role}"] = _weights_digest(audit, weights)
    check_run(audit, "teacher", "teacher", model_content, upstream)
    audit.count("teacher", "model")


def _weights_digest(audit: Audit, name: str) -> str | None:
    """The digest of published weights as they are here; None if they are not."""
    if "/" in name or isinstance(status(name), Missing):
        audit.add("unchecked", "teacher", "teacher", f"weights '{name}' are not looked at here")
        return None
    return file_digest(name)


def check_targets(audit: Audit) -> None:
    """Each pool's card and tensors, and that its teacher is the one of now."""
    for run in recipes.trained_runs(audit.plan.experiment):
        if run.startswith("targets/"):
            check_run(audit, "targets", run, pool_content,
                      {"teacher": audit.contents.get("teacher")})  # fmt: skip
            audit.count("targets", "pool")


def check_students(audit: Audit) -> None:
    """Each student's card and model, and that teacher and pool are those of now."""
    cells = audit.plan.experiment.cells()
    for done, cell in enumerate(cells, start=1):
        audit.progress("student", done, len(cells))
        upstream = student_upstream(audit, cell)
        if cell.pick:
            upstream["pick"] = audit.contents.get(pick_name(cell.pick))
        check_run(audit, "student", f"students/{cell.name}", model_content, upstream)
        audit.count("student", "model")


def student_upstream(audit: Audit, cell: Cell) -> dict[str, str | None]:
    """What a student is made from, as it is now; None where that cannot be relied on."""
    pool = recipes.pool_name(audit.plan.experiment, cell.targets)
    return {"teacher": audit.contents.get("teacher"),
            "targets": audit.contents.get(f"targets/{pool}")}  # fmt: skip


def check_run(
    audit: Audit,
    stage: str,
    run: str,
    content: Callable[[Path], str],
    upstream: dict[str, str | None],
) -> bool:
    """Hold a run folder against its card, and the card against the plan; whether all agrees.

    `upstream` has the contents of now of what it was made from; None where that cannot be relied
    on, which is a finding of its own.
    """
    folder = audit.plan.root / run
    remedy = f"delete {folder} and {AGAIN}"
    if not (folder / CARD).is_file():
        audit.add("missing", stage, run, "no finished run", remedy=AGAIN)
        return False
    card = card_of_now(audit, stage, run, remedy)
    if card is None:
        return False
    if card["status"] not in FINISHED:
        audit.add("missing", stage, run, f"not finished ({card['status']})", remedy=AGAIN)
        return False
    audit.contents[run] = card["content"]
    if card["status"] == "diverged":
        audit.diverged.add(run)
    of_now = is_of_now(audit, stage, run, card, upstream)
    if _is_whole(audit, stage, folder, card, content) and of_now:
        audit.whole.add(run)
    return run in audit.whole


def card_of_now(audit: Audit, stage: str, run: str, remedy: str) -> dict[str, Any] | None:
    """A run's card, if it is whole and of the recipe of now; else it is a finding."""
    card = audit.read_sealed(stage, audit.plan.root / run / CARD, remedy)
    if card is None or not is_consistent(audit, stage, run, card, remedy):
        return None
    wanted = audit.plan.recipe_digest(run)
    if card["recipe_digest"] == wanted:
        return card
    found = f"recipe {card['recipe_digest'][:12]}"
    audit.add("outdated", stage, run, found, expected=wanted, remedy=AGAIN)
    return None


def is_consistent(audit: Audit, stage: str, run: str, card: dict[str, Any], remedy: str) -> bool:
    """Whether a card's digests are those of what it says itself."""
    try:
        recipe = digest_json(card["recipe"])
        key = digest_json({"recipe": card["recipe"], "upstream": card["upstream"]})
        agrees = (card["recipe_digest"], card["key"]) == (recipe, key)
        agrees &= card["status"] not in FINISHED or isinstance(card["content"], str)
    except KeyError:
        agrees = False
    if not agrees:
        audit.add("wrong", stage, f"{run}/{CARD}", "its digests are not those of its recipe",
                  remedy=remedy)  # fmt: skip
    return agrees


def is_of_now(
    audit: Audit, stage: str, run: str, card: dict[str, Any], upstream: dict[str, str | None]
) -> bool:
    """Whether a run was made from the things of now."""
    other = [name for name, content in upstream.items()
             if content is not None and card["upstream"].get(name) != content]  # fmt: skip
    for name in other:
        audit.add("outdated", stage, run, f"made from {name} {card['upstream'].get(name, '')[:12]}",
                  expected=upstream[name] or "", remedy=AGAIN)  # fmt: skip
    return not other


def _is_whole(
    audit: Audit, stage: str, folder: Path, card: dict[str, Any], content: Callable[[Path], str]
) -> bool:
    """Whether the files are those of the card; where it names them, each file that is not."""
    remedy = f"delete {folder} and {AGAIN}"
    noted: dict[str, str] = card.get("files", {})
    if outside := [name for name in noted if not is_within(name)]:
        audit.add("wrong", stage, folder / CARD, f"names a file out of its folder ({outside[0]})",
                  remedy=remedy)  # fmt: skip
        return False
    wrong = [name for name, digest in noted.items()
             if not (folder / name).is_file() or sha256_file(folder / name) != digest]  # fmt: skip
    for name in wrong:
        there = (folder / name).is_file()
        found = sha256_file(folder / name) if there else "is not there"
        audit.add("wrong" if there else "missing", stage, folder / name, found,
                  expected=noted[name], remedy=remedy)  # fmt: skip
    if wrong:
        return False
    for name in sorted({*run_files(folder)} - noted.keys()) if noted else ():
        audit.add("unknown", stage, folder / name, "no digest tells of it")
    try:
        found = content(folder)
    except TadsrError as error:
        found = str(error)
    if found != card["content"]:
        audit.add("wrong", stage, folder, found, expected=card["content"], remedy=remedy)
    return bool(found == card["content"])
