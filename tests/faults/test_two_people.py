"""Two who start the same experiment in one folder at the same moment."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from pathlib import Path

from tadsr.files import link_tree
from tests.faults.conftest import Whole, make_place, marks
from tests.workplace import LONGEST, Workplace

pytestmark = marks("many starts, minutes of them")

ROUNDS = 20
TOLD = re.compile(r"is already under way by process (\d+) on \S+ since \d{4}-\d\d-\d\d \S+ UTC; ")
STARTER = """
import importlib, pathlib, sys, time
from tadsr.cli import main
importlib.import_module("tadsr.commands." + sys.argv[1])
print("ready", flush=True)
while not pathlib.Path("go").exists():
    time.sleep(0.0005)
sys.exit(main(sys.argv[1:]))
"""
"""All imports first: the two meet at the lock, within a millisecond or so."""


def start_at_once(place: Workplace, *arguments: str) -> list[subprocess.Popen[str]]:
    (place.folder / "go").unlink(missing_ok=True)
    both = [
        subprocess.Popen([sys.executable, "-c", STARTER, *arguments], cwd=place.folder, text=True,
                         env=place.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        for _ in range(2)
    ]  # fmt: skip
    for process in both:
        assert process.stdout is not None
        assert "ready\n" in iter(process.stdout.readline, "")  # after what libraries say
    (place.folder / "go").touch()
    return both


def test_one_goes_on_and_the_other_is_told_by_whom(tmp_path: Path) -> None:
    for number in range(ROUNDS):
        place = make_place(tmp_path / str(number))
        both = start_at_once(place, "run", str(place.experiment), "--offline", "--cores", "1",
                             "--until", "data")  # fmt: skip
        said = [process.communicate(timeout=LONGEST)[0] for process in both]
        codes = [process.returncode for process in both]
        assert sorted(codes) == [0, 1], said
        loser, winner = codes.index(1), codes.index(0)
        assert said[loser].count("\n") == 1, said[loser]
        told = TOLD.search(said[loser])
        assert told and int(told[1]) == both[winner].pid, (said[loser], both[winner].pid)
        assert said[loser].endswith("wait for it or stop it, then run the same command again\n")
    print(f"\n{ROUNDS} rounds: one went on, the other was told")


def test_of_two_trainings_of_one_run_one_trains_and_the_other_takes_its_result(
    whole: Whole, tmp_path: Path
) -> None:
    wanted = {n: d for n, d in whole.place.results().items() if n.startswith("students/full/")}
    for number in range(5):
        place = make_place(tmp_path / str(number))
        for part in ("data", "teacher", "targets", "jobs"):
            link_tree(whole.place.root / part, place.root / part, without=("student",))
        both = start_at_once(place, "student", str(place.experiment), "full")
        said = [process.communicate(timeout=LONGEST)[0] for process in both]
        assert [process.returncode for process in both] == [0, 0], said
        waited = [line for text in said for line in text.splitlines() if TOLD.search(line)]
        assert waited, said  # which of the two it is may differ from seed to seed
        assert all("waiting for it" in line for line in waited)
        assert place.results().items() >= wanted.items()
        assert place.leftovers() == []


def test_the_lock_of_a_dead_owner_is_no_hindrance(tmp_path: Path) -> None:
    place = make_place(tmp_path)
    process = place.start("run", str(place.experiment), "--offline", "--until", "data")
    lock = place.root / ".lock"
    while not (lock.is_file() and lock.read_text()):
        assert process.poll() is None
        time.sleep(0.01)
    process.kill()
    process.communicate()
    assert lock.read_text().startswith(f"process {process.pid} on ")
    place.run("--until", "data")
