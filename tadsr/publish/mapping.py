"""From the files of an experiment to one record per MLflow run; no MLflow here.

A parent run holds the report; below it lie the teacher, the baselines (the other upscalers) and
one run per cell of the grid.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tadsr.compare import UNVERIFIED
from tadsr.evaluation.cost_records import STUDENTS
from tadsr.files import TEMPORARY_PREFIX
from tadsr.publish.cost_points import cost_points, cost_tags
from tadsr.publish.records import DatasetUse, Leaderboard, Point, RunRecord
from tadsr.report.content import ReportContent
from tadsr.report.model_tables import architecture, digests, what_it_is
from tadsr.report.reading import Series, read_optional

PARENT = "experiment"
"""Key of the parent run."""
IMAGES_PER_SET = 2
"""Super-resolved images shown per run and test set; all of them lie in evaluations/."""
NOTE_LIMIT = 7500
"""Characters of a run's description; MLflow cuts at 8000."""
MESSAGE_LIMIT = 500


def map_experiment(content: ReportContent) -> tuple[RunRecord, list[RunRecord]]:
    """The parent run and its children, in the order teacher, baselines, students."""
    children = [*_teacher(content), *_baselines(content), *_students(content)]
    return _parent(content, children), children


def leaderboard(content: ReportContent) -> Leaderboard:
    """The metrics of the declared test sets (else of the first with any), by the first of them."""
    declared = [(endpoint.dataset, endpoint.metric) for endpoint in content.experiment.primary]
    measured = [d.name for d in content.datasets if content.defined_metrics(d.name)]
    sets = list(dict.fromkeys(dataset for dataset, _ in declared)) or measured[:1]
    columns = [(name, metric.id) for name in sets for metric in content.defined_metrics(name)]
    order = min(declared or columns, key=lambda column: content.unverified(column[1]))
    return Leaderboard(
        order=_shown(content, *order),
        ascending=not content.metric(order[1]).higher_is_better,
        columns=tuple(_shown(content, *column) for column in columns),
    )


def _shown(content: ReportContent, dataset: str, metric: str) -> str:
    """A score's name in MLflow; numbers of unverified weights stand under a name of their own."""
    return f"{dataset}/{metric}" + f"_{UNVERIFIED}" * content.unverified(metric)


def _parent(content: ReportContent, children: list[RunRecord]) -> RunRecord:
    root = content.root
    files = {"experiment.json": root / "experiment.json"}
    for folder in ("report", "comparison"):
        files |= {path.relative_to(root).as_posix(): path for path in _files(root / folder)}
    tags = {
        "tadsr.digest": content.digest,
        "tadsr.cells": str(len(content.cells)),
        "tadsr.diverged": str(sum(cell.status == "diverged" for cell in content.cells)),
        "tadsr.holes": "; ".join(content.holes)[:MESSAGE_LIMIT],
        "tadsr.missing": ", ".join(sorted(content.missing)),
        "tadsr.unverified": _unverified(content),
        "mlflow.note.content": _note(content),
    }
    return RunRecord(
        key=PARENT,
        name=content.experiment.name,
        kind=PARENT,
        status=_overall(content),
        tags=_filled(tags),
        files=_existing(files),
        started_ms=min((child.started_ms for child in children), default=0),
        ended_ms=max((child.ended_ms for child in children), default=0),
    )


def _overall(content: ReportContent) -> str:
    if any(cell.status == "failed" for cell in content.cells):
        return "failed"
    return "running" if content.holes else "done"


def _note(content: ReportContent) -> str:
    """Markdown: the declared comparisons in words, then the main tables as far as they fit."""
    primary = [comparison for comparison in content.comparisons if comparison.primary]
    parts = [
        f"Experiment `{content.experiment.name}`: {len(content.variants)} variants × "
        f"{len(content.experiment.seeds)} seeds against `{content.reference}`. "
        "The page is the artifact `report/index.html`."
    ]
    if primary:
        parts.append("\n".join(f"- {c.text}" for c in primary))
    for name in content.experiment.data.test:
        table = content.root / "report" / "tables" / f"main-{name}.md"
        if table.is_file():
            parts.append(table.read_text(encoding="utf-8").strip())
    note = parts[0]
    for part in parts[1:]:
        if len(note) + len(part) + 2 <= NOTE_LIMIT:
            note += "\n\n" + part
    return note


def _teacher(content: ReportContent) -> Iterator[RunRecord]:
    card = content.runs.get("teacher")
    if card is None:
        return
    folder = content.root / "teacher"
    spec = content.experiment.teacher
    unused = {"training"} if spec.imported else set()
    yield RunRecord(
        key="teacher",
        name="teacher",
        kind="teacher",
        status=card["status"],
        tags=_card_tags(card, "teacher"),
        params=_flatten("teacher", spec.model_dump(mode="json", exclude=unused)),
        points=(*_curves(content.teacher_curve), *_results(card)),
        datasets=tuple(_uses(content.root, {"train": "train"})),
        files=_existing({name: folder / name for name in ("run.json", "metrics.jsonl")}),
        **_times(folder / "run.json", card.get("seconds")),
    )


def _baselines(content: ReportContent) -> Iterator[RunRecord]:
    for name in content.baselines:
        means = {(d, m): mean.mean for (d, upscaler, m), mean in content.means.items()
                 if upscaler == name}  # fmt: skip
        if not means:
            continue
        cost = content.costs.get(name)
        folder = content.root / "evaluations" / name
        scores = [folder / f"{dataset.name}.parquet" for dataset in content.datasets]
        tags = {"tadsr.missing": _missing(content, means),
                "tadsr.unverified": _unverified(content), **_model_tags(content, name),
                **cost_tags(cost)}  # fmt: skip
        yield RunRecord(
            key=name,
            name=name,
            kind="baseline",
            status="done",
            tags=_filled(tags),
            params={"variant": name},
            points=(*_scores(content, means), *cost_points(cost)),
            datasets=tuple(_uses(content.root, _tests(means))),
            files=_evaluation_files(content, name),
            **_times(max((p for p in scores if p.is_file()), key=_mtime, default=folder), 0.0),
        )


