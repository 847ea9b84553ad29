"""Hyper-parameter searches with Optuna: storage, workers, and what is picked in the end.

What a search leaves in `sweeps/<sweep>/` can be read without Optuna, by what is here.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

STUDY = "study.json"
"""What the search is, and the teacher's scores on the validation images."""
REFERENCES = "references.json"
"""Scores of the students that were trained to be shown beside the trials."""
SEARCH_JOURNAL = "journal.log"
"""Where the trials are told of, unless a database is asked for."""
BEST = "best.yaml"
"""What was picked."""
CONFIRMED = "search_scores.json"
"""In the folder of a winner's student: its scores on the validation images."""


def read_pick(folder: Path, which: str) -> dict[str, Any]:
    """A pick of best.yaml: `trial`, `delta` and `values`."""
    import yaml

    found = yaml.safe_load((folder / BEST).read_text(encoding="utf-8"))
    picked: dict[str, Any] = found["picks"][which]
    return picked
