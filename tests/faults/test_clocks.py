"""Clocks that jump by days, between commands and under them: nothing is redone, missed or lost."""

from __future__ import annotations

import json
import os
import re
import shutil
import threading
import time
from pathlib import Path

import pandas as pd
import pytest
from mlflow.tracking import MlflowClient

from tadsr.files import read_json
from tests.faults.conftest import Whole, make_place
from tests.workplace import Workplace, changed

pytestmark = [
    pytest.mark.faults, pytest.mark.slow,
    pytest.mark.skipif("TADSR_TEST_FAULTS" not in os.environ,
                       reason="whole runs under a clock that jumps: make test-faults"),
]  # fmt: skip

DAY = 86400
LIBRARY = sorted(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))


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


def test_set_back_by_a_day_between_jobs(whole: Whole, tmp_path: Path) -> None:
    """Again and again, so that what a job was made from seems younger than what it made."""
    place, ended = make_place(tmp_path / "place"), threading.Event()

    def jump() -> None:
        for number in range(10_000):
            if ended.wait(1.0):
                return
            for path in place.root.glob("jobs/**/*.json"):
                moment = time.time() + (DAY if number % 2 else -DAY)
                os.utime(path, (moment, moment))

    jumps = threading.Thread(target=jump)
    jumps.start()
    try:
        place.run("--cores", "2")
    finally:
        ended.set()
        jumps.join()
    assert place.results() == whole.place.results()
    assert "nothing to do" in place.run()


def test_under_a_run_the_clock_jumps_by_days(whole: Whole, tmp_path: Path) -> None:
    if not LIBRARY:
        pytest.skip("libfaketime is not installed (Debian: apt-get install faketime)")
    place, ended = make_place(tmp_path / "place"), threading.Event()
    clock = place.folder / "clock"
    clock.write_text("+0d\n")
    real = dict(place.environment)
    place.environment |= {
        "LD_PRELOAD": str(LIBRARY[0]), "FAKETIME_TIMESTAMP_FILE": str(clock),
        "FAKETIME_NO_CACHE": "1", "NO_FAKE_STAT": "1", "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "DONT_FAKE_MONOTONIC": "1", "FAKETIME_DONT_RESET": "1",
    }  # fmt: skip

    def jump() -> None:
        for number in range(10_000):
            if ended.wait(2.0):
                return
            aside = clock.with_suffix(".new")
            aside.write_text(("+3d", "-3d", "+0d")[number % 3] + "\n")
            aside.replace(clock)

    jumps = threading.Thread(target=jump)
    jumps.start()
    try:
        said = place.run("--cores", "2")
    finally:
        ended.set()
        jumps.join()
    place.environment = real
    print(said)
    assert place.results() == whole.place.results()
    assert not re.search(r"(?<![\d.+])-\d+(\.\d+)? (s|min|h|minutes|a second)\b", said), said
    for path in [*place.root.rglob("run.json"), *place.root.glob("logs/**/*.time.json")]:
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
