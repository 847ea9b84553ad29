"""The upscalers of an experiment: what each is made from, how it is loaded, what is told of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tadsr.config.models import image_place
from tadsr.config.published import PUBLISHED
from tadsr.errors import TadsrError
from tadsr.files import digest_json, read_json, sha256_file, write_json
from tadsr.plan import Plan
from tadsr.plan.artefacts import pipeline_content
from tadsr.plan.receipts import content_of, current_card
from tadsr.plan.recipes import noise_draw
from tadsr.plan.sources import absence, image_stamp
from tadsr.weights import file_digest as weights_digest

if TYPE_CHECKING:
    from tadsr.evaluation import Upscaler

FACTS = "model.json"
"""In the folder of a checkpoint's evaluations: what was found in the file."""


def has_diverged(plan: Plan, name: str) -> bool:
    """Whether an upscaler is a student whose training diverged."""
    if plan.experiment.evaluation.kind(name) != "student":
        return False
    card = current_card(plan, f"students/{name}")
    return card is not None and card["status"] == "diverged"


def upscaler_content(plan: Plan, name: str, dataset: str, *, note: bool = True) -> str:
    """Content digest of what an upscaler's images of a test set are made from.

    `note` lets it remember digests that take a while below the results folder.

    Raises:
        TadsrError: it is not there, or not with the settings of now.
    """
    models = plan.experiment.evaluation
    if reason := absence(plan.experiment, name):
        raise TadsrError(reason)
    match models.kind(name):
        case "bicubic":
            return "bicubic"
        case "published":
            return ":".join(weights_digest(part) for part in (name, PUBLISHED[name].codec))
        case "pipeline":
            return pipeline_content(source_of(plan, name))
        case "checkpoint":
            return sha256_file(source_of(plan, name))
        case "images":
            return images_content(plan, name, dataset, note=note)
        case "teacher":
            return content_of(plan, "teacher")
        case "student":
            return "diverged" if has_diverged(plan, name) else content_of(plan, f"students/{name}")


def images_content(plan: Plan, name: str, dataset: str, *, note: bool = True) -> str:
    """Digest of the pixels of a model's finished images of a test set.

    Decoding takes a while, so it is remembered by names, sizes and times of the files.
    """
    place = image_place(plan.experiment.evaluation.images[name].path, dataset)
    stamp = digest_json([content_of(plan, f"data/{dataset}"), str(place.folder),
                         image_stamp(place)])  # fmt: skip
    memory = plan.evaluation(name) / f"{dataset}.source.json"
    known = read_json(memory) if memory.is_file() else {}
    if known.get("stamp") != stamp:
        from tadsr.evaluation.finished import find_finished, finished_content

        folder = plan.dataset(dataset)
        content = finished_content(find_finished(place, folder), folder, plan.experiment.data.scale)
        known = {"stamp": stamp, "content": content}
        if note:
            write_json(memory, known)
    return str(known["content"])


def upscaler_factory(plan: Plan, name: str, dataset: str, device: str) -> Callable[[], Upscaler]:
    """How to load an upscaler, if it turns out that images of a test set are missing."""
    from tadsr.evaluation import Bicubic, FinishedImages, PipelineUpscaler, published_upscaler
    from tadsr.evaluation.finished import find_finished

    models = plan.experiment.evaluation
    steps = models.steps(name)
    match models.kind(name):
        case "bicubic":
            return lambda: Bicubic(plan.experiment.data.scale)
        case "published":
            return lambda: published_upscaler(name, steps, device)
        case "pipeline":
            return lambda: PipelineUpscaler(source_of(plan, name), steps, device)
        case "checkpoint":
            return lambda: load_checkpoint(plan, name, device)
        case "images":
            place = image_place(models.images[name].path, dataset)
            return lambda: FinishedImages(find_finished(place, plan.dataset(dataset)).paths)
        case "teacher":
            return lambda: PipelineUpscaler(plan.teacher / "model", steps, device)
        case "student":
            model = plan.student(name) / "model"
            return lambda: PipelineUpscaler(model, steps, device, noise_draw(name))


def load_checkpoint(plan: Plan, name: str, device: str) -> Upscaler:
    """A foreign checkpoint; what it turned out to be is noted for the report."""
    from tadsr.evaluation import CheckpointUpscaler

    path = source_of(plan, name)
    upscaler = CheckpointUpscaler(path, plan.experiment.data.scale, device)
    facts = {**upscaler.facts(), "content": sha256_file(path)}
    write_json(plan.evaluation(name) / FACTS, facts)
    return upscaler


def remarks(plan: Plan, name: str, dataset: str) -> Iterator[str]:
    """What a user should know of an upscaler on a test set before its numbers."""
    models = plan.experiment.evaluation
    if models.kind(name) != "images":
        return
    from tadsr.evaluation.finished import find_finished
    from tadsr.models.strict import names_of

    place = image_place(models.images[name].path, dataset)
    extra = find_finished(place, plan.dataset(dataset)).extra
    if extra:
        yield (
            f"{len(extra)} of the pictures in {place.folder} belong to no image of the test set: "
            f"{names_of(list(extra))}"
        )


def source_of(plan: Plan, name: str) -> Path:
    """The path that a model of the user's own lies at."""
    return Path(plan.experiment.evaluation.source(name) or "").expanduser()


def describe_models(plan: Plan, scored: Mapping[tuple[str, str], str]) -> list[dict[str, Any]]:
    """What the report tells of each model beside the students, in the order of the table.

    `scored` has the content digest of each (model, test set) with scores of now. Of a path only
    the last part is told: where things lie is no business of a reader.
    """
    models = plan.experiment.evaluation
    found = []
    for name in models.models:
        contents = {test: content for (model, test), content in scored.items() if model == name}
        entry = {"name": name, "kind": models.kind(name), "steps": models.steps(name),
                 "contents": contents}  # fmt: skip
        if models.source(name) is not None:
            entry["source"] = source_of(plan, name).name
        facts = plan.evaluation(name) / FACTS
        if facts.is_file() and (known := read_json(facts))["content"] in contents.values():
            entry |= {key: known[key] for key in ("architecture", "tags", "parameters", "spandrel")}
        found.append(entry)
    return found
