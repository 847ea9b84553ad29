"""Scores and super-resolved images against receipts, metric cards, models and data sets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tadsr.commands.upscalers import upscaler_content
from tadsr.commands.verify_audit import Audit
from tadsr.commands.verify_runs import AGAIN
from tadsr.data.images import read_rgb
from tadsr.data.manifest import pixel_digest, read_manifest
from tadsr.errors import TadsrError
from tadsr.evaluation.images import IDENTITY, image_path
from tadsr.evaluation.journal import DIGITS
from tadsr.evaluation.scores import read_scores
from tadsr.files import read_json, sha256_file
from tadsr.metrics.card import MetricCard, same_identity
from tadsr.plan import recipes

STAGE = "evaluate"
ASKED = ("pyiqa", "options", "color_space", "border_crop", "grey")
"""What a metric's card must have as the experiment asks for it."""


def check_scores(audit: Audit) -> None:
    """Every score file of the experiment, and the images it tells of."""
    experiment = audit.plan.experiment
    cards: dict[str, MetricCard] = {}
    images: dict[Path, str] = {}
    todo = [(name, dataset) for job in audit.plan.stage(STAGE) for name in job.cells
            if f"students/{name}" not in audit.diverged
            for dataset in experiment.evaluation.test_sets(name, experiment.data.test)]  # fmt: skip
    for done, (name, dataset) in enumerate(todo, start=1):
        audit.progress("scores", done, len(todo))
        if meta := _scores(audit, name, dataset, cards):
            images |= _images(audit, name, dataset, meta)
        audit.count(STAGE, "score file")
    _look_at(audit, images)


def _scores(
    audit: Audit, name: str, dataset: str, cards: dict[str, MetricCard]
) -> dict[str, Any] | None:
    """The metadata of a score file that is whole and of now; None after a finding."""
    path = audit.plan.evaluation(name) / f"{dataset}.parquet"
    remedy = f"delete {path} and {AGAIN}"
    if not path.is_file():
        audit.add("missing", STAGE, path, "no scores", remedy=AGAIN)
        return None
    noted = _in_receipt(audit, f"{name}@{dataset}")
    found = sha256_file(path)
    if noted not in (None, found):
        audit.add("wrong", STAGE, path, found, expected=noted or "", remedy=remedy)
        return None
    try:
        frame, meta = read_scores(path)
        own = {metric: MetricCard.from_dict(card) for metric, card in meta["cards"].items()}
    except TadsrError as error:
        audit.add("wrong", STAGE, path, str(error).removeprefix(f"{path}: "), remedy=remedy)
        return None
    if not _is_of_now(audit, path, meta) or not _cards_agree(audit, path, own, cards):
        return None
    if f"data/{dataset}" in audit.contents:
        _images_belong(audit, path, {*frame["image"]}, dataset)
    if meta["failed"]:
        audit.add("missing", STAGE, path, f"{len(meta['failed'])} images could not be measured",
                  remedy=AGAIN)  # fmt: skip
    else:
        audit.scored[name, dataset] = meta["upscaler_content"]
    return meta


def _images_belong(audit: Audit, path: Path, images: set[str], dataset: str) -> None:
    """Find scores of images that a test set does not have."""
    strange = sorted(images - {*read_manifest(audit.plan.dataset(dataset))["image"], ""})
    if strange:
        audit.add("wrong", STAGE, path, f"has scores of images that are not in the test set: "
                  f"{', '.join(strange[:3])}", remedy=f"delete {path} and {AGAIN}")  # fmt: skip


def _in_receipt(audit: Audit, cell: str) -> str | None:
    """The digest that a receipt has of a score file."""
    for job in audit.plan.stage(STAGE):
        cells = audit.receipts.get(job.id, {}).get("cells", {})
        if cell in cells:
            return str(cells[cell]["content"])
    return None


