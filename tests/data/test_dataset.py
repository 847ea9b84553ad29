"""Training crops: a pure function of (seed, number), whatever the batch."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tadsr.config.data import DatasetSpec
from tadsr.data.dataset import TrainingCrops, fixed_pairs, load_pairs
from tadsr.data.images import read_rgb
from tadsr.data.manifest import build_dataset
from tadsr.data.resize import bicubic
from tadsr.errors import DataError


@pytest.fixture
def train(hr_folder: Path, tmp_path: Path) -> Path:
    spec = DatasetSpec(kind="folder", path=str(hr_folder), degradation="bicubic", crop=32)
    build_dataset("train", spec, tmp_path / "train")
    return tmp_path / "train"


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    build_dataset("train", DatasetSpec(split="train", degradation="bicubic", crop=64), folder)
    return folder


def test_scale_1_keeps_the_size_and_takes_any_crop(train: Path) -> None:
    batch = TrainingCrops(train, 30, "face", scale=1).batch(0, 4)
    assert batch.hr.shape == batch.lq.shape == (4, 3, 30, 30)
    error = (batch.hr - batch.lq).abs().mean()
    assert 0.005 < error < 1  # degraded, yet of the same picture
    parts = [TrainingCrops(train, 30, "face", scale=1).batch(n, 1).lq for n in range(4)]
    assert torch.equal(batch.lq, torch.cat(parts))


@pytest.mark.parametrize("degradation", ["bicubic", "realesrgan", "imagenet_test"])
def test_shapes_and_range(train: Path, degradation: Any) -> None:
    batch = TrainingCrops(train, 32, degradation).batch(10, 7)
    assert batch.hr.shape == (7, 3, 32, 32)
    assert batch.lq.shape == (7, 3, 8, 8)
    assert batch.hr.dtype == batch.lq.dtype == torch.float32
    assert batch.indices == tuple(range(10, 17))
    for values in (batch.hr, batch.lq):
        assert values.abs().max() <= 1
        levels = (values + 1) * 127.5
        torch.testing.assert_close(levels, levels.round(), rtol=0, atol=1e-3)
    assert batch.hr.min() < -0.2
    assert batch.hr.max() > 0.2


@pytest.mark.parametrize("degradation", ["bicubic", "realesrgan"])
@given(start=st.integers(0, 10_000), cuts=st.lists(st.integers(1, 4), min_size=1, max_size=4))
@settings(max_examples=8, deadline=None)
def test_crops_do_not_depend_on_the_batch(
    photos: Path, degradation: Any, start: int, cuts: list[int]
) -> None:
    crops = TrainingCrops(photos, 64, degradation, seed=5)
    whole = crops.batch(start, sum(cuts))
    parts, at = [], start
    for count in cuts:
        parts.append(crops.batch(at, count))
        at += count
    assert torch.equal(whole.hr, torch.cat([part.hr for part in parts]))
    assert torch.equal(whole.lq, torch.cat([part.lq for part in parts]))
    assert whole.names == tuple(name for part in parts for name in part.names)
    again = TrainingCrops(photos, 64, degradation, seed=5).batch(start, sum(cuts))
    assert torch.equal(whole.lq, again.lq)


def test_images_that_do_not_fit_in_memory_give_the_same_crops(
    train: Path, hr_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = TrainingCrops(train, 32, "bicubic")
    expected = whole.batch(0, 12)
    monkeypatch.setattr("tadsr.data.dataset.MEMORY", 64 * 80 * 3)  # room for the first image
    tight = TrainingCrops(train, 32, "bicubic")
    assert torch.equal(tight.batch(0, 12).hr, expected.hr)
    (hr_folder / "p0.png").write_bytes(b"gone")
    (hr_folder / "p1.png").write_bytes(b"gone")
    assert torch.equal(whole.batch(0, 12).hr, expected.hr)  # all in memory
    with pytest.raises(DataError, match=r"p[01]\.png"):
        tight.batch(0, 12)


def test_every_image_once_per_epoch_in_changing_order(photos: Path) -> None:
    crops = TrainingCrops(photos, 64, "bicubic")
    epochs = [crops.batch(k * len(crops), len(crops)).names for k in range(6)]
    assert all(Counter(names) == Counter(crops.names) for names in epochs)
    assert len(set(epochs)) > 1
    other = TrainingCrops(photos, 64, "bicubic", seed=1).batch(0, len(crops)).names
    assert other not in epochs[:1]


def test_crops_are_cut_from_the_image_flipped_or_not(train: Path, hr_folder: Path) -> None:
    crops = TrainingCrops(train, 32, "bicubic")
    batch = crops.batch(0, 24)
    flipped, places = 0, set()
    for name, hr in zip(batch.names, batch.hr, strict=True):
        image = read_rgb(hr_folder / f"{name}.png")
        crop = ((hr + 1) * 127.5).round().to(torch.uint8).permute(1, 2, 0).numpy()
        windows = np.lib.stride_tricks.sliding_window_view(image, (32, 32, 3))[:, :, 0]
        straight = np.argwhere((windows == crop).all(axis=(2, 3, 4)))
        mirrored = np.argwhere((windows == crop[:, ::-1]).all(axis=(2, 3, 4)))
        assert len(straight) + len(mirrored) == 1
        flipped += len(mirrored)
        places.add((name, *map(int, [*straight, *mirrored][0])))
    assert 4 <= flipped <= 20
    assert len(places) > 20


def test_lq_is_the_rounded_bicubic_of_hr(train: Path) -> None:
    batch = TrainingCrops(train, 32, "bicubic").batch(0, 8)
    expected = bicubic(batch.hr.double(), scale=0.25).clamp(-1, 1)
    assert (batch.lq - expected).abs().max() <= 0.5 / 127.5 + 1e-6


def test_seeds_and_degradations_are_drawn_apart(photos: Path) -> None:
    one = TrainingCrops(photos, 64, "bicubic", seed=0).batch(0, 8)
    two = TrainingCrops(photos, 64, "bicubic", seed=1).batch(0, 8)
    rough = TrainingCrops(photos, 64, "realesrgan", seed=0).batch(0, 8)
    assert not torch.equal(one.hr, two.hr)
    assert torch.equal(one.hr, rough.hr)  # variants of a seed share the crops
    assert not torch.equal(one.lq, rough.lq)


@pytest.mark.parametrize("degradation", ["bicubic", "realesrgan"])
def test_fixed_pairs_repeat_and_cover_all_images(photos: Path, degradation: Any) -> None:
    first = fixed_pairs(photos, 64, 16, degradation, seed=3)
    second = fixed_pairs(photos, 64, 16, degradation, seed=3)
    assert torch.equal(first.hr, second.hr)
    assert torch.equal(first.lq, second.lq)
    assert len(set(first.names)) == 8
    training = TrainingCrops(photos, 64, degradation, seed=3).batch(0, 16)
    assert not torch.equal(first.hr, training.hr)


def test_validation_crops_meet_no_degradation_of_training(
    photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[int, int]] = []

    def record(
        levels: torch.Tensor, kind: str, seed: int, indices: tuple[int, ...], scale: int
    ) -> torch.Tensor:
        seen.extend((seed, index) for index in indices)
        return levels[:, :, ::scale, ::scale]

    monkeypatch.setattr("tadsr.data.dataset.make_lr", record)
    fixed_pairs(photos, 64, 4, "realesrgan", seed=3)
    for axis in ("crops", "targets"):
        TrainingCrops(photos, 64, "realesrgan", seed=3, axis=axis).batch(0, 4)
    assert len(seen) == len(set(seen)) == 12


def test_load_pairs(hr_folder: Path, train: Path, tmp_path: Path) -> None:
    spec = DatasetSpec(kind="folder", path=str(hr_folder), degradation="bicubic")
    build_dataset("set", spec, tmp_path / "set")
    pairs = load_pairs(tmp_path / "set")
    assert [pair.name for pair in pairs] == ["p0", "p1", "p2", "p3"]
    for pair in pairs:
        assert pair.hr_path is not None
        assert pair.lr_path.is_file()
        assert pair.hr_path.is_file()
    build_dataset("real", DatasetSpec(kind="lr_only", path=str(hr_folder)), tmp_path / "real")
    assert {pair.hr_path for pair in load_pairs(tmp_path / "real")} == {None}
    with pytest.raises(DataError, match="'p0' has no LR image"):
        load_pairs(train)
    with pytest.raises(DataError, match="'p0' has no HR image"):
        TrainingCrops(tmp_path / "real", 32, "bicubic")
    with pytest.raises(DataError, match="run `tadsr data`"):
        load_pairs(tmp_path / "none")


def test_mistakes_are_named(train: Path) -> None:
    with pytest.raises(DataError, match=r"p1\.png: 49x67 is smaller than the crop of 64"):
        TrainingCrops(train, 64, "bicubic")
    with pytest.raises(ValueError, match="multiple of 4"):
        TrainingCrops(train, 30, "bicubic")
    with pytest.raises(ValueError, match=r"one of bicubic, .*, got 'jpeg'"):
        TrainingCrops(train, 32, "jpeg")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="count >= 1"):
        TrainingCrops(train, 32, "bicubic").batch(0, 0)
