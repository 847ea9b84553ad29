"""How far a job is, for `tadsr run`, `tadsr status` and whoever watches the job's output.

A small file, renewed each second, and a line of output every quarter of a minute.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from tadsr.files import read_json, write_json
from tadsr.runs import team

SECONDS_BETWEEN_LINES = 15.0


class Progress:
    """Callable `(done, total)`; counts over all cells of a job when `cells` is given.

    Args:
        label: what is worked on, until `start_cell` says more.
    """

    def __init__(self, path: Path | str, cells: int = 1, label: str = "") -> None:
        self.path = Path(path)
        self.cells = cells
        self.cell = 0
        self.label = label
        self._last = 0.0
        self._printed = time.monotonic()
        self._since: tuple[float, int] | None = None

    def start_cell(self, index: int, label: str) -> None:
        """Say that cell number `index` (from 0) of the job is being worked on."""
        self.cell, self.label, self._last = index, label, 0.0
        self._printed = time.monotonic()
        self(0, 1)
        self._since = None

    def __call__(self, done: int, total: int) -> None:
        """Record that `done` of `total` units of the current cell are finished."""
        now = time.monotonic()
        self._since = self._since or (now, done)
        if not team.is_main() or (now - self._last < 1.0 and done < total):
            return
        self._last = now
        pace = self._pace(now, done, total)
        share = (self.cell + done / max(total, 1)) / self.cells
        write_json(self.path, {"share": round(share, 4), "label": self.label, "pace": pace})
        if pace and now - self._printed > SECONDS_BETWEEN_LINES:
            self._printed = now
            print(f"{self.label}: {done} of {total}, {pace}", flush=True)

    def _pace(self, now: float, done: int, total: int) -> str:
        """Speed of this cell so far, and the time that it still takes at that."""
        begun, first = self._since or (now, done)
        if done <= first or now - begun < 2.0:
            return ""
        rate = (done - first) / (now - begun)
        return f"{rate:.3g} a second, {duration((total - done) / rate)} left"


def duration(seconds: float) -> str:
    """Seconds in a unit that suits them."""
    for unit, size in (("h", 3600.0), ("min", 60.0)):
        if seconds >= 1.5 * size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds:.0f} s"


def read_progress(path: Path | str) -> dict[str, Any]:
    """`{"share": 0..1, "label", "pace", "age": seconds}`; age None where nothing was recorded."""
    nothing = {"share": 0.0, "label": "", "pace": "", "age": None}
    try:
        # A note of the future is old news, too: the clock was set back since.
        age = abs(time.time() - Path(path).stat().st_mtime)
        return {**nothing, **read_json(path), "age": age}
    except FileNotFoundError:  # not started, or just finished
        return nothing
