"""How far a job is, for `tadsr run` and `tadsr status`: a small file, renewed each second."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from tadsr.files import read_json, write_json


class Progress:
    """Callable `(done, total)`; counts over all cells of a job when `cells` is given."""

    def __init__(self, path: Path | str, cells: int = 1) -> None:
        self.path = Path(path)
        self.cells = cells
        self.cell = 0
        self.label = ""
        self._last = 0.0

    def start_cell(self, index: int, label: str) -> None:
        """Say that cell number `index` (from 0) of the job is being worked on."""
        self.cell, self.label, self._last = index, label, 0.0
        self(0, 1)

    def __call__(self, done: int, total: int) -> None:
        """Record that `done` of `total` units of the current cell are finished."""
        now = time.monotonic()
        if now - self._last < 1.0 and done < total:
            return
        self._last = now
        share = (self.cell + done / max(total, 1)) / self.cells
        write_json(self.path, {"share": round(share, 4), "label": self.label})


def read_progress(path: Path | str) -> dict[str, Any]:
    """`{"share": 0..1, "label": str, "age": seconds}`; age None where nothing was recorded."""
    try:
        age = max(0.0, time.time() - Path(path).stat().st_mtime)
        return {**read_json(path), "age": age}
    except FileNotFoundError:  # not started, or just finished
        return {"share": 0.0, "label": "", "age": None}
