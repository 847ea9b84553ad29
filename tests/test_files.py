"""Whole files or none, digests, and the lock."""

from __future__ import annotations

import errno
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors import SafetensorError

from tadsr.data.images import write_png
from tadsr.errors import LockedError, StorageError
from tadsr.evaluation.scores import write_scores
from tadsr.files import (
    atomic_folder,
    atomic_path,
    digest_files,
    digest_json,
    leftovers,
    remove_leftovers,
    write_json,
    write_text,
)
from tadsr.locks import Lock, is_locked
from tadsr.runs.curves import Curves
from tadsr.training.state import save_tensors

SCORES = pd.DataFrame({"image": ["a"], "metric": ["psnr"], "value": [1.0]})


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "a.json"
    write_text(target, "old")
    with pytest.raises(RuntimeError), atomic_path(target) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert target.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]


WRITER = """
import sys, time
from tadsr.files import atomic_folder, atomic_path
make = atomic_folder if sys.argv[2] == "folder" else atomic_path
with make(sys.argv[1]) as temporary:
    (temporary / "x" if sys.argv[2] == "folder" else temporary).write_text("half")
    print(temporary, flush=True)
    sys.stdin.read()
"""


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_what_a_living_process_writes_stays_and_what_a_dead_one_left_goes(
    tmp_path: Path, kind: str
) -> None:
    """By the writer's lock: an old time of modification is no proof of death, nor a young one."""
    target = tmp_path / "a" / "target.txt"
    command = [sys.executable, "-c", WRITER, str(target), kind]
    writers = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
               for _ in range(2)]  # fmt: skip
    alive, dead = [Path(w.stdout.readline().strip()) for w in writers if w.stdout]
    writers[1].kill()
    writers[1].wait()
    for path in leftovers(tmp_path):
        os.utime(path, (0, 0))
    remove_leftovers(tmp_path, shared=True)
    assert alive.exists() and not dead.exists()
    writers[0].communicate("")
    assert target.exists()
    assert list(leftovers(tmp_path)) == []


def test_under_the_lock_of_a_folder_all_leftovers_go(tmp_path: Path) -> None:
    old, folder = (tmp_path / f"a/.tmp-{name}" for name in ("old", "model"))
    folder.mkdir(parents=True)
    old.write_text("")
    remove_leftovers(tmp_path)
    assert list((tmp_path / "a").iterdir()) == []


@pytest.mark.parametrize("write", [
    lambda path: write_png(path.with_suffix(".png"), np.zeros((4, 4, 3), np.uint8)),
    lambda path: save_tensors(path, {"a": torch.zeros(9)}, {}),
    lambda path: write_scores(path.with_suffix(".parquet"), SCORES, {}),
], ids=["png", "safetensors", "parquet"])  # fmt: skip
def test_libraries_write_to_the_very_file_that_is_locked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write: Callable[[Path], None]
) -> None:
    """Or into a folder that is: a file of their own would be without our lock, and stay."""
    seen = []

    def leftovers_beside(path: Path) -> list[Path]:
        places = {path, path.parent, tmp_path}
        return [p for p in tmp_path.rglob("*") if p not in places]

    replace = Path.replace

    def looked_at(self: Path, target: Path) -> Path:
        seen.append((is_locked(self) or is_locked(self.parent), leftovers_beside(self)))
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", looked_at)
    write(tmp_path / "file.safetensors")
    assert seen == [(True, [])]


def test_the_next_writer_of_a_folder_removes_what_a_dead_one_left(tmp_path: Path) -> None:
    target = tmp_path / "model"
    other = tmp_path / ".tmp-paper-1"
    for path in (tmp_path / ".tmp-model-1", other):
        path.mkdir()
        (path / "half").touch()
    with atomic_folder(target) as first, atomic_folder(target, replace=True) as second:
        assert first.is_dir() and second.is_dir()
        assert len(list(leftovers(tmp_path))) == 3
    assert list(leftovers(tmp_path)) == [other]


def test_a_folder_is_whole_or_absent_and_takes_the_place_of_another_only_if_told(
    tmp_path: Path,
) -> None:
    target = tmp_path / "model"
    with atomic_folder(target) as aside:
        (aside / "a").write_text("1")
    with pytest.raises(OSError, match="not empty"), atomic_folder(target) as aside:
        (aside / "a").write_text("2")
    with pytest.raises(RuntimeError), atomic_folder(target, replace=True) as aside:
        raise RuntimeError
    assert (target / "a").read_text() == "1"
    with atomic_folder(target, replace=True) as aside:
        (aside / "b").write_text("3")
    assert [path.name for path in target.iterdir()] == ["b"]
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_asking_whether_a_lock_is_held_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / ".lock"
    assert not is_locked(path)
    assert not path.exists()
    with Lock(path, "a run"):
        before = path.read_text()
        assert is_locked(path)
        assert path.read_text() == before
    assert not is_locked(path)


