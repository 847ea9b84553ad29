"""Finished results: read-only, or copied elsewhere without times and the notes of others."""

from __future__ import annotations

import os
import random
import shutil
import time
from pathlib import Path

import pytest

from tests.faults.conftest import Whole, make_place, marks
from tests.workplace import read_only

pytestmark = marks("needs a whole run")


@pytest.mark.parametrize("seed", range(3))
def test_a_copy_is_as_good_as_the_original(whole: Whole, tmp_path: Path, seed: int) -> None:
    place, chance = make_place(tmp_path / "elsewhere"), random.Random(seed)
    shutil.copytree(whole.place.root, place.root, copy_function=shutil.copyfile)
    for path in place.root.rglob("*"):
        moment = time.time() - chance.uniform(-1000, 1000)
        os.utime(path, (moment, moment))
    before = place.state()
    assert "all digests match" in place.tadsr("verify", str(place.root / "experiment.json"))
    assert "nothing to do" in place.run()
    said = place.tadsr("publish", str(place.experiment))
    assert " 0 up to date" in said
    assert " 0 runs written" in place.tadsr("publish", str(place.experiment))
    assert place.state() == before
    assert place.results() == whole.place.results()
    assert "nothing to do" in place.run()


def test_results_that_may_only_be_read(whole: Whole, tmp_path: Path) -> None:
    place = make_place(tmp_path / "place")
    shutil.copytree(whole.place.root, place.root)
    experiment = str(place.root / "experiment.json")
    with read_only(place.root.parent):
        assert "all digests match" in place.tadsr("verify", experiment)
        place.tadsr("report", "paper", experiment, "--out", str(place.folder / "paper"))
        assert "cannot be written to" in place.tadsr("doctor", experiment, code=1)
        for command in ("run --offline", "compare", "report", "publish"):
            (line,) = place.tadsr(*command.split(), experiment, code=1).splitlines()
            assert "the file system is read-only" in line or "permission denied" in line
    assert len(list((place.folder / "paper").iterdir())) > 1
    assert "nothing to do" in place.run()
