"""A full disk: one clear line, the last good state kept, and on it goes when there is room."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from safetensors import safe_open

from tadsr.files import read_json
from tests.faults.conftest import Whole, make_place, marks
from tests.workplace import Workplace

pytestmark = marks("small disks are mounted, minutes of work")

SIZE = 400 * 2**20
MADE = {
    "data": ("data/*",),
    "teacher": ("teacher/*",),
    "targets": ("targets/*",),
    "student": ("students/*",),
    "sweep": ("sweeps/*",),
    "evaluate": ("evaluations/*",),
    "compare": ("comparison/*",),
    "report": ("report/*",),
    "publish": ("../../mlflow.db", "../mlartifacts/*"),
}
"""What each stage makes, in the order of the DAG, from the results folder."""
JOBS = {"student": ("full", "distill_only"), "evaluate": ("full", "baselines")}
"""Of stages of which two jobs are enough."""


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A small disk of its own."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", str(folder)]
    done = subprocess.run(mount, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"a small disk cannot be mounted here ({done.stderr.strip()})")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(folder: Path, left: int) -> Path:
    """Leave `left` bytes of room; delete the file that is returned to have it back."""
    ballast = folder / "ballast"
    with ballast.open("wb") as stream:
        os.posix_fallocate(stream.fileno(), 0, max(shutil.disk_usage(folder).free - left, 1))
    return ballast


def size(paths: list[Path]) -> int:
    files = [file for path in paths for file in ([path] if path.is_file() else path.rglob("*"))]
    return sum(file.stat().st_size for file in files if file.is_file())


def before(whole: Whole, folder: Path, stage: str) -> tuple[Workplace, int]:
    """The experiment as far as the stage, on another disk; and the bytes that the stage takes."""
    place, stages = make_place(folder), list(MADE)
    ignore = shutil.ignore_patterns(".tmp*", "superseded", "logs")
    shutil.copytree(whole.place.root, place.root, ignore=ignore)
    taken = 0
    for later in stages[stages.index(stage) :]:
        paths = [path for pattern in MADE[later] for path in place.root.glob(pattern)]
        taken += size([p for pattern in MADE[stage] for p in whole.place.root.glob(pattern)]
                      if later == stage else [])  # fmt: skip
        for path in paths:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        for receipt in (place.root / "jobs" / later, place.root / "jobs" / f"{later}.json"):
            shutil.rmtree(receipt) if receipt.is_dir() else receipt.unlink(missing_ok=True)
    return place, taken


def check_refusal(said: str, place: Workplace) -> None:
    """One line, of the disk; nothing half there."""
    errors = [line for line in said.splitlines() if line.startswith("tadsr: error: ")]
    assert len(errors) == 1, said
    assert "the disk is full" in errors[0] and "free some space" in errors[0], said
    assert any(part in errors[0] for part in ("results/", "mlflow.db")), said
    assert "Traceback" not in said, said
    assert place.leftovers() == []
    for path in place.root.rglob("*.safetensors"):
        with safe_open(path, framework="pt") as file:
            assert list(file.keys())


@pytest.mark.parametrize("share", [0.0, 0.15, 0.5, 0.8])
@pytest.mark.parametrize("stage", MADE)
def test_a_stage_says_so_in_one_line_and_goes_on_when_there_is_room(
    disk: Path, whole: Whole, stage: str, share: float
) -> None:
    place, taken = before(whole, disk / "work", stage)
    ballast = fill(disk, int(share * taken))
    command = [stage, str(place.experiment), *JOBS.get(stage, ())]
    process = place.start(*command)
    said, _ = process.communicate(timeout=1200)
    print(f"\n{stage}, {share:.0%} of {taken / 1024:.0f} KiB: {process.returncode}\n{said[-600:]}")
    if process.returncode == 0:
        assert share > 0
        pytest.skip(f"{stage} is done with {share:.0%} of the room")
    assert process.returncode == 1
    check_refusal(said, place)
    begun = [path for path in place.root.rglob("state/*.safetensors")
             if read_json(path.parents[1] / "run.json")["status"] != "done"]  # fmt: skip
    ballast.unlink()
    again = place.tadsr(*command)
    assert again.count("goes on at") == len(begun), (begun, again)
    found, wanted = place.results(), whole.place.results()
    assert found and found.keys() <= wanted.keys()
    assert [name for name in found if found[name] != wanted[name]] == []
    made = {name for name in wanted if name.split("/")[0] in
            {Path(pattern).parts[0] for pattern in MADE[stage]}}  # fmt: skip
    assert made - found.keys() <= {name for name in made if stage in JOBS}


@pytest.mark.parametrize("room", [1.0, 6.0, 20.0])
def test_a_whole_run_says_so_and_goes_on_when_there_is_room(
    disk: Path, whole: Whole, room: float
) -> None:
    place = make_place(disk / "work")
    ballast = fill(disk, int(room * 2**20))
    said = place.run("--cores", "2", code=1)
    print(f"\n{room} MiB: {said[-1500:]}")
    assert "the disk is full" in said
    assert "Traceback" not in said
    assert place.leftovers() == []
    ballast.unlink()
    place.run("--cores", "2")
    assert place.results() == whole.place.results()
    assert place.leftovers() == []