def wrapped(error: Exception) -> Exception:
    """As a library raises it: in the place of what it met."""
    outer = RuntimeError("the operation failed")
    outer.__cause__ = error
    return outer


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "a: the disk is full; free some"),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), "a: the disk quota is used up"),
        (OSError(errno.EROFS, "Read-only", "/else/where"), "/else/where: the file system is read-"),
        (PermissionError(errno.EACCES, "denied"), "a: permission denied"),
        (OSError(errno.ENOSPC, "No space", "from", None, "to"), "^to: the disk is full"),
        (SafetensorError("I/O error: No space left on device (os error 28)"), "a: the disk is f"),
        (sqlite3.OperationalError("database or disk is full"), "a: the disk is full"),
        (wrapped(OSError(errno.ENOSPC, "No space left on device")), "a: the disk is full"),
    ],
)
def test_what_a_disk_refuses_is_one_line_whoever_says_it(
    tmp_path: Path, error: Exception, words: str
) -> None:
    with pytest.raises(StorageError, match=words), atomic_path(tmp_path / "a"):
        raise error
    assert list(tmp_path.iterdir()) == []


def test_another_error_is_passed_on(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError), atomic_path(tmp_path / "a"):
        raise IsADirectoryError(errno.EISDIR, "Is a directory")
    with pytest.raises(ValueError, match="something else"), atomic_path(tmp_path / "a"):
        try:
            raise PermissionError(errno.EACCES, "of a cache that is not needed")
        except PermissionError:
            raise ValueError("something else")  # noqa: B904


def test_a_really_full_disk(tmp_path: Path) -> None:
    """/dev/full refuses every byte."""
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full on this system")
    (tmp_path / "metrics.jsonl").symlink_to("/dev/full")
    with pytest.raises(StorageError, match=r"metrics\.jsonl: the disk is full"):
        Curves(tmp_path / "metrics.jsonl").append(8, {"loss/regression": 0.5})
    command = [sys.executable, "-m", "tadsr", "schema", "--defaults"]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == ("tadsr: error: tadsr schema: the disk is full; free some space and run "
                           "the same command again\n")  # fmt: skip


def test_digest_depends_on_names_and_bytes_not_on_order_or_temporaries(tmp_path: Path) -> None:
    write_text(tmp_path / "b" / "x.txt", "1")
    write_text(tmp_path / "a.txt", "2")
    before = digest_files(tmp_path)
    (tmp_path / ".tmp-a.txt").write_text("left by a kill")
    assert digest_files(tmp_path) == before
    write_text(tmp_path / "a.txt", "3")
    assert digest_files(tmp_path) != before


def test_json_refuses_what_is_no_number_and_ignores_key_order(tmp_path: Path) -> None:
    assert digest_json({"a": 1, "b": 2}) == digest_json({"b": 2, "a": 1})
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "x.json", {"psnr": float("nan")})


def test_the_lock_is_exclusive_names_its_holder_and_dies_with_it(tmp_path: Path) -> None:
    path = tmp_path / ".lock"
    code = (
        "import sys, time\nfrom tadsr.locks import Lock\n"
        f"with Lock({str(path)!r}, 'a test'):\n    print('held', flush=True); time.sleep(60)\n"
    )
    holder = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    said = rf"a test is already under way by process {holder.pid} on \S+ since 20\d\d-.* UTC; wait"
    with pytest.raises(LockedError, match=said), Lock(path, "a test"):
        pass
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            with Lock(path, "a test"):
                return
        except LockedError:
            time.sleep(0.05)
    pytest.fail("the lock outlived its holder")


def test_a_dead_owner_is_not_named_in_the_place_of_the_living(tmp_path: Path) -> None:
    """The lock is taken before its file is written: another's name may still stand there."""
    path = tmp_path / ".lock"
    dead = subprocess.Popen(["true"])
    dead.wait()
    with Lock(path, "a test"):
        ours = path.read_text()
        path.write_text(f"process {dead.pid} on {os.uname().nodename} since 2026-01-01 UTC")
        timer = threading.Timer(0.2, lambda: path.write_text(ours))
        timer.start()
        with pytest.raises(LockedError, match=f"process {os.getpid()} "), Lock(path, "a test"):
            pass
        timer.join()


def test_who_waits_for_a_lock_says_for_whom(tmp_path: Path) -> None:
    path, said = tmp_path / ".lock", []
    first = Lock(path, "a test")
    first.__enter__()

    def told(text: str) -> None:
        said.append(text)
        first.__exit__()

    with Lock(path, "a test", wait=True, waiting=told):
        assert path.read_text().startswith(f"process {os.getpid()} ")
    assert len(said) == 1 and f"process {os.getpid()} " in said[0]
