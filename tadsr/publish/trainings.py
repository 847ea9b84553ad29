"""From a training's folder to the record of its run: what is known before anything is measured."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypedDict

from tadsr.config import Experiment
from tadsr.config.deltas import changed
from tadsr.publish.records import DatasetUse, Point, RunRecord
from tadsr.report.reading import Series, read_optional
from tadsr.report.table import as_markdown
from tadsr.runs.folder import FINISHED
from tadsr.sweeps import BEST, read_pick

TEACHER = "teacher"
MESSAGE_LIMIT = 500
NOTE = "mlflow.note.content"
"""The description of an MLflow experiment or run (Markdown)."""


def teacher_record(
    experiment: Experiment, root: Path, card: Mapping[str, Any], curves: Mapping[str, Series]
) -> RunRecord:
    """The teacher's run, from its card and curves."""
    spec = experiment.teacher
    unused = {"training"} if spec.imported else set()
    return RunRecord(
        key=TEACHER,
        name=TEACHER,
        kind=TEACHER,
        status=card["status"],
        tags=_card_tags(card, TEACHER),
        params=_flatten(TEACHER, spec.model_dump(mode="json", exclude=unused)),
        points=(*_curves(curves), *_results(card)),
        datasets=tuple(uses(root, {"train": "train"})),
        files=_own_files(root / TEACHER, card, ("run.json", "metrics.jsonl")),
        **times(root / TEACHER / "run.json", card.get("seconds")),
    )


def student_record(
    experiment: Experiment,
    root: Path,
    cell: tuple[str, int],
    card: Mapping[str, Any],
    curves: Mapping[str, Series],
) -> RunRecord:
    """The run of one cell (variant, seed) of the grid, from its card and curves."""
    variant, seed = cell
    name = f"{variant}/seed-{seed}"
    place = f"students/{name}"
    tags = {
        "tadsr.variant": variant,
        "tadsr.seed": str(seed),
        NOTE: as_markdown(experiment.variants[variant].description),
    }
    return RunRecord(
        key=name,
        name=name,
        kind="student",
        status=card["status"],
        tags=_card_tags(card, place) | filled(tags),
        params=_student_params(experiment, root, variant, seed),
        points=(*_curves(curves), *_results(card)),
        datasets=tuple(uses(root, {"train": "train"})),
        files=_own_files(root / place, card, ("run.json", "metrics.jsonl", "validation.json")),
        **times(root / place / "run.json", card.get("seconds")),
    )


def _own_files(folder: Path, card: Mapping[str, Any], names: tuple[str, ...]) -> dict[str, Path]:
    """Of a training under way none: they change from moment to moment."""
    return {} if card["status"] == "running" else existing({n: folder / n for n in names})


def _student_params(experiment: Experiment, root: Path, variant: str, seed: int) -> dict[str, str]:
    """Settings under the dotted keys of experiment files; of a switched-off loss its weight.

    With what a search picked, where the cell is a winner.
    """
    cell = experiment.cell(variant, seed)
    student = cell.student
    if cell.pick and (root / "sweeps" / cell.pick.sweep / BEST).is_file():
        delta = read_pick(root / "sweeps" / cell.pick.sweep, cell.pick.which)["delta"]
        student = changed(student, cell.targets, delta)[0]
    settings = student.model_dump(mode="json")
    custom = settings["losses"].pop("custom")
    settings["losses"] = {**_switched(settings["losses"]), "custom": _switched(custom)}
    return {
        "variant": variant,
        "seed": str(seed),
        **_flatten("student", settings),
        **_flatten("targets", cell.targets.model_dump(mode="json")),
    }


def _switched(losses: Mapping[str, Any]) -> dict[str, Any]:
    return {n: s if s["weight"] else {"weight": s["weight"]} for n, s in losses.items()}


def _flatten(key: str, value: Any) -> dict[str, str]:
    if isinstance(value, Mapping):
        return {k: v for name in value for k, v in _flatten(f"{key}.{name}", value[name]).items()}
    return {key: value if isinstance(value, str) else json.dumps(value)}


def _card_tags(card: Mapping[str, Any], folder: str) -> dict[str, str]:
    """What identifies a run folder: its recipe, its weights, where they lie."""
    return filled({
        "tadsr.digest": card.get("recipe_digest"),
        "tadsr.model": f"{folder}/model" if card["status"] == "done" else "",
        "tadsr.model_content": card.get("content"),
        "tadsr.message": str(card.get("message") or "")[:MESSAGE_LIMIT],
    })  # fmt: skip


def _curves(curves: Mapping[str, Series]) -> Iterator[Point]:
    for name, series in curves.items():
        for images, value in series:
            yield Point(name, int(images), value)


def _results(card: Mapping[str, Any]) -> Iterator[Point]:
    """Scalar results of a finished run's card as `final/<name>`, a name no curve has.

    Without further slashes, because MLflow's page makes a section of each.

    A single value stands at 0 images: MLflow then draws bars instead of a line of one point.
    """
    if card["status"] not in FINISHED:
        return
    numbers = {**(card.get("results") or {}), "seconds": card.get("seconds")}
    for name, value in sorted(numbers.items()):
        if isinstance(value, int | float) and math.isfinite(value):
            yield Point(f"final/{name.replace('/', '_')}", 0, float(value))


def uses(root: Path, contexts: Mapping[str, str]) -> Iterator[DatasetUse]:
    """The data sets of `contexts` (name to `train` or `test`), as the data job left them."""
    cells = read_optional(root / "jobs" / "data.json", {}).get("cells", {})
    for name, context in contexts.items():
        if name in cells:
            yield DatasetUse(name, cells[name]["content"], context)


def existing(files: Mapping[str, Path]) -> dict[str, Path]:
    """Those files that are there."""
    return {place: path for place, path in files.items() if path.is_file()}


def filled(tags: Mapping[str, str | None]) -> dict[str, str]:
    """Those tags that say something."""
    return {name: value for name, value in tags.items() if value}


class Times(TypedDict):
    """Of a run, in milliseconds since 1970."""

    started_ms: int
    ended_ms: int


def times(path: Path, seconds: float | None) -> Times:
    """Begin and end of the work whose last file is `path`, in milliseconds since 1970."""
    ended = int(path.stat().st_mtime * 1000) if path.exists() else 0
    return {"started_ms": ended - int(1000 * (seconds or 0.0)), "ended_ms": ended}
