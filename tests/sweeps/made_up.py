"""A search whose trials take no training, and a worker process of it.

`python -m tests.sweeps.made_up FOLDER STORAGE TRIALS [SECONDS]` is a worker: it opens the study as
`tadsr sweep` does and does trials of so many seconds, whose score follows from their settings.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tadsr.config.sweep import SweepSpec
from tadsr.locks import Lock
from tadsr.sweeps.leases import Worker
from tadsr.sweeps.study import SweepStudy
from tadsr.sweeps.worker import Search, TrialResult, work
from tests.conftest import REPOSITORY

IMAGES = 90
LOOKS = (10, 30, 90)
WEIGHT = "student.losses.adversarial.weight"
SPACE = {WEIGHT: {"kind": "float", "low": 0.001, "high": 1, "log": True}}


def spec(**changes: Any) -> SweepSpec:
    """A search for the weight that is nearest to 0.1."""
    values = {"space": SPACE, "objectives": [{"metric": "psnr"}], "pruner": {"kind": "none"},
              "budget": {"trials": 6}, "sampler": {"kind": "tpe", "startup_trials": 3}}  # fmt: skip
    return SweepSpec.model_validate_json(json.dumps({**values, **changes}))


def open_study(
    folder: Path, asked: SweepSpec, where: str = "journal", key: str = "key"
) -> SweepStudy:
    """As `tadsr sweep` opens it."""
    folder.mkdir(parents=True, exist_ok=True)
    with lock(folder):
        study = SweepStudy.open(asked, "made up/search", key, where=where, folder=folder,
                                images=IMAGES)  # fmt: skip
        study.fill()
    return study


def lock(folder: Path) -> Lock:
    return Lock(folder / "search.lock", "a search", wait=True)


def score(settings: dict[str, Any]) -> dict[str, dict[str, float]]:
    """Two images, the better the nearer the weight is to 0.1."""
    away = abs(settings.get(WEIGHT, 0.0) - 0.1)
    return {"psnr": {"a": 30 - away, "b": 20 - away}}


def do_trial(
    settings: dict[str, Any],
    look: Callable[[int, Any], bool],
    progress: Callable[[int, int], None],
    seconds: float = 0.0,
) -> TrialResult:
    for images in LOOKS:
        time.sleep(seconds / len(LOOKS))
        progress(images, IMAGES)
        if look(images, score(settings)):
            return TrialResult("pruned", run="made up")
    return TrialResult("done", run="made up")


def run_worker(
    folder: Path, study: SweepStudy, do: Any = do_trial, *, patience: float = 90.0, **more: Any
) -> Search:
    """Work in this process until there is nothing to do; returns the search."""
    with Worker(folder, patience) as worker:
        search = Search(study, worker, do, IMAGES, {"psnr": 25.0}, lambda: lock(folder),
                        pause=0.1, **more)  # fmt: skip
        work(search)
    return search


def start_worker(
    folder: Path, where: str, trials: int, seconds: float = 0.0
) -> subprocess.Popen[str]:
    """A worker in a process of its own."""
    arguments = [str(folder), where, str(trials), str(seconds)]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    return subprocess.Popen([sys.executable, "-m", "tests.sweeps.made_up", *arguments], text=True,
                            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environment,
                            cwd=REPOSITORY)  # fmt: skip


def main(folder: Path, where: str, trials: int, seconds: float) -> None:
    def slowly(settings: Any, look: Any, progress: Any) -> TrialResult:
        with (folder / "done.txt").open("a") as stream:  # one short line: in one piece
            stream.write(f"{os.getpid()} {settings}\n")
        return do_trial(settings, look, progress, seconds)

    study = open_study(folder, spec(budget={"trials": trials}), where)
    run_worker(folder, study, slowly, patience=6.0)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), float(sys.argv[4]))
