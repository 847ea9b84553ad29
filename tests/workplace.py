"""A folder with the small experiment and `tadsr` in it, for tests that run real processes."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY

MINI = REPOSITORY / "tests" / "integration" / "mini.yaml"
SAME = ("teacher/model/**/*.safetensors", "students/*/*/model/**/*.safetensors",
        "targets/*/*.safetensors", "teacher/metrics.jsonl", "students/*/*/metrics.jsonl",
        "data/**/*.png", "data/*/manifest.parquet", "evaluations/**/*.png",
        "evaluations/**/*.parquet", "comparison/*.parquet", "sweeps/*/best.yaml")  # fmt: skip
"""Files that must not depend on what happened on the way."""
LONGEST = 1200
"""Seconds after which a command counts as hanging."""


class Workplace:
    """A folder with the small experiment, and `tadsr` in it."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.root = folder / "results" / "mini"
        self.experiment = Path(shutil.copy(MINI, folder / "mini.yaml"))
        (folder / "weights").mkdir(exist_ok=True)
        self.environment = {
            **os.environ,
            "TADSR_WEIGHTS": str(folder / "weights"),
            "MLFLOW_TRACKING_URI": f"sqlite:///{folder}/mlflow.db",
        }

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "tadsr", *arguments]

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """`tadsr <arguments>` in a process group of its own."""
        return subprocess.Popen(self.command(*arguments), cwd=self.folder, env=self.environment,
                                text=True, start_new_session=True, stdout=subprocess.PIPE,
                                stderr=subprocess.STDOUT)  # fmt: skip

    def tadsr(self, *arguments: str, code: int = 0) -> str:
        """`tadsr <arguments>` to its end; returns what it printed."""
        done = subprocess.run(self.command(*arguments), cwd=self.folder, env=self.environment,
                              text=True, capture_output=True, check=False,
                              timeout=LONGEST)  # fmt: skip
        output = done.stdout + done.stderr
        assert done.returncode == code, output + self.logs()
        return output

    def run(self, *arguments: str, code: int = 0) -> str:
        """`tadsr run` offline; returns what it printed."""
        return self.tadsr("run", str(self.experiment), "--offline", *arguments, code=code)

    def logs(self) -> str:
        return "".join(
            f"\n== {p}\n{p.read_text()[-2000:]}" for p in self.root.glob("logs/**/*.log")
        )

    def edit(self, old: str, new: str) -> None:
        text = self.experiment.read_text()
        assert old in text
        self.experiment.write_text(text.replace(old, new))

    def state(self) -> dict[str, str]:
        """Digest of each trained thing, and the seconds its card counts: work leaves a trace."""
        cards = sorted(self.root.glob("**/run.json"))
        kept = [p for p in cards if "superseded" not in p.parts and "data" not in p.parts]
        found = {}
        for path in kept:
            card = json.loads(path.read_text())
            name = path.parent.relative_to(self.root).as_posix()
            found[name] = f"{card['status']} {card.get('content')} {card['seconds']}"
        return found

    def results(self) -> dict[str, bytes]:
        """By name, the bytes of everything that must not depend on what happened on the way.

        But for the number of a search's trial: one that is begun again gets another.
        """
        paths = {path for pattern in SAME for path in self.root.glob(pattern)}
        found = {
            path.relative_to(self.root).as_posix(): path.read_bytes() for path in sorted(paths)
        }
        return {name: re.sub(rb"trial: \d+", b"trial: N", data) if name.endswith(".yaml") else data
                for name, data in found.items()}  # fmt: skip

    def leftovers(self) -> list[str]:
        """Temporary files below the folder, ours and those of libraries."""
        found = [p for name in (".tmp*", "*.tmp", "tmp*") for p in self.folder.rglob(name)]
        return sorted(path.relative_to(self.folder).as_posix() for path in found)


def changed(before: dict[str, str], after: dict[str, str]) -> set[str]:
    return {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}


@contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """Nobody may write to `folder` or below: root by a mount, others by their rights."""
    if os.getuid():
        folders = [folder, *(path for path in folder.rglob("*") if path.is_dir())]
        for path in folders:
            path.chmod(0o555)
        yield
        for path in folders:
            path.chmod(0o755)
        return
    for options in (["--bind", str(folder)], ["-o", "remount,ro,bind"]):
        done = subprocess.run(["mount", *options, str(folder)], capture_output=True, text=True)
        if done.returncode:
            pytest.skip(f"nothing can be mounted here ({done.stderr.strip()})")
    yield
    subprocess.run(["umount", str(folder)], check=True)