def _model_tags(content: ReportContent, name: str) -> dict[str, str]:
    """What a model beside the students is."""
    entry: Mapping[str, Any] = next((e for e in content.models if e["name"] == name), {})
    return {
        "mlflow.note.content": what_it_is(content, name),
        "tadsr.architecture": architecture(entry),
        "tadsr.model_content": digests(entry),
    }


def _students(content: ReportContent) -> Iterator[RunRecord]:
    for cell in content.cells:
        place = f"students/{cell.name}"
        card = content.runs.get(place)
        if card is None:
            continue
        finished = card["status"] == "done"
        cost = content.costs.get(STUDENTS) if finished else None
        means = {(d, m): value for (v, s, d, m), value in content.seed_means.items()
                 if finished and (v, s) == (cell.variant, cell.seed)}  # fmt: skip
        folder = content.root / place
        curves = content.curves[cell.variant, cell.seed]
        own = ("run.json", "metrics.jsonl", "validation.json")
        files = _existing({name: folder / name for name in own})
        note = content.experiment.variants[cell.variant].description
        tags = {"tadsr.missing": _missing(content, means) if finished else "",
                "tadsr.unverified": _unverified(content) if finished else "",
                "tadsr.variant": cell.variant, "mlflow.note.content": note,
                **cost_tags(cost)}  # fmt: skip
        yield RunRecord(
            key=cell.name,
            name=cell.name,
            kind="student",
            status=card["status"],
            tags=_card_tags(card, place) | _filled(tags),
            params=_student_params(content, cell.variant, cell.seed),
            points=(
                *_curves(curves),
                *_results(card),
                *_scores(content, means),
                *cost_points(cost),
            ),
            datasets=tuple(_uses(content.root, {"train": "train", **_tests(means)})),
            files=files | (_evaluation_files(content, cell.name) if means else {}),
            **_times(folder / "run.json", card.get("seconds")),
        )


def _student_params(content: ReportContent, variant: str, seed: int) -> dict[str, str]:
    """Settings under the dotted keys of experiment files; of a switched-off loss its weight."""
    cell = content.experiment.cell(variant, seed)
    settings = cell.student.model_dump(mode="json")
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
    return _filled({
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
    """Scalar results of a run card as `final/<name>`, a name no curve has.

    A single value stands at 0 images: MLflow then draws bars instead of a line of one point.
    """
    numbers = {**(card.get("results") or {}), "seconds": card.get("seconds")}
    for name, value in sorted(numbers.items()):
        if isinstance(value, int | float) and math.isfinite(value):
            yield Point(f"final/{name}", 0, float(value))


def _scores(content: ReportContent, means: Mapping[tuple[str, str], float]) -> Iterator[Point]:
    for (dataset, metric), value in sorted(means.items()):
        if math.isfinite(value):
            yield Point(_shown(content, dataset, metric), 0, value)


def _unverified(content: ReportContent) -> str:
    """Metrics whose weights are not known to be the official ones."""
    return ", ".join(sorted(m.id for m in content.metrics if content.unverified(m.id)))


def _missing(content: ReportContent, means: Mapping[tuple[str, str], float]) -> str:
    """Metrics that make sense on some test set and have no finite value there."""
    absent = {
        metric.id
        for dataset in content.datasets
        for metric in content.defined_metrics(dataset.name)
        if not math.isfinite(means.get((dataset.name, metric.id), math.nan))
    }
    return ", ".join(sorted(absent))


def _tests(means: Mapping[tuple[str, str], float]) -> dict[str, str]:
    return {dataset: "test" for dataset, _ in sorted(means)}


def _uses(root: Path, contexts: Mapping[str, str]) -> Iterator[DatasetUse]:
    cells = read_optional(root / "jobs" / "data.json", {}).get("cells", {})
    for name, context in contexts.items():
        if name in cells:
            yield DatasetUse(name, cells[name]["content"], context)


def _evaluation_files(content: ReportContent, upscaler: str) -> dict[str, Path]:
    """Per-image scores, and the first images of each test set under the same path in each run."""
    files: dict[str, Path] = {}
    folder = content.root / "evaluations" / upscaler
    for dataset in content.experiment.data.test:
        files[f"scores/{dataset}.parquet"] = folder / f"{dataset}.parquet"
        for path in sorted((folder / dataset).glob("*.png"))[:IMAGES_PER_SET]:
            files[f"images/{dataset}/{path.name}"] = path
    return _existing(files)


def _files(folder: Path) -> list[Path]:
    return [path for path in sorted(folder.rglob("*"))
            if path.is_file() and not path.name.startswith(TEMPORARY_PREFIX)]  # fmt: skip


def _existing(files: Mapping[str, Path]) -> dict[str, Path]:
    return {place: path for place, path in files.items() if path.is_file()}


def _filled(tags: Mapping[str, str | None]) -> dict[str, str]:
    return {name: value for name, value in tags.items() if value}


def _mtime(path: Path) -> float:
    return path.stat().st_mtime if path.exists() else 0.0


def _times(path: Path, seconds: float | None) -> dict[str, int]:
    """Begin and end of the work whose last file is `path`, in milliseconds since 1970."""
    ended = int(_mtime(path) * 1000)
    return {"started_ms": ended - int(1000 * (seconds or 0.0)), "ended_ms": ended}
