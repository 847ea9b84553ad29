"""The command line as terminals and pipes see it."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tadsr.cli import main
from tests.plan.made_up import MINI


def tadsr(*arguments: str, shell: str = "", **variables: str) -> subprocess.CompletedProcess[bytes]:
    """`tadsr` in a process of its own; `shell` stands behind it."""
    command = ["sh", "-c", f'exec "$@" {shell}', "sh", sys.executable, "-m", "tadsr", *arguments]
    return subprocess.run(command, capture_output=True, check=False,
                          env={**os.environ, **variables})  # fmt: skip


def test_marks_that_an_encoding_lacks_are_shown_as_question_marks() -> None:
    done = tadsr("status", str(MINI), "--results", "/nowhere", PYTHONIOENCODING="ascii")
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"? data " in done.stdout


def test_a_closed_output_is_no_crash() -> None:
    done = tadsr("status", str(MINI), "--results", "/nowhere", shell=">&-")
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.parametrize("value", ["0", "-1", "nan", "inf", "fast"])
def test_a_speed_is_a_number_above_0(value: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", str(MINI), f"--tflops={value}"]) == 2
    assert f"'{value}' is not a number above 0" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [
        ["student", str(MINI), "--results", "/nowhere", "ful"],
        ["student", "--results", "/nowhere", str(MINI), "ful"],
        ["student", str(MINI), "ful", "--results", "/nowhere"],
    ],
)
def test_flags_may_stand_before_and_between(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    assert "no job 'ful': did you mean 'full'?" in capsys.readouterr().err


def test_a_mistake_names_the_help_of_its_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", str(MINI), "more"]) == 2
    assert "unrecognized arguments: more (see `tadsr plan --help`)" in capsys.readouterr().err
