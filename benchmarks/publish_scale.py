"""Publishing 1000 runs to SQLite, killed in the middle and done again.

    python -m benchmarks.publish_scale [--variants 332] [--seeds 3] [--sets 4] [--images 3]
                                       [--folder FOLDER]

The made-up results of `benchmarks/report_scale.py` (curves of 100 points under four names, scores
of four test sets, two pictures each) are compared, and published twice by `tadsr publish`: once to
its end, and once killed with SIGKILL when half of the runs are whole, and then done again. Printed:
seconds a run for the first and the last hundred, as the database tells them, memory, and whether
both databases show the same (tests/publish/shown.py, which downloads every artefact), with no run
twice and none in the trash that the other lacks. Last, a publish that finds nothing to do. Linux
alone.
"""

from __future__ import annotations

import argparse
import json
import os
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from benchmarks.measured import Taken, check, cpu_of, take
from benchmarks.report_scale import EXPERIMENT, REPOSITORY

GIB = 2.0
WHOLE = "select count(*) from tags where key = 'tadsr.content'"
PART = 100


def main() -> int:
    """Measure and print; exit code 1 if anything was lost or doubled, or a bound missed."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else "")
    for name, default in (("variants", 332), ("seeds", 3), ("sets", 4), ("images", 3)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--folder", type=Path, help="work here, and leave the results")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        bench = Bench((args.folder or Path(temporary)).resolve())
        return bench.measure(args)


class Bench:
    """A folder with results, and what was measured."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.missed = False
        folder.mkdir(parents=True, exist_ok=True)

    def measure(self, args: argparse.Namespace) -> int:
        """Both ways, and the comparison of their ends."""
        print(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors")
        if not (self.folder / EXPERIMENT).is_file():
            sizes = {**{k: v for k, v in vars(args).items() if k != "folder"},
                     "pictures": 2, "side": 64}  # fmt: skip
            self.python("making results", "-m", "benchmarks.report_scale_results",
                        json.dumps(sizes))  # fmt: skip
            self.python("tadsr compare", "-m", "tadsr", "compare", EXPERIMENT)
        runs = args.variants * args.seeds + 5  # and baselines, teacher, the experiment itself
        self.publish("plain", runs)
        killed = self.kill("killed", runs // 2)
        self.publish("killed", runs - killed)
        self.python("again, with nothing to do", *PUBLISH, database="killed", gib=GIB)
        both = [str(self.folder / f"{name}.db") for name in ("plain", "killed")]
        self.python("comparing both ends", "-m", "benchmarks.publish_scale_shown", *both, "many")
        print((self.folder / "log").read_text().strip())
        return int(self.missed)

    def publish(self, database: str, runs: int) -> None:
        """To its end, with the time that the first and last hundred of `runs` runs took."""
        with Watch(self.folder / f"{database}.db") as watch:
            self.python(f"tadsr publish, {runs} runs ({database})", *PUBLISH, database=database,
                        gib=GIB, started=watch.follow)  # fmt: skip
        for what, place in (("CPU", 2), ("the clock", 0)):
            first, last = watch.rates(PART, place)
            print(f"  by {what}: {first:.3f} s a run in the first {PART}, {last:.3f} s in the "
                  f"last: {last / first:.2f} times")  # fmt: skip

    def kill(self, database: str, after: int) -> int:
        """Publish until so many runs are whole, and kill; returns how many were."""
        path = self.folder / f"{database}.db"
        with (self.folder / "log").open("w") as log:
            process = subprocess.Popen([sys.executable, *PUBLISH], cwd=self.folder, stdout=log,
                                       stderr=log, env=self.variables(database))  # fmt: skip
        while count(path) < after and process.poll() is None:
            time.sleep(0.05)
        process.kill()
        code = process.wait()
        print(f"killed with SIGKILL when {count(path)} runs were whole (it ended with {code})")
        self.missed |= code == 0
        return count(path)

    def python(self, name: str, *arguments: str, database: str = "plain",
               gib: float | None = None,
               started: Callable[[int], None] = lambda pid: None) -> Taken:  # fmt: skip
        """A run of Python, printed."""
        log = self.folder / "log"
        taken = take([sys.executable, *arguments], log, self.folder, self.variables(database),
                     started)  # fmt: skip
        self.missed |= not check(name, taken, log, gib=gib)
        return taken

    def variables(self, database: str) -> dict[str, str]:
        """The environment of a command that publishes to this database."""
        own = {"PYTHONPATH": str(REPOSITORY), "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
               "MLFLOW_TRACKING_URI": f"sqlite:///{self.folder / database}.db"}  # fmt: skip
        return {**os.environ, **own}


PUBLISH = ("-m", "tadsr", "publish", EXPERIMENT)


def count(database: Path) -> int:
    """How many runs are whole; 0 while there is no table yet."""
    try:
        with sqlite3.connect(f"file:{database}?mode=ro", uri=True, timeout=10) as connection:
            return int(connection.execute(WHOLE).fetchone()[0])
    except sqlite3.OperationalError:
        return 0


class Watch(threading.Thread):
    """Notes when runs became whole, while another process publishes."""

    def __init__(self, database: Path) -> None:
        super().__init__(daemon=True)
        self.database = database
        self.begun = count(database)
        self.pid = 0
        self.seen: list[tuple[float, int, float]] = []
        """Seconds by the clock, whole runs, CPU seconds of the process."""
        self.over = threading.Event()

    def follow(self, pid: int) -> None:
        """Watch this process."""
        self.pid = pid

    def run(self) -> None:
        """Look ten times a second."""
        while not self.over.wait(0.1):
            now = count(self.database)
            with suppress(FileNotFoundError, ProcessLookupError):  # it ended
                if now > (self.seen[-1][1] if self.seen else self.begun):
                    self.seen.append((time.monotonic(), now, cpu_of(self.pid)))

    def __enter__(self) -> Watch:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        self.join()

    def rates(self, part: int, place: int) -> tuple[float, float]:
        """Seconds a run at the beginning and at the end, without the start of the process."""
        first = [entry for entry in self.seen if entry[1] <= self.begun + part]
        last = [entry for entry in self.seen if entry[1] >= self.seen[-1][1] - part]
        return _rate(first, place), _rate(last, place)


def _rate(seen: list[tuple[float, int, float]], place: int) -> float:
    return (seen[-1][place] - seen[0][place]) / max(seen[-1][1] - seen[0][1], 1)


if __name__ == "__main__":
    sys.exit(main())
