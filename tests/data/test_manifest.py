"""Data sets on disk: every kind, every mistake, interruption, corruption."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from tadsr.config.data import DatasetSpec
from tadsr.data import manifest
from tadsr.data.images import is_grey_file, read_rgb, write_png
from tadsr.data.manifest import (
    COLUMNS,
    build_dataset,
    dataset_content,
    read_manifest,
    shared_images,
    verify_dataset,
)
from tadsr.data.photos import photo_paths
from tadsr.data.resize import bicubic_lr
from tadsr.data.sources import centre_crop
from tadsr.errors import CorruptionError, DataError

Picture = Callable[..., NDArray[np.uint8]]


def _folder_spec(folder: Path, **changes: Any) -> DatasetSpec:
    return DatasetSpec(
        **{"kind": "folder", "path": str(folder), "degradation": "bicubic", **changes}
    )


def _files(folder: Path) -> dict[str, tuple[bytes, int]]:
    """Bytes and inode by relative path: equal only if nothing was written anew."""
    return {
        p.relative_to(folder).as_posix(): (p.read_bytes(), p.stat().st_ino)
        for p in folder.rglob("*.png")
    }


def test_folder_with_bicubic_lr(hr_folder: Path, tmp_path: Path) -> None:
    frame = build_dataset("set", _folder_spec(hr_folder), tmp_path / "out")
    assert tuple(frame.columns) == COLUMNS
    assert list(frame["image"]) == ["p0", "p1", "p2", "p3"]
    assert list(frame["hr_height"]) == [64, 64, 48, 100]
    assert list(frame["hr_width"]) == [80, 48, 48, 60]
    for row in frame.to_dict("records"):
        hr, lr = read_rgb(tmp_path / "out" / row["hr"]), read_rgb(tmp_path / "out" / row["lr"])
        original = read_rgb(hr_folder / f"{row['image']}.png")
        np.testing.assert_array_equal(hr, original[: row["hr_height"], : row["hr_width"]])
        assert lr.shape == (row["lr_height"], row["lr_width"], 3)
        assert (4 * row["lr_height"], 4 * row["lr_width"]) == hr.shape[:2]
        levels = torch.from_numpy(hr.transpose(2, 0, 1).copy())[None]
        np.testing.assert_array_equal(lr, bicubic_lr(levels)[0].permute(1, 2, 0).numpy())
    stored = read_manifest(tmp_path / "out")
    assert stored.to_dict("records") == frame.to_dict("records")
    assert not list((tmp_path / "out").rglob(".tmp-*"))


def test_training_set_holds_hr_alone(hr_folder: Path, tmp_path: Path) -> None:
    frame = build_dataset("train", _folder_spec(hr_folder, crop=48), tmp_path / "out")
    assert set(frame["split"]) == {"train"}
    assert set(frame["lr"]) == set(frame["lr_sha256"]) == {""}
    assert not (tmp_path / "out" / "lr").exists()
    assert verify_dataset(tmp_path / "out") == dataset_content(tmp_path / "out")


@pytest.mark.parametrize("degradation", ["bicubic", "realesrgan"])
def test_second_run_writes_no_image(hr_folder: Path, tmp_path: Path, degradation: str) -> None:
    spec, out = _folder_spec(hr_folder, degradation=degradation), tmp_path / "out"
    build_dataset("set", spec, out)
    content, files = dataset_content(out), _files(out)
    (out / "hr" / "p1.png").unlink()
    (out / "lr" / "p0.png").write_bytes(b"damaged")
    (out / "lr" / "stale.png").write_bytes(b"left over")
    (out / "hr" / ".tmp-p9-x.png").write_bytes(b"left over")
    build_dataset("set", spec, out)
    again = _files(out)
    assert dataset_content(out) == verify_dataset(out) == content
    assert {name: f[0] for name, f in again.items()} == {name: f[0] for name, f in files.items()}
    mended = {"hr/p1.png", "lr/p0.png"}
    assert {n for n in files if n not in mended and again[n] != files[n]} == set()


def test_interruption_leaves_no_manifest_and_can_be_continued(
    hr_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = build_dataset("set", _folder_spec(hr_folder), tmp_path / "whole")
    build_dataset("set", _folder_spec(hr_folder, size=32), tmp_path / "out")
    written = []

    def failing(path: Path, pixels: NDArray[np.uint8], *, grey: bool) -> None:
        if len(written) == 3:
            raise KeyboardInterrupt
        written.append(path)
        write_png(path, pixels, grey=grey)

    with monkeypatch.context() as patch:
        patch.setattr(manifest, "write_png", failing)
        with pytest.raises(KeyboardInterrupt):
            build_dataset("set", _folder_spec(hr_folder), tmp_path / "out")
    with pytest.raises(DataError, match="no such manifest"):
        read_manifest(tmp_path / "out")
    frame = build_dataset("set", _folder_spec(hr_folder), tmp_path / "out")
    assert frame.to_dict("records") == whole.to_dict("records")


def test_content_follows_pixels_not_places(hr_folder: Path, tmp_path: Path) -> None:
    build_dataset("a", _folder_spec(hr_folder), tmp_path / "a")
    build_dataset("b", _folder_spec(hr_folder), tmp_path / "elsewhere" / "b")
    assert dataset_content(tmp_path / "a") == dataset_content(tmp_path / "elsewhere" / "b")
    pixels = read_rgb(hr_folder / "p2.png")
    pixels[0, 0, 0] ^= 1
    write_png(hr_folder / "p2.png", pixels)
    build_dataset("b", _folder_spec(hr_folder), tmp_path / "elsewhere" / "b")
    assert dataset_content(tmp_path / "a") != dataset_content(tmp_path / "elsewhere" / "b")


def test_random_lr_depends_on_seed_and_name_alone(hr_folder: Path, tmp_path: Path) -> None:
    def digests(**changes: Any) -> dict[str, str]:
        spec = _folder_spec(hr_folder, degradation="realesrgan", **changes)
        frame = build_dataset("set", spec, tmp_path / "out")
        return dict(zip(frame["image"], frame["lr_sha256"], strict=True))

    everything = digests()
    assert digests(limit=2) == {name: everything[name] for name in ("p0", "p1")}
    (hr_folder / "p0.png").unlink()
    assert digests() == {name: everything[name] for name in ("p1", "p2", "p3")}
    assert set(digests(seed=1).values()).isdisjoint(everything.values())


def test_verify_finds_each_kind_of_damage(hr_folder: Path, tmp_path: Path) -> None:
    spec, out = _folder_spec(hr_folder), tmp_path / "out"
    build_dataset("set", spec, out)
    pixels = read_rgb(out / "lr" / "p1.png")
    pixels[3, 3, 1] ^= 1
    write_png(out / "lr" / "p1.png", pixels)
    with pytest.raises(CorruptionError, match=r"lr/p1\.png: pixels"):
        verify_dataset(out)
    build_dataset("set", spec, out)
    (out / "hr" / "p0.png").write_bytes((out / "hr" / "p0.png").read_bytes()[:-40])
    with pytest.raises(CorruptionError, match=r"hr/p0\.png: damaged"):
        verify_dataset(out)
    build_dataset("set", spec, out)
    (out / "hr" / "p3.png").unlink()
    with pytest.raises(CorruptionError, match=r"hr/p3\.png: cannot be read"):
        verify_dataset(out)
    (out / "manifest.parquet").write_bytes(b"PAR1 no")
    with pytest.raises(CorruptionError, match=r"manifest\.parquet: unreadable"):
        verify_dataset(out)


@pytest.mark.parametrize("size", [None, 40, 42])
def test_pairs(picture: Picture, tmp_path: Path, size: int | None) -> None:
    hr, lr = picture(67, 80), picture(17, 20, 1)
    write_png(tmp_path / "in" / "hr" / "x.png", hr)
    write_png(tmp_path / "in" / "lr" / "x.png", lr)
    spec = DatasetSpec(kind="pairs", path=str(tmp_path / "in"), size=size)
    row = build_dataset("set", spec, tmp_path / "out").to_dict("records")[0]
    got_hr, got_lr = read_rgb(tmp_path / "out" / row["hr"]), read_rgb(tmp_path / "out" / row["lr"])
    if size is None:  # 67 rows hold 16 whole LR rows; Matlab's ceil made 17
        np.testing.assert_array_equal(got_hr, hr[:64])
        np.testing.assert_array_equal(got_lr, lr[:16])
    else:
        np.testing.assert_array_equal(got_hr, hr[12:52, 20:60])
        np.testing.assert_array_equal(got_lr, lr[3:13, 5:15])


def test_pairs_that_do_not_match(picture: Picture, tmp_path: Path) -> None:
    spec = DatasetSpec(kind="pairs", path=str(tmp_path / "in"))
    with pytest.raises(DataError, match="in: no such folder; check 'path'"):
        build_dataset("set", spec, tmp_path / "out")
    write_png(tmp_path / "in" / "hr" / "x.png", picture(64, 64))
    write_png(tmp_path / "in" / "lr" / "x.png", picture(32, 16))
    with pytest.raises(DataError, match=r"x\.png: HR is 64x64, LR 16x32"):
        build_dataset("set", spec, tmp_path / "out")
    write_png(tmp_path / "in" / "lr" / "y.png", picture(16, 16))
    with pytest.raises(DataError, match=r"'y\.png' is in lr .* no partner in hr \(1 hr, 2 lr"):
        build_dataset("set", spec, tmp_path / "out")


def test_pairs_of_one_size_at_scale_1(picture: Picture, tmp_path: Path) -> None:
    hr, lr = picture(67, 81), picture(67, 81, 1)
    write_png(tmp_path / "in" / "hq" / "x.png", hr)
    write_png(tmp_path / "in" / "lq" / "x.png", lr)
    spec = DatasetSpec(kind="pairs", path=str(tmp_path / "in"))
    row = build_dataset("set", spec, tmp_path / "out", scale=1).to_dict("records")[0]
    np.testing.assert_array_equal(read_rgb(tmp_path / "out" / row["hr"]), hr)
    np.testing.assert_array_equal(read_rgb(tmp_path / "out" / row["lr"]), lr)
    with pytest.raises(DataError, match=r"LR 81x67, not 1/4 of it; .*data\.scale"):
        build_dataset("set", spec, tmp_path / "out", scale=4)
    write_png(tmp_path / "in" / "lq" / "x.png", lr[:66])
    with pytest.raises(DataError, match="LR 81x66, not the same size"):
        build_dataset("set", spec, tmp_path / "out", scale=1)


def test_degraded_at_scale_1(hr_folder: Path, tmp_path: Path) -> None:
    spec = _folder_spec(hr_folder, degradation="face")
    for row in build_dataset("set", spec, tmp_path / "out", scale=1).to_dict("records"):
        hr, lr = read_rgb(tmp_path / "out" / row["hr"]), read_rgb(tmp_path / "out" / row["lr"])
        np.testing.assert_array_equal(hr, read_rgb(hr_folder / row["source"]))  # no mod-crop
        assert lr.shape == hr.shape
        assert not np.array_equal(lr, hr)


def test_manifest_holds_the_digests_of_the_files_read(picture: Picture, tmp_path: Path) -> None:
    for kind, side in (("hr", 64), ("lr", 16)):
        (tmp_path / "in" / kind).mkdir(parents=True)
        Image.fromarray(picture(side, side)).save(tmp_path / "in" / kind / "x.jpg")
    spec = DatasetSpec(kind="pairs", path=str(tmp_path / "in"))
    row = build_dataset("set", spec, tmp_path / "out").to_dict("records")[0]
    for kind in ("hr", "lr"):
        file = tmp_path / "in" / kind / "x.jpg"
        assert row[f"{kind}_file_sha256"] == hashlib.sha256(file.read_bytes()).hexdigest()
    singles = build_dataset("set", _folder_spec(tmp_path / "in" / "hr"), tmp_path / "single")
    assert list(singles["hr_file_sha256"]) == [row["hr_file_sha256"]]
    assert list(singles["lr_file_sha256"]) == [""]


def test_splits_of_one_folder_share_no_image(picture: Picture, tmp_path: Path) -> None:
    for number in range(12):
        write_png(tmp_path / "in" / f"{number}.png", picture(64, 64, number))
    images = {}
    for split in ("train", "val", "test"):
        spec = _folder_spec(tmp_path / "in", split=split, holdout={"val": 3, "test": 4}, crop=32)
        images[split] = set(build_dataset(split, spec, tmp_path / split)["image"])
        assert shared_images(tmp_path / "train", tmp_path / split) == (
            sorted(images["train"]) if split == "train" else []
        )
    assert [len(names) for names in images.values()] == [5, 3, 4]
    assert len(set().union(*images.values())) == 12
    first = _folder_spec(tmp_path / "in", split="test", holdout={"val": 3, "test": 4}, limit=1)
    assert set(build_dataset("set", first, tmp_path / "first")["image"]) < images["test"]


def test_copies_of_training_images_are_found(picture: Picture, tmp_path: Path) -> None:
    for number in range(3):
        write_png(tmp_path / "a" / f"{number}.png", picture(64, 64, number))
        write_png(tmp_path / "b" / f"other{number}.png", picture(64, 64, number + 2))
    # Equal pixels in another file format, under another name
    Image.fromarray(picture(64, 64, 1)).save(tmp_path / "b" / "bitmap.bmp")
    build_dataset("train", _folder_spec(tmp_path / "a", crop=32), tmp_path / "train")
    build_dataset("set", _folder_spec(tmp_path / "b"), tmp_path / "set")
    assert shared_images(tmp_path / "train", tmp_path / "set") == ["bitmap", "other0"]
    # A crop differs in its pixels; the file tells.
    build_dataset("set", _folder_spec(tmp_path / "b", size=32), tmp_path / "crops")
    assert shared_images(tmp_path / "train", tmp_path / "crops") == ["other0"]
    # Without HR there is nothing to leak, and empty digests are no equals.
    build_dataset("real", DatasetSpec(kind="lr_only", path=str(tmp_path / "b")), tmp_path / "real")
    assert shared_images(tmp_path / "train", tmp_path / "real") == []


def test_training_images_of_a_folder_stay_where_they_are(
    hr_folder: Path, picture: Picture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Image.fromarray(picture(40, 60)).save(hr_folder / "turned.jpg", exif=_turned())
    spec = _folder_spec(hr_folder, crop=32)
    frame = build_dataset("train", spec, tmp_path / "small")
    assert not (tmp_path / "small" / "hr").exists()
    assert [Path(path) for path in frame["hr"]] == sorted(hr_folder.iterdir())
    row = frame.set_index("image").loc["turned"]
    assert (row["hr_height"], row["hr_width"]) == read_rgb(row["hr"]).shape[:2] == (60, 40)
    monkeypatch.setattr("tadsr.data.sources.DECODED", 1)
    large = build_dataset("train", spec, tmp_path / "large")
    assert set(large["hr_sha256"]) == {""}
    assert list(large["hr_file_sha256"]) == list(frame["hr_file_sha256"])
    for folder in ("small", "large"):
        assert verify_dataset(tmp_path / folder) == dataset_content(tmp_path / folder)
    write_png(hr_folder / "p0.png", picture(70, 80, 9))
    for folder in ("small", "large"):
        with pytest.raises(CorruptionError, match=r"p0\.png"):
            verify_dataset(tmp_path / folder)


def _turned() -> Image.Exif:
    exif = Image.Exif()
    exif[274] = 6
    return exif


def test_lr_only_keeps_native_pixels(picture: Picture, tmp_path: Path) -> None:
    native = picture(51, 33)
    write_png(tmp_path / "in" / "x.png", native)
    spec = DatasetSpec(kind="lr_only", path=str(tmp_path / "in"))
    row = build_dataset("real", spec, tmp_path / "out").to_dict("records")[0]
    assert (row["hr"], row["hr_sha256"], row["hr_width"]) == ("", "", 0)
    np.testing.assert_array_equal(read_rgb(tmp_path / "out" / row["lr"]), native)


def test_lr_only_without_a_path_takes_the_test_photographs(tmp_path: Path) -> None:
    frame = build_dataset("real", DatasetSpec(kind="lr_only", size=64), tmp_path / "out")
    photos = photo_paths("test")
    assert list(frame["image"]) == [photo.name for photo in photos]
    for photo in photos:
        lr = read_rgb(tmp_path / "out" / "lr" / f"{photo.name}.png")
        np.testing.assert_array_equal(lr, centre_crop(photo.read(), 64, 1))
        assert lr.shape == (64, 64, 3)


def test_photos_with_size_and_limit(tmp_path: Path) -> None:
    spec = DatasetSpec(split="test", degradation="realesrgan", size=130, limit=2)
    frame = build_dataset("set", spec, tmp_path / "out")
    assert list(frame["image"]) == [photo.name for photo in photo_paths("test")[:2]]
    assert set(frame["hr_width"]) == set(frame["hr_height"]) == {128}
    assert all("skimage" in source for source in frame["source"])


def test_unusable_images_are_named(hr_folder: Path, picture: Picture, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with pytest.raises(DataError, match=r"p1\.png: 49x67 pixels .* smaller than 64"):
        build_dataset("train", _folder_spec(hr_folder, crop=64), out)
    large = build_dataset("train", _folder_spec(hr_folder, crop=64, skip_small=True), out)
    assert list(large["image"]) == ["p0"]
    write_png(hr_folder / "small.png", picture(31, 64))
    with pytest.raises(DataError, match=r"small\.png: 64x28"):
        build_dataset("set", _folder_spec(hr_folder), out)
    (hr_folder / "small.png").write_bytes(b"\x89PNG\r\n\x1a\n cut")
    with pytest.raises(DataError, match=r"small\.png"):
        build_dataset("set", _folder_spec(hr_folder), out)
    (hr_folder / "small.png").unlink()
    Image.fromarray(picture(64, 64)).save(hr_folder / "p0.jpg")
    with pytest.raises(DataError, match=r"p0\.jpg and p0\.png have one name 'p0'"):
        build_dataset("set", _folder_spec(hr_folder), out)
    with pytest.raises(DataError, match="no such folder"):
        build_dataset("set", _folder_spec(tmp_path / "none"), out)


@pytest.mark.parametrize("name", ["set5", "imagenet_val32"])
def test_published_pairs_are_taken_as_they_are(shared: Path, tmp_path: Path, name: str) -> None:
    source = shared / "data" / name
    spec = DatasetSpec(kind="pairs", path=str(source), limit=3)
    frame = build_dataset("set", spec, tmp_path / "out")
    for row in frame.to_dict("records"):
        for kind in ("hr", "lr"):
            original = read_rgb(source / kind / row["source"])
            np.testing.assert_array_equal(read_rgb(tmp_path / "out" / row[kind]), original)


@pytest.mark.parametrize(
    ("preset", "folder"),
    [("set5", "set5"), ("set14", "set14"), ("realset65", "realset65"), ("realsr-lr", "realsr_lr")],
)
def test_presets_accept_the_published_folders(
    shared: Path, tmp_path: Path, preset: str, folder: str
) -> None:
    spec = DatasetSpec(preset=preset, path=str(shared / "data" / folder), limit=2)
    assert len(build_dataset("set", spec, tmp_path / "out")) == 2
    with pytest.raises(DataError, match="3000"):
        wrong = DatasetSpec(preset="imagenet-test", path=str(shared / "data" / "imagenet_val32"))
        build_dataset("set", wrong, tmp_path / "out")


def test_a_grey_picture_is_stored_with_one_channel_and_a_copy_in_three_replaced(
    tmp_path: Path,
) -> None:
    (tmp_path / "in").mkdir()
    Image.linear_gradient("L").resize((64, 64)).save(tmp_path / "in" / "grey.png")
    Image.linear_gradient("L").resize((64, 64)).convert("RGB").save(tmp_path / "in" / "rgb.png")
    spec = DatasetSpec(kind="folder", path=str(tmp_path / "in"), degradation="bicubic")
    frame = build_dataset("set", spec, tmp_path / "out")
    stored = tmp_path / "out" / "hr" / "grey.png"
    assert is_grey_file(stored)
    assert not is_grey_file(tmp_path / "out" / "hr" / "rgb.png")
    assert frame["hr_sha256"].nunique() == 1
    content = dataset_content(tmp_path / "out")
    write_png(stored, read_rgb(stored))  # as an earlier version stored it
    build_dataset("set", spec, tmp_path / "out")
    assert is_grey_file(stored)
    assert dataset_content(tmp_path / "out") == content
    with pytest.raises(ValueError, match="not a grey picture"):
        write_png(stored, np.arange(12, dtype=np.uint8).reshape(2, 2, 3), grey=True)
