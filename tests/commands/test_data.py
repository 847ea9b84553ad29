"""`tadsr data` on folders: splits, images shared with training, remarks, mistakes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tadsr.cli import main
from tadsr.data.images import write_png
from tadsr.data.manifest import read_manifest
from tadsr.files import write_text

HEAD = """name: folders
variants: {full: {}}
data:
"""


def pictures(folder: Path, *seeds: int) -> None:
    for seed in seeds:
        coarse = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), dtype=np.uint8)
        write_png(folder / f"picture{seed}.png", np.kron(coarse, np.ones((8, 8, 1), np.uint8)))


def made(tmp_path: Path, *lines: str) -> int:
    """The exit code of `tadsr data` on an experiment with these lines below `data:`."""
    write_text(tmp_path / "folders.yaml", HEAD + "".join(f"  {line}\n" for line in lines))
    arguments = [str(tmp_path / "folders.yaml"), "--results", str(tmp_path / "results")]
    return main(["data", *arguments])


def spec(folder: Path, more: str) -> str:
    return f"{{kind: folder, path: {folder}, degradation: bicubic, {more}}}"


def test_one_folder_split_three_ways(tmp_path: Path) -> None:
    pictures(tmp_path / "all", *range(9))
    held = "holdout: {val: 2, test: 3}"
    lines = [f"{role}: {spec(tmp_path / 'all', f'split: {role}, crop: 32, {held}')}"
             for role in ("train", "val")]  # fmt: skip
    mine = f"test: {{mine: {spec(tmp_path / 'all', f'split: test, {held}')}}}"
    assert made(tmp_path, *lines, mine) == 0
    data = tmp_path / "results" / "folders" / "data"
    images = [set(read_manifest(data / name)["image"]) for name in ("train", "val", "mine")]
    assert [len(names) for names in images] == [4, 2, 3]
    assert len(set.union(*images)) == 9


def test_a_training_image_in_a_test_set_is_refused_unless_accepted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pictures(tmp_path / "train", 0, 1, 2)
    pictures(tmp_path / "val", 3)
    pictures(tmp_path / "test", 2, 4)
    learn = [f"{role}: {spec(tmp_path / role, 'crop: 32')}" for role in ("train", "val")]
    test = "test: {mine: " + spec(tmp_path / "test", "size: 48%s") + "}"
    for _ in range(2):  # the second time all sets are there already
        assert made(tmp_path, *learn, test % "") == 1
        message = capsys.readouterr().err.strip()
        assert "\n" not in message
        for part in ("data mine: HR images", "too: 1 (picture2)", "holdout", "allow_overlap: true"):
            assert part in message
    assert not (tmp_path / "results" / "folders" / "jobs" / "data.json").exists()
    assert made(tmp_path, *learn, test % ", allow_overlap: true") == 0
    assert "(picture2); accepted by allow_overlap" in capsys.readouterr().out


def test_another_number_than_an_unsure_preset_is_a_remark(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for role, number in (("train", 0), ("val", 1), ("web", 2)):
        pictures(tmp_path / role, number)
    learn = [f"{role}: {spec(tmp_path / role, 'crop: 32').replace('bicubic', 'face')}"
             for role in ("train", "val")]  # fmt: skip
    for more, remarks in (("", 1), (", limit: 1", 0)):
        web = f"test: {{web: {{preset: webphoto-test, path: {tmp_path / 'web'}{more}}}}}"
        assert made(tmp_path, "scale: 1", *learn, web) == 0
        assert capsys.readouterr().out.count("note: 1 images; preset 'webphoto-test'") == remarks


@pytest.mark.parametrize(
    ("more", "parts"),
    [
        ("preset: set5, path: {0}/five", ["five", "1 pairs", "'set5' has 5"]),
        ("preset: realset65, path: {0}/none", ["none: no such folder"]),
        ("kind: pairs, path: {0}/cut", ["cut/lr/picture7.png: damaged"]),
        ("kind: pairs, path: {0}/train", ["train/picture0.png: no subfolders of HR and LR"]),
    ],
)
def test_a_mistake_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], more: str, parts: list[str]
) -> None:
    for folder, number in (("train", 0), ("val", 1), ("five/hr", 5), ("five/lr", 5),
                           ("cut/hr", 7), ("cut/lr", 7)):  # fmt: skip
        pictures(tmp_path / folder, number)
    file = tmp_path / "cut" / "lr" / "picture7.png"
    file.write_bytes(file.read_bytes()[:60])
    learn = [f"{role}: {spec(tmp_path / role, 'crop: 32')}" for role in ("train", "val")]
    code = made(tmp_path, *learn, f"test: {{mine: {{{more.format(tmp_path)}}}}}")
    message = capsys.readouterr().err.strip()
    assert code == 1
    assert "\n" not in message
    for part in parts:
        assert part in message
