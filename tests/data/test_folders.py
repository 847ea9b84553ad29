"""Layouts of releases, partners by name, splits by image, and every way they can be wrong."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tadsr.config.data import DatasetSpec, Holdout
from tadsr.config.presets import PRESETS
from tadsr.data.folders import check_count, find_pairs, find_singles, match_pairs, members
from tadsr.errors import DataError

NAMES = [f"photo_{number}" for number in range(400)]


def touch(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def found(root: Path, **named: Any) -> dict[str, tuple[str, str]]:
    pairs = find_pairs(root, **named)
    return {
        name: (hr.relative_to(root).as_posix(), lr.relative_to(root).as_posix())
        for name, (hr, lr) in pairs.items()
    }


@pytest.mark.parametrize(
    ("hr", "lr", "name"),
    [
        ("hr/a.png", "lr/a.png", "a"),
        ("GT/a.png", "LQ/a.jpg", "a"),
        ("hq/a.png", "lq/a.png", "a"),
        ("High/a.png", "Low/a.png", "a"),
        ("HR/baby.png", "LR_bicubic/X4/babyx4.png", "baby"),
        ("GTmod12/a.png", "LRbicx4/a.png", "a"),
        ("test_HR/DSC_1412_x1.png", "test_LR/DSC_1412_x4.png", "DSC_1412"),
        ("test_HR/Canon_10_x4.png", "test_LR/Canon_10_x1.png", "Canon_10"),
        ("DIV2K_valid_HR/0801.png", "DIV2K_valid_LR_bicubic/X4/0801x4.png", "0801"),
        ("hr/Canon_001_HR.png", "lr/Canon_001_LR4.png", "Canon_001"),
        ("Canon_001_HR.png", "Canon_001_LR4.png", "Canon_001"),
        ("Canon/Test/4/Canon_001_HR.png", "Canon/Test/4/Canon_001_LR4.png", "Canon_001"),
        ("hr/a_x2.png", "lr/a_x2.png", "a_x2"),  # stems that match are left alone
    ],
)
def test_layouts_of_releases(tmp_path: Path, hr: str, lr: str, name: str) -> None:
    touch(tmp_path, hr, lr)
    assert found(tmp_path) == {name: (hr, lr)}


def test_both_cameras_of_realsr_and_nothing_of_its_training_part(tmp_path: Path) -> None:
    for camera in ("Canon", "Nikon"):
        for number in ("001", "002"):
            for part in ("Test/4", "Test/2", "Train/4"):
                stem = f"{camera}/{part}/{camera}_{number}"
                touch(tmp_path, f"{stem}_HR.png", f"{stem}_LR{part[-1]}.png")
    pairs = found(tmp_path)
    assert sorted(pairs) == ["Canon_001", "Canon_002", "Nikon_001", "Nikon_002"]
    assert all("/Test/4/" in path for pair in pairs.values() for path in pair)


def test_named_subfolders(tmp_path: Path) -> None:
    touch(tmp_path, "sharp/a.png", "soft/x4/a.png", "hr/b.png", "lr/b.png")
    assert list(found(tmp_path, hr="sharp", lr="soft/x4")) == ["a"]
    with pytest.raises(DataError, match="blurry: no such folder; check 'lr'"):
        find_pairs(tmp_path, "sharp", "blurry")
    assert list(find_singles(tmp_path, "hr")) == ["b"]
    assert list(find_singles(tmp_path, "hr", "sharp")) == ["a"]


def test_all_class_folders_on_request(tmp_path: Path) -> None:
    touch(tmp_path, "n01/n01_1.JPEG", "n01/n01_2.JPEG", "n02/deep/n02_1.JPEG", "n03/notes.txt")
    assert list(find_singles(tmp_path, "hr", "*")) == ["n01_1", "n01_2", "n02_1"]
    with pytest.raises(DataError, match=r"holds no picture, but folders below it do; .*'hr: \"\*"):
        find_singles(tmp_path, "hr")
    touch(tmp_path, "n02/n01_1.JPEG")
    with pytest.raises(DataError, match="have one name 'n01_1'"):
        find_singles(tmp_path, "hr", "*")


def test_a_folder_of_images_is_taken_before_a_subfolder_of_it(tmp_path: Path) -> None:
    touch(tmp_path, "a.png", "hr/b.png")
    assert list(find_singles(tmp_path, "hr")) == ["a"]


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (["hr/a.png", "GT/a.png", "lr/a.png"], "hr and GT could both hold the HR images; choose"),
        (["hr/a.png"], r"no subfolder of LR images \(lr, lq.*'lr: <folder>'"),
        (["notes.txt"], "no subfolder of HR images"),
        (["hr/a.png", "lr/b.png"], r"'a\.png' is in hr .* no partner in lr \(1 hr, 1 lr"),
        (["hr/a.png", "lr/a_LR2.png", "lr/a_LR4.png"], "'a_LR2.png' and 'a_LR4.png' both belong"),
        (["hr/a.png", "hr/a_HR.png", "lr/a.png", "lr/a_LR4.png"], "'a.png' and 'a_HR.png' both"),
        (["hr/a.png", "lr/a.png", "lr/ax4.png"], r"'ax4\.png' is in lr .* no partner in hr"),
        (["hr/a.png", "lr/a.png", "lr/a.jpg"], "a.jpg and a.png have one name 'a'"),
        (["a_HR.png", "a_LR4.png", "cover.png"], "cover.png: no subfolders of HR and LR"),
        (["a_HR.png", "b_LR4.png"], "'a_HR.png' is in hr but has no partner"),
        (["hr/x.txt", "lr/a.png"], "hr: holds no picture"),
    ],
)
def test_a_wrong_folder_is_one_line(tmp_path: Path, files: list[str], message: str) -> None:
    touch(tmp_path, *files)
    with pytest.raises(DataError, match=message) as caught:
        find_pairs(tmp_path)
    assert "\n" not in str(caught.value)
    assert str(tmp_path) in str(caught.value)


def test_a_missing_folder(tmp_path: Path) -> None:
    for find in (lambda: find_pairs(tmp_path / "no"), lambda: find_singles(tmp_path / "no", "hr")):
        with pytest.raises(DataError, match="no: no such folder; check 'path'"):
            find()


@given(st.lists(st.text("abx4_", min_size=1, max_size=4), unique=True, max_size=8))
@settings(max_examples=60, deadline=None)
def test_equal_stems_are_partners_whatever_they_end_in(stems: list[str]) -> None:
    files = {stem: Path(f"{stem}.png") for stem in stems}
    assert match_pairs(Path("set"), files, files) == {stem: (files[stem],) * 2 for stem in stems}


@pytest.mark.parametrize("name", [name for name, preset in PRESETS.items() if preset.sure])
def test_a_preset_refuses_another_number_of_images(name: str) -> None:
    spec, count = DatasetSpec(preset=name, path="/data/x"), PRESETS[name].count
    check_count(spec, count, Path("/data/x"))
    for wrong in (count - 1, count + 1):
        with pytest.raises(DataError) as caught:
            check_count(spec, wrong, Path("/data/x"))
        for part in ("/data/x", str(wrong), str(count), name, PRESETS[name].about):
            assert part in str(caught.value)


def test_a_count_of_the_users_own() -> None:
    with pytest.raises(DataError, match=r"3 pairs, and 'count' says 4.*correct 'count'"):
        check_count(DatasetSpec(kind="pairs", path="x", count=4), 3, Path("x"))


def split(names: list[str], val: Any, test: Any) -> dict[str, set[str]]:
    holdout = Holdout(val=val, test=test)
    return {s: set(members(names, holdout, s, Path("x"))) for s in ("train", "val", "test")}


@given(st.sets(st.text(min_size=1, max_size=6), min_size=8, max_size=40), st.randoms())
@settings(max_examples=50, deadline=None)
def test_splits_are_disjoint_complete_and_of_any_order(
    names: set[str], shuffler: random.Random
) -> None:
    listed = sorted(names)
    parts = split(listed, 2, 4)
    assert set().union(*parts.values()) == names
    assert {key: len(part) for key, part in parts.items()} == {
        "train": len(names) - 6, "val": 2, "test": 4,
    }  # fmt: skip
    shuffler.shuffle(listed)
    assert split(listed, 2, 4) == parts


def test_added_images_move_none_with_shares_and_few_with_numbers() -> None:
    order = ["test", "val", "train"]
    for val, test, moved_at_most in ((0.05, 0.1, 0), (16, 32, 2 * 100)):
        before, after = split(NAMES[:300], val, test), split(NAMES, val, test)
        where = {name: part for part, names in after.items() for name in names}
        moved = [(s, where[name]) for s in order for name in before[s] if where[name] != s]
        assert len(moved) <= moved_at_most
        # Only away from the held-out end, never a training image into test.
        assert all(order.index(new) > order.index(old) for old, new in moved)


def test_shares_are_about_as_large_as_asked() -> None:
    sizes = {key: len(part) for key, part in split(NAMES, 0.1, 0.2).items()}
    assert sum(sizes.values()) == 400
    assert 25 <= sizes["val"] <= 55  # 40, and four standard deviations of a binomial
    assert 55 <= sizes["test"] <= 105


def test_too_few_images_to_split() -> None:
    with pytest.raises(DataError, match="48 images are too few for holdout val 16 and test 32"):
        members(NAMES[:48], Holdout(val=16, test=32), "train", Path("x"))
    assert len(members(NAMES[:49], Holdout(val=16, test=32), "train", Path("x"))) == 1
    with pytest.raises(DataError, match="2 images are too few"):
        members(NAMES[:2], Holdout(val=0.01, test=0.01), "test", Path("x"))
