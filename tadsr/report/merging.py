"""What `tadsr merge` put together, in a sentence for the report's conditions."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from tadsr.report.reading import read_optional


def merged(root: Path) -> Iterator[str]:
    """How many students came from which folder, and what the machines had not in common.

    Nothing for results of one machine, which have no `merged.json`.
    """
    sources = read_optional(root / "merged.json", {}).get("sources", [])
    if not sources:
        return
    students = [sum(run.startswith("students/") for run in source["runs"]) for source in sources]
    parts = ", ".join(f"{number} from folder {n}" for n, number in enumerate(students, start=1))
    made = [source["made_with"] for source in sources]
    names = sorted({name for entry in made for name in entry})
    other = [f"{name} {' / '.join(entry.get(name, 'unknown') for entry in made)}"
             for name in names if len({entry.get(name) for entry in made}) > 1]  # fmt: skip
    differ = f" The folders differ in {', '.join(other)}." if other else ""
    yield f"Merged from {len(sources)} results folders; students: {parts}.{differ}"
