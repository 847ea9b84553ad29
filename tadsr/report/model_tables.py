"""The table of the models beside the students: what stands behind each name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from tadsr.report.content import ReportContent
from tadsr.report.table import GAP, Cell, Column, Table
from tadsr.report.wording import caption, count

DIGITS = 12
"""Of a sha256 that are shown."""


def models_table(content: ReportContent) -> Table:
    """What each model beside the students is, and the digest of what its images were made from."""
    known = {str(entry["name"]): entry for entry in content.models}
    rows = [_row(content, name, known.get(name, {})) for name in content.baselines]
    return Table(
        name="models",
        title="Models beside the students",
        caption=caption("tables", "models"),
        columns=(
            Column("model", "Model", numeric=False),
            Column("what", "What it is", numeric=False),
            Column("architecture", "Architecture", numeric=False),
            Column("source", "File", numeric=False),
            Column("content", "Content (sha256)", numeric=False),
        ),
        rows=tuple(rows),
    )


def _row(content: ReportContent, name: str, entry: Mapping[str, Any]) -> tuple[Cell, ...]:
    return (
        Cell(name),
        Cell(what_it_is(content, name)),
        Cell(architecture(entry)),
        Cell(str(entry.get("source", ""))),
        Cell(digests(entry) or GAP),
    )


def what_it_is(content: ReportContent, name: str) -> str:
    """A model's kind in words."""
    models = content.experiment.evaluation
    steps = count(models.steps(name), "step")
    words = {
        "bicubic": "bicubic interpolation",
        "teacher": f"the teacher in {steps}",
        "published": f"published weights, {steps}",
        "pipeline": f"a saved pipeline, {steps}",
        "checkpoint": "a checkpoint of another architecture",
        "images": "finished images of another method",
    }
    return words[models.kind(name)]


def architecture(entry: Mapping[str, Any]) -> str:
    """Of a foreign checkpoint: its name, its size, and which spandrel recognised it."""
    if "architecture" not in entry:
        return ""
    parameters = f"{entry['parameters']:,} parameters"
    details = [parameters, *entry["tags"], f"spandrel {entry['spandrel']}"]
    return f"{entry['architecture']} ({', '.join(details)})"


def digests(entry: Mapping[str, Any]) -> str:
    """The first digits of each content, once: finished images differ between test sets."""
    return ", ".join(dict.fromkeys(_short(entry.get("contents", {}))))


def _short(contents: Mapping[str, str]) -> Iterator[str]:
    for content in contents.values():
        for digest in content.split(":"):
            if digest != "bicubic":
                yield digest[:DIGITS]
