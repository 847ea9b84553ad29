"""One cluster for all tests here, and one finished experiment that they start from."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import ClassVar

import pytest

from tadsr.runs.progress import read_progress
from tests.conftest import REPOSITORY
from tests.slurm.cluster import Unavailable, slurm

MINI = REPOSITORY / "tests" / "integration" / "mini.yaml"
SOON = ("--tadsr-slurm-init-seconds-before-status-checks", "2")
"""Less patience than for a real cluster."""
SETTINGS = ("seeds=[0]", "execution.device=cpu", "student.training.images=960",
            "student.training.batch_size=80", "student.training.checkpoint_every=1000000",
            "evaluation.metrics=[psnr]", "evaluation.cost.sizes=[]")  # fmt: skip
"""Steps of seconds, and no saved state but that of a signal."""


class Place:
    """A folder with the small experiment, and `tadsr run --profile slurm` in it."""

    started: ClassVar[list[subprocess.Popen[str]]] = []

    def __init__(self, folder: Path, profile: str = "slurm") -> None:
        self.folder = folder
        self.profile = profile
        self.root = folder / "results" / "mini"
        self.environment = {
            **os.environ,
            "TADSR_WEIGHTS": str(folder / "weights"),
            "MLFLOW_TRACKING_URI": f"sqlite:///{folder}/mlflow.db",
            "PYTHONPATH": os.pathsep.join([str(REPOSITORY), os.environ.get("PYTHONPATH", "")]),
        }

    def command(self, *arguments: str, settings: tuple[str, ...] = ()) -> list[str]:
        sets = [part for setting in (*SETTINGS, *settings) for part in ("--set", setting)]
        return [sys.executable, "-m", "tadsr", "run", "mini.yaml", "--offline", *sets,
                "--profile", self.profile, *SOON, *arguments]  # fmt: skip

    def start(self, *arguments: str, settings: tuple[str, ...] = ()) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            self.command(*arguments, settings=settings), cwd=self.folder, env=self.environment,
            text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        self.started.append(process)
        return process

    def run(self, *arguments: str, code: int = 0, settings: tuple[str, ...] = ()) -> str:
        return self.end(self.start(*arguments, settings=settings), code)

    def end(self, process: subprocess.Popen[str], code: int = 0) -> str:
        """What a run printed, after it ended with this exit code."""
        output, _ = process.communicate(timeout=900)
        assert process.returncode == code, output + self.logs()
        return output

    def logs(self) -> str:
        return "".join(
            f"\n== {path}\n{path.read_text()[-2500:]}" for path in self.root.glob("logs/**/*.log")
        )

    def weights(self) -> dict[str, bytes]:
        """The files of the students' networks."""
        found = sorted(self.root.glob("students/*/*/model/unet/*.safetensors"))
        return {path.relative_to(self.root).as_posix(): path.read_bytes() for path in found}

    def trains(self) -> bool:
        """Whether the student `full` has taken a step of its training."""
        note = read_progress(self.root / "logs" / "student" / "full.progress.json")
        return float(note["share"]) > 0


def wait(ready: Callable[[], bool], process: subprocess.Popen[str], what: str) -> None:
    """Until something is so, while a run goes on."""
    end = time.monotonic() + 300
    while not ready():
        assert process.poll() is None, f"the run ended before {what}"
        assert time.monotonic() < end, f"no {what} within 300 s"
        time.sleep(0.2)


@pytest.fixture(scope="session")
def cluster() -> Iterator[None]:
    """A running SLURM."""
    if not os.environ.get("TADSR_TEST_SLURM"):
        pytest.skip("starts SLURM's daemons, and installs them where need be: make test-slurm")
    folder = Path(tempfile.mkdtemp(prefix="slurm-", dir="/tmp"))  # munge's user has to reach it
    try:
        with slurm(folder):
            yield
    except Unavailable as reason:
        pytest.skip(str(reason))
    finally:
        for process in Place.started:
            process.kill()  # only those that a failed test left; Snakemake dies with it
        shutil.rmtree(folder)


@pytest.fixture(scope="session")
def whole(cluster: None, tmp_path_factory: pytest.TempPathFactory) -> tuple[Place, str]:
    """The experiment from nothing to its report, and what was printed."""
    place = Place(tmp_path_factory.mktemp("whole"))
    shutil.copy(MINI, place.folder)
    return place, place.run()


@pytest.fixture
def place(whole: tuple[Place, str], tmp_path: Path, request: pytest.FixtureRequest) -> Place:
    """The experiment without its students; a parameter is the profile that goes on with it."""
    copy = Place(tmp_path, getattr(request, "param", "slurm"))
    shutil.copytree(whole[0].folder, copy.folder, dirs_exist_ok=True)
    shutil.rmtree(copy.root / "students")
    return copy
