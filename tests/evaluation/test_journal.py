"""What an unfinished evaluation leaves on disk, sound and torn."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from tadsr.evaluation.journal import Journal, Known, card_key
from tadsr.evaluation.scores import write_scores

IDENTITY = {"upscaler": "bicubic"}
CARD = {"metric": "psnr", "crop": 4}
KEY = card_key(CARD)


def journal(folder: Path, **identity: str) -> Journal:
    return Journal(folder / "scores.jsonl", folder / "d.parquet", {**IDENTITY, **identity})


def filled(folder: Path) -> Journal:
    made = journal(folder)
    made.declare([CARD])
    made.add("a", Known("1", {KEY: 28.1}))
    made.add("b", Known("2", {KEY: 0.1 + 0.2}))
    return made


def test_scores_come_back_to_the_last_bit(tmp_path: Path) -> None:
    filled(tmp_path)
    again = journal(tmp_path)
    assert again.cards == {KEY: CARD}
    known = again.known("b", "2")
    assert known is not None
    assert known.values == {KEY: 0.1 + 0.2}
    assert again.images["a"].values == {KEY: 28.1}
    assert again.known("b", "3") is None, "of other pixels"
    again.add("b", Known("2", skipped={"x": "too small"}))
    known = journal(tmp_path).known("b", "2")
    assert known is not None
    assert known.has(KEY)
    assert known.has("x")


@pytest.mark.parametrize(
    "torn", [b'{"image": "c", "pix', b"\0\0\0\0\n", b"{}\n", b'{"image": 1}\n']
)
def test_a_torn_end_is_cut_off_and_written_over(tmp_path: Path, torn: bytes) -> None:
    sound = filled(tmp_path).path.read_bytes()
    path = tmp_path / "scores.jsonl"
    path.write_bytes(sound + torn)
    again = journal(tmp_path)
    assert set(again.images) == {"a", "b"}
    assert path.read_bytes() == sound
    again.add("c", Known("3", {KEY: 1.0}))
    assert set(journal(tmp_path).images) == {"a", "b", "c"}


def test_a_cut_at_any_byte_leaves_whole_lines(tmp_path: Path) -> None:
    whole = filled(tmp_path).path.read_bytes()
    for length in range(len(whole)):
        (tmp_path / "scores.jsonl").write_bytes(whole[:length])
        found = journal(tmp_path)
        assert len(found.cards) + len(found.images) == whole[:length].count(b"\n")


def test_a_score_file_is_known_where_it_is_of_the_same_images(tmp_path: Path) -> None:
    frame = pd.DataFrame([("a", "psnr", 28.1)], columns=["image", "metric", "value"])
    meta = {**IDENTITY, "pixels": {"a": "1"}, "cards": {"psnr": CARD}}
    write_scores(tmp_path / "d.parquet", frame, meta)
    found = journal(tmp_path).known("a", "1")
    assert found is not None
    assert found.values == {KEY: 28.1}
    assert not journal(tmp_path, upscaler="teacher-1").images
