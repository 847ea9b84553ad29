"""Run folders: resume, supersede, corruption, failure; curves."""

from __future__ import annotations

from pathlib import Path

import pytest

from tadsr.errors import CorruptionError
from tadsr.files import digest_files, write_text
from tadsr.runs import Curves, Progress, Run, read_curves
from tadsr.runs.folder import read_card
from tadsr.runs.progress import duration, read_progress


def content(folder: Path) -> str:
    return digest_files(folder, ("*.txt",))


def carry_out(root: Path, recipe: dict[str, int], text: str = "made") -> bool:
    """Make a thing unless it is there; whether work was done."""
    folder = root / "students" / "full" / "seed-0"
    with Run.open(folder, recipe, {"teacher": "t"}, root=root, content=content) as run:
        if run.finished:
            return False
        write_text(folder / "model.txt", text)
        run.finish("done", content(folder), results={"x": 1.0})
        return True


def test_same_key_is_nothing_to_do_another_key_supersedes(tmp_path: Path) -> None:
    assert carry_out(tmp_path, {"weight": 1})
    assert not carry_out(tmp_path, {"weight": 1})
    assert carry_out(tmp_path, {"weight": 2}, "other")
    (old,) = (tmp_path / "superseded").iterdir()
    assert (old / "model.txt").read_text() == "made"
    assert (tmp_path / "students/full/seed-0/model.txt").read_text() == "other"


def test_content_that_differs_from_its_card_is_refused(tmp_path: Path) -> None:
    carry_out(tmp_path, {"weight": 1})
    (tmp_path / "students/full/seed-0/model.txt").write_text("changed by hand")
    with pytest.raises(CorruptionError, match=r"seed-0.*run card"):
        carry_out(tmp_path, {"weight": 1})


def test_a_failure_is_on_the_card_and_the_same_recipe_goes_on(tmp_path: Path) -> None:
    folder = tmp_path / "teacher"
    with (
        pytest.raises(RuntimeError),
        Run.open(folder, {}, {}, root=tmp_path, content=content),
    ):
        write_text(folder / "state.txt", "half way")
        raise RuntimeError("no more memory")
    card = read_card(folder)
    assert card is not None
    assert (card["status"], card["message"]) == ("failed", "RuntimeError: no more memory")
    with Run.open(folder, {}, {}, root=tmp_path, content=content) as run:
        assert not run.finished
        assert (folder / "state.txt").read_text() == "half way"


@pytest.mark.parametrize("ending", [SystemExit(143), KeyboardInterrupt(), ValueError("x")])
def test_the_time_before_an_interruption_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ending: BaseException
) -> None:
    clock = [100.0]
    monkeypatch.setattr("tadsr.runs.folder.time.monotonic", lambda: clock[0])
    folder = tmp_path / "teacher"
    for spent in (40, 30):
        with (
            pytest.raises(type(ending)),
            Run.open(folder, {}, {}, root=tmp_path, content=content) as run,
        ):
            run._started = clock[0]
            clock[0] += spent
            raise ending
    with Run.open(folder, {}, {}, root=tmp_path, content=content) as run:
        run._started = clock[0]
        clock[0] += 5
        run.finish("done", content(folder))
    card = read_card(folder)
    assert card is not None
    assert card["seconds"] == 75


def test_the_time_before_a_kill_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [100.0]
    monkeypatch.setattr("tadsr.runs.folder.time.monotonic", lambda: clock[0])
    calls: list[tuple[int, int]] = []
    with Run.open(tmp_path / "teacher", {}, {}, root=tmp_path, content=content) as run:
        run._started = clock[0]
        progress = run.timed(lambda done, total: calls.append((done, total)))
        for step in range(1, 5):
            clock[0] += 20
            progress(step, 9)
        card = read_card(tmp_path / "teacher")  # what a kill would leave
        assert card is not None
        assert (card["status"], card["seconds"]) == ("running", 80)
        clock[0] += 1
        run.finish("done", content(tmp_path / "teacher"))
    assert run.card["seconds"] == 81
    assert calls == [(step, 9) for step in range(1, 5)]


def test_what_goes_wrong_after_the_end_undoes_nothing(tmp_path: Path) -> None:
    with (
        pytest.raises(BrokenPipeError),
        Run.open(tmp_path / "teacher", {}, {}, root=tmp_path, content=content) as run,
    ):
        run.finish("done", content(tmp_path / "teacher"))
        raise BrokenPipeError
    card = read_card(tmp_path / "teacher")
    assert card is not None
    assert card["status"] == "done"


def test_curves_rewind_to_the_resumed_position_and_forgive_a_torn_line(tmp_path: Path) -> None:
    curves = Curves(tmp_path / "metrics.jsonl")
    for images in (8, 16, 24):
        curves.append(images, {"loss": images / 8, "bad": float("nan")})
    with curves.path.open("a") as stream:
        stream.write('{"images": 32, "lo')
    assert [line["images"] for line in read_curves(curves.path)] == [8, 16, 24]
    curves.rewind(16)
    curves.append(24, {"loss": 9.0})
    assert [line["loss"] for line in read_curves(curves.path)] == [1.0, 2.0, 9.0]
    assert read_curves(curves.path)[0]["bad"] is None


def test_progress_tells_speed_and_time_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = [100.0]
    monkeypatch.setattr("tadsr.runs.progress.time.monotonic", lambda: clock[0])
    progress = Progress(tmp_path / "note.json", cells=2)
    progress.start_cell(1, "full/seed-1")
    progress(200, 1000)  # taken up where an earlier run stopped
    clock[0] += 20
    progress(400, 1000)
    note = read_progress(tmp_path / "note.json")
    assert note["share"] == pytest.approx(0.7)
    assert note["pace"] == "10 a second, 60 s left"
    assert capsys.readouterr().out == "full/seed-1: 400 of 1000, 10 a second, 60 s left\n"
    clock[0] += 5
    progress(450, 1000)
    assert capsys.readouterr().out == "", "a line now and then, not at every step"
    assert [duration(seconds) for seconds in (80, 100, 5400)] == ["80 s", "1.67 min", "1.5 h"]
