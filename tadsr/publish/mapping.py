"""From the files of an experiment to one record per MLflow run; no MLflow here.

A parent run holds the report; below it lie the teacher, the baselines (the other upscalers), one
run per cell of the grid, and one per search, below which its trials lie.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from tadsr.compare import UNVERIFIED
from tadsr.evaluation.cost_records import STUDENTS
from tadsr.publish.artefacts import (
    RunScores,
    evaluation_files,
    grid_images,
    report_files,
    report_tables,
    scores_table,
)
from tadsr.publish.cost_points import cost_points, cost_tags
from tadsr.publish.front_page import PICTURES
from tadsr.publish.records import Leaderboard, Point, RunRecord
from tadsr.publish.searches import sweep_records
from tadsr.publish.trainings import (
    MESSAGE_LIMIT,
    NOTE,
    filled,
    student_record,
    teacher_record,
    times,
    uses,
)
from tadsr.report.content import ReportContent
from tadsr.report.model_tables import architecture, digests, what_it_is
from tadsr.report.table import as_markdown

PARENT = "experiment"
"""Key of the parent run."""
MAX_PICTURES = 40
"""On the page of charts; MLflow keeps its state in a tag of 20000 characters."""
NOTE_LIMIT = 7500
"""Characters of a run's description; MLflow cuts at 8000."""


def map_experiment(content: ReportContent) -> tuple[RunRecord, list[RunRecord]]:
    """The parent run and those below it: teacher, baselines, students, searches with trials."""
    models = [*_teacher(content), *_baselines(content), *_students(content)]
    children = [*models, *sweep_records(content)]
    return _parent(content, children), children


def leaderboard(content: ReportContent, runs: Sequence[RunRecord] = ()) -> Leaderboard:
    """The metrics of the declared test sets (else of the first with any), by the first of them.

    With the pictures that `runs` have.
    """
    declared = [(endpoint.dataset, endpoint.metric) for endpoint in content.experiment.primary]
    measured = [d.name for d in content.datasets if content.defined_metrics(d.name)]
    sets = list(dict.fromkeys(dataset for dataset, _ in declared)) or measured[:1]
    columns = [(name, metric.id) for name in sets for metric in content.defined_metrics(name)]
    order = min(declared or columns, key=lambda column: content.unverified(column[1]))
    others = [dataset.name for dataset in content.datasets if dataset.name not in sets]
    return Leaderboard(
        order=_shown(content, *order),
        ascending=not content.metric(order[1]).higher_is_better,
        columns=tuple(_shown(content, *column) for column in columns),
        images=tuple(dict.fromkeys(name for run in runs for name in run.images))[:MAX_PICTURES],
        sections=("loss", "val", PICTURES, *sets, *others, "grad_norm", "learning_rate", "final"),
    )


def _shown(content: ReportContent, dataset: str, metric: str) -> str:
    """A score's name in MLflow; numbers of unverified weights stand under a name of their own."""
    return f"{dataset}/{_heading(content, metric)}"


def _heading(content: ReportContent, metric: str) -> str:
    return metric + f"_{UNVERIFIED}" * content.unverified(metric)


def _parent(content: ReportContent, children: list[RunRecord]) -> RunRecord:
    tags = {
        "tadsr.digest": content.digest,
        "tadsr.cells": str(len(content.cells)),
        "tadsr.diverged": str(sum(cell.status == "diverged" for cell in content.cells)),
        "tadsr.holes": "; ".join(content.holes)[:MESSAGE_LIMIT],
        "tadsr.missing": ", ".join(sorted(content.missing)),
        "tadsr.unverified": _unverified(content),
        NOTE: _note(content),
    }
    return RunRecord(
        key=PARENT,
        name=content.experiment.name,
        kind=PARENT,
        status=_overall(content),
        tags=filled(tags),
        files=report_files(content.root),
        tables=report_tables(content.root),
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
        parts.append("\n".join(f"- {as_markdown(c.text)}" for c in primary))
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
    if card is not None:
        curves = content.teacher_curve
        yield teacher_record(content.experiment, content.root, card, curves)


def _baselines(content: ReportContent) -> Iterator[RunRecord]:
    for name in content.baselines:
        means = {(d, m): mean.mean for (d, upscaler, m), mean in content.means.items()
                 if upscaler == name}  # fmt: skip
        if not means:
            continue
        folder = content.root / "evaluations" / name
        stored = [folder / f"{dataset.name}.parquet" for dataset in content.datasets]
        record = RunRecord(
            key=name,
            name=name,
            kind="baseline",
            status="done",
            tags=filled({"tadsr.variant": name, **_model_tags(content, name)}),
            params={"variant": name},
            **times(max((p for p in stored if p.is_file()), key=_mtime, default=folder), 0.0),
        )
        cost = content.costs.get(name)
        measured = _measured(content, record, name, means, content.image_scores.of_run(name, -1))
        yield replace(
            measured,
            points=(*measured.points, *cost_points(cost)),
            tags={**measured.tags, **filled(cost_tags(cost))},
        )


def _model_tags(content: ReportContent, name: str) -> dict[str, str]:
    """What a model beside the students is."""
    entry: Mapping[str, Any] = next((e for e in content.models if e["name"] == name), {})
    return {
        NOTE: what_it_is(content, name),
        "tadsr.architecture": architecture(entry),
        "tadsr.model_content": digests(entry),
    }


def _students(content: ReportContent) -> Iterator[RunRecord]:
    means: dict[tuple[str, int], dict[tuple[str, str], float]] = {}
    for (variant, seed, dataset, metric), value in content.seed_means.items():
        means.setdefault((variant, seed), {})[dataset, metric] = value
    for cell in content.cells:
        card = content.runs.get(f"students/{cell.name}")
        if card is None:
            continue
        place = (cell.variant, cell.seed)
        record = student_record(
            content.experiment, content.root, place, card, content.curves[place]
        )
        if card["status"] == "done":
            cost = content.costs.get(STUDENTS)
            scores = content.image_scores.of_run(*place)
            record = _measured(content, record, cell.name, means.get(place, {}), scores)
            record = replace(
                record,
                points=(*record.points, *cost_points(cost)),
                tags={**record.tags, **filled(cost_tags(cost))},
            )
        yield record


def _measured(
    content: ReportContent,
    record: RunRecord,
    upscaler: str,
    means: Mapping[tuple[str, str], float],
    scores: RunScores,
) -> RunRecord:
    """`record` with what was measured on the test sets, as far as there is anything."""
    tags = {"tadsr.missing": _missing(content, means), "tadsr.unverified": _unverified(content)}
    tested = {dataset: "test" for dataset, _ in sorted(means)}
    titles = {spec.id: _heading(content, spec.id) for spec in content.metrics
              if any(spec.id in values for values in scores.values())}  # fmt: skip
    return replace(
        record,
        tags={**record.tags, **filled(tags)},
        points=(*record.points, *_scores(content, means)),
        datasets=(*record.datasets, *uses(content.root, tested)),
        files={**record.files, **(evaluation_files(content, upscaler) if means else {})},
        tables=scores_table(scores, titles),
        images=grid_images(content, upscaler) if means else {},
    )


def _scores(content: ReportContent, means: Mapping[tuple[str, str], float]) -> Iterator[Point]:
    for (dataset, metric), value in sorted(means.items()):
        if math.isfinite(value):
            yield Point(_shown(content, dataset, metric), 0, value, dataset)


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


def _mtime(path: Path) -> float:
    return path.stat().st_mtime if path.exists() else 0.0