def _is_of_now(audit: Audit, path: Path, meta: dict[str, Any]) -> bool:
    """Whether scores are of the model, the images and the settings of now."""
    name, dataset = str(meta["upscaler"]), str(meta["dataset"])
    expected = {
        "upscaler_content": _model_content(audit, name, dataset),
        "dataset_content": audit.contents.get(f"data/{dataset}"),
        "recipe": recipes.evaluation(audit.plan.experiment, name, dataset).digest,
    }
    if path != audit.plan.evaluation(name) / f"{dataset}.parquet":
        audit.add("wrong", STAGE, path, f"holds scores of {name} on {dataset}",
                  remedy=f"delete {path} and {AGAIN}")  # fmt: skip
        return False
    other = [key for key, digest in expected.items()
             if digest is not None and meta.get(key) != digest]  # fmt: skip
    for key in other:
        audit.add("outdated", STAGE, path, f"{key} {str(meta.get(key))[:12]}",
                  expected=expected[key] or "", remedy=AGAIN)  # fmt: skip
    return not other


def _model_content(audit: Audit, name: str, dataset: str) -> str | None:
    """The content of a model as it is here; None where that cannot be told."""
    kind = audit.plan.experiment.evaluation.kind(name)
    if kind == "teacher":
        return audit.contents.get("teacher")
    if kind == "student":
        return audit.contents.get(f"students/{name}")
    if name in audit.elsewhere:
        return None
    try:
        return upscaler_content(audit.plan, name, dataset, note=False)
    except (TadsrError, FileNotFoundError) as error:
        audit.elsewhere[name] = str(error)
        audit.add("unchecked", STAGE, audit.plan.evaluation(name),
                  f"what it was made from is not here ({error})")  # fmt: skip
        return None


def _cards_agree(
    audit: Audit, path: Path, own: dict[str, MetricCard], known: dict[str, MetricCard]
) -> bool:
    """Whether metric cards are as asked for, and one identity per metric over all files."""
    asked = {spec.id: spec for spec in audit.plan.experiment.metrics()}
    for metric, card in own.items():
        spec = asked.get(metric)
        other = [key for key in ASKED if spec and getattr(card, key) != getattr(spec, key)]
        difference = same_identity(known.setdefault(metric, card), card)
        if other:
            difference = f"{metric}: {other[0]} is not as asked for"
        if difference:
            audit.add("outdated", STAGE, path, f"metric card: {difference}", remedy=AGAIN)
            return False
    return True


def _images(audit: Audit, name: str, dataset: str, meta: dict[str, Any]) -> dict[Path, str]:
    """Every image of a score file with the digest of its pixels; checks what names them."""
    folder = audit.plan.evaluation(name) / dataset
    pixels: dict[str, str] = meta.get("pixels", {})
    if not pixels:
        audit.add("unchecked", STAGE, folder, "its scores are of a version that noted no digests "
                  "of images")  # fmt: skip
        return {}
    identity = ("upscaler", "upscaler_content", "dataset", "dataset_content", "recipe")
    try:
        stored = read_json(folder / IDENTITY) if (folder / IDENTITY).is_file() else None
    except TadsrError:
        stored = "not valid JSON"
    if stored != {key: meta.get(key) for key in identity}:
        audit.add("wrong" if stored is not None else "missing", STAGE, folder / IDENTITY,
                  "does not say what the score file says",
                  remedy=f"delete {folder} with its score file and {AGAIN}")  # fmt: skip
    for path in sorted(folder.glob("*.png")):
        if path.stem not in pixels and path.stem not in meta["failed"]:
            audit.add("unknown", STAGE, path, "no score file tells of it")
    return {image_path(folder, image): digest for image, digest in pixels.items()}


def _look_at(audit: Audit, images: dict[Path, str]) -> None:
    """Decode every super-resolved image and hold it against its score file."""
    for path, found in audit.each("images", _pixels, images):
        audit.count(STAGE, "image")
        if found != images[path]:
            word = "wrong" if path.is_file() else "missing"
            scores = path.parent.with_name(f"{path.parent.name}.parquet")
            audit.add(word, STAGE, path, found, expected=images[path],
                      remedy=f"delete it and {scores}, and {AGAIN}")  # fmt: skip


def _pixels(path: Path) -> str:
    try:
        return pixel_digest(read_rgb(path))[:DIGITS]
    except TadsrError as error:
        return str(error).removeprefix(f"{path}: ")
