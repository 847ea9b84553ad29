"""Whole files or none, digests, and the lock."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tadsr.errors import LockedError, TadsrError
from tadsr.files import (
    Lock,
    atomic_path,
    digest_files,
    digest_json,
    is_locked,
    remove_leftovers,
    write_json,
    write_text,
)


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "a.json"
    write_text(target, "old")
    with pytest.raises(RuntimeError), atomic_path(target) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert target.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]


def test_leftovers_that_are_young_belong_to_a_living_process(tmp_path: Path) -> None:
    old, young, folder = (tmp_path / f"a/.tmp-{name}" for name in ("old", "young", "model"))
    folder.mkdir(parents=True)
    old.write_text("")
    young.write_text("")
    os.utime(old, (0, 0))
    remove_leftovers(tmp_path, older_than=600)
    assert sorted((tmp_path / "a").iterdir()) == [folder, young]
    remove_leftovers(tmp_path)
    assert list((tmp_path / "a").iterdir()) == []


def test_asking_whether_a_lock_is_held_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / ".lock"
    assert not is_locked(path)
    assert not path.exists()
    with Lock(path, "a run"):
        before = path.read_text()
        assert is_locked(path)
        assert path.read_text() == before
    assert not is_locked(path)


def test_a_full_disk_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(TadsrError, match="disk is full"), atomic_path(tmp_path / "a"):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert list(tmp_path.iterdir()) == []


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
        "import sys, time\nfrom tadsr.files import Lock\n"
        f"with Lock({str(path)!r}, 'a test'):\n    print('held', flush=True); time.sleep(60)\n"
    )
    holder = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    with pytest.raises(LockedError, match=f"process {holder.pid}"), Lock(path, "a test"):
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
