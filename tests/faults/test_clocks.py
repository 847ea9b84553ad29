"""Clocks that jump by days, between commands and under them: nothing is redone, missed or lost."""

from __future__ import annotations

import json
import os
import re
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pandas as pd
import pytest
from mlflow.tracking import MlflowClient

from tadsr.files import read_json
from tests.faults.conftest import Whole, make_place, marks
from tests.workplace import LONGEST, Workplace, changed

pytestmark = marks("whole runs under a clock that jumps")

DAY = 86400


def copy_of(whole: Whole, folder: Path) -> Workplace:
    place = make_place(folder)
    shutil.copytree(whole.place.folder, folder, dirs_exist_ok=True)
    return place


def shift(place: Workplace, days: float) -> None:
    """As if the clock had gone by so much when all this was written."""
    for path in place.folder.rglob("*"):
        if not path.is_symlink():
            stat = path.stat()
            os.utime(path, (stat.st_atime + days * DAY, stat.st_mtime + days * DAY))


@pytest.mark.parametrize("days", [5, -5, 400])
def test_between_commands(whole: Whole, tmp_path: Path, days: float) -> None:
    """The clock ran ahead (or behind) when everything was made, and is right again."""
    place = copy_of(whole, tmp_path / "place")
    shift(place, days)
    before = place.state()
    assert "nothing to do" in place.run()
    assert "interrupted" not in place.tadsr("status", str(place.experiment))
    shutil.rmtree(place.root / "students" / "full" / "seed-1")
    place.run("--cores", "2")
    assert changed(before, place.state()) <= {"students/full/seed-1"}  # its seconds differ
    assert place.results() == whole.place.results()
    shift(place, days)
    place.edit("  metrics: [psnr, ssim]\n", "  metrics: [psnr]\n")
    place.run()
    frame = pd.read_parquet(place.root / "comparison" / "scores.parquet")
    assert set(frame["metric"]) == {"psnr"}
    assert "nothing to do" in place.run()


def test_set_back_by_a_day_while_jobs_run(whole: Whole, tmp_path: Path) -> None:
    """Four times: what a job was made from is then a day younger than what it makes."""
    place, ended, jumped = make_place(tmp_path / "place"), threading.Event(), []

    def jump() -> None:
        for stage in ("teacher", "targets", "student", "evaluate"):
            while not list(place.root.glob(f"logs/{stage}*/**/*.progress.json")) + list(
                place.root.glob(f"logs/{stage}.progress.json")
            ):
                if ended.wait(0.02):
                    return
            for path in place.root.glob("jobs/**/*.json"):
                os.utime(path, (time.time() + DAY,) * 2)
            jumped.append(stage)

    with running(jump, ended):
        process = place.start("run", str(place.experiment), "--offline", "--cores", "2")
        said, _ = process.communicate(timeout=LONGEST)
    if process.returncode:  # a jump between the end of a job and Snakemake's look at it
        print(said)
        failed = [line for line in said.splitlines() if line.startswith("failed: ")]
        assert failed and all("the clock was set back" in line for line in failed), said
        place.run("--cores", "2")
    assert len(jumped) > 1
    assert place.results() == whole.place.results()
    assert "nothing to do" in place.run()


PATCH = """
import pathlib, time
REAL, REAL_NS = time.time, time.time_ns
CLOCK = pathlib.Path({clock!r})
def days():
    try:
        return float(CLOCK.read_text() or 0)
    except (OSError, ValueError):
        return 0.0
time.time = lambda: REAL() + 86400 * days()
time.time_ns = lambda: REAL_NS() + int(86400e9 * days())
"""
"""What Python processes take for the time; libfaketime upsets sleeping threads."""


def test_under_a_run_the_clock_jumps_by_days(whole: Whole, tmp_path: Path) -> None:
    place, ended = make_place(tmp_path / "place"), threading.Event()
    clock = place.folder / "clock"
    patch = place.folder / "patch"
    patch.mkdir()
    (patch / "sitecustomize.py").write_text(PATCH.format(clock=str(clock)))
    real = dict(place.environment)
    place.environment["PYTHONPATH"] = f"{patch}:{real.get('PYTHONPATH', '')}"

    def jump() -> None:
        number = 0
        while not ended.wait(2.0):
            aside = clock.with_suffix(".new")
            aside.write_text(("3", "-3", "0")[number % 3])
            aside.replace(clock)
            number += 1

    with running(jump, ended):
        said = place.run("--cores", "2")
    place.environment = real
    assert place.results() == whole.place.results()
    assert not re.search(r"(?<![\d.+])-\d+(\.\d+)? (s|min|h|minutes|a second)\b", said), said
    timings = list(place.root.glob("logs/**/*.time.json"))
    assert len(timings) == 17
    for path in [*place.root.rglob("run.json"), *timings]:
        card = read_json(path)
        assert 0 <= card["seconds"] < 1200, path
        assert card.get("startup", 0) >= 0, path
    assert "all digests match" in place.tadsr("verify", str(place.root / "experiment.json"))
    assert place.leftovers() == []
    client = MlflowClient(place.environment["MLFLOW_TRACKING_URI"])
    number = client.get_experiment_by_name("mini").experiment_id
    for run in client.search_runs([number]):
        took = run.info.end_time - run.info.start_time
        assert 0 <= took < 1200_000, json.dumps(run.to_dictionary()["info"])
        assert abs(run.info.end_time / 1000 - time.time()) < 3.5 * DAY
    assert "nothing to do" in place.run()


@contextmanager
def running(work: Callable[[], None], ended: threading.Event) -> Iterator[None]:
    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
