"""Finished images of another method: matched by name, complete, of the right size."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tadsr.config.data import DatasetSpec
from tadsr.config.metrics import METRICS
from tadsr.config.models import ImagePlace, image_place
from tadsr.data.images import read_rgb, write_png
from tadsr.data.manifest import build_dataset
from tadsr.errors import DataError
from tadsr.evaluation import Bicubic, FinishedImages, evaluate_dataset
from tadsr.evaluation.finished import find_finished, finished_content
from tadsr.evaluation.scores import read_scores
from tadsr.seeds import numpy_generator

NAMES = ("a", "b.1", "c")


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    source, folder = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("dataset")
    for name in NAMES:
        pixels = numpy_generator(0, name).integers(0, 256, (32, 48, 3), dtype=np.uint8)
        write_png(source / f"{name}.png", pixels)
    build_dataset("d", DatasetSpec(kind="folder", path=str(source), degradation="bicubic"), folder)
    return folder


@pytest.fixture
def other(dataset: Path, tmp_path: Path) -> Path:
    """Another method's images of the test set `d`: here, the HR images themselves."""
    return Path(shutil.copytree(dataset / "hr", tmp_path / "other" / "d"))


def place(folder: Path, file: str = "") -> ImagePlace:
    return image_place(f"{folder}/{file}" if file else str(folder.parent), "d")


def content(folder: Path, dataset: Path) -> str:
    return finished_content(find_finished(place(folder), dataset), dataset, 4)


def test_images_are_stored_as_they_are_and_without_a_time(
    dataset: Path, other: Path, tmp_path: Path
) -> None:
    paths = find_finished(place(other), dataset).paths
    assert list(paths) == list(NAMES)
    for name, make in (("other", lambda: FinishedImages(paths)), ("bicubic", Bicubic)):
        scores = tmp_path / f"{name}.parquet"
        identity = {"upscaler": name, "upscaler_content": "1", "dataset_content": "2"}
        evaluate_dataset(make, dataset, scores, tmp_path / name, [METRICS["ssim"]], identity)
    frame, _ = read_scores(tmp_path / "other.parquet")
    assert frame["value"].tolist() == pytest.approx([1.0] * len(NAMES))
    for name in NAMES:
        stored = read_rgb(tmp_path / "other" / f"{name}.png")
        assert np.array_equal(stored, read_rgb(dataset / f"hr/{name}.png"))


def test_content_is_of_pixels_and_names(dataset: Path, other: Path) -> None:
    before = content(other, dataset)
    for name in NAMES:  # the same pixels in another file
        Image.open(other / f"{name}.png").save(other / f"{name}.bmp")
        (other / f"{name}.png").unlink()
    assert content(other, dataset) == before
    pixels = read_rgb(other / "c.bmp").copy()
    pixels[0, 0, 0] ^= 1
    Image.fromarray(pixels).save(other / "c.bmp")
    assert content(other, dataset) != before


def test_names_by_a_pattern_and_pictures_of_no_image(dataset: Path, other: Path) -> None:
    for path in other.glob("*.png"):
        path.rename(other / f"{path.stem}_x4.png")
    shutil.copy(other / "a_x4.png", other / "z_x4.png")
    shutil.copy(other / "a_x4.png", other / "a_x2.png")
    (other / "notes.txt").write_text("of the authors")
    found = find_finished(place(other, "{image}_x4.png"), dataset)
    assert found.paths["b.1"] == other / "b.1_x4.png"
    assert found.extra == ("z_x4.png",)


def test_every_missing_image_is_named(dataset: Path, other: Path) -> None:
    (other / "a.png").rename(other / "A.png")
    (other / "b.1.png").unlink()
    with pytest.raises(DataError) as info:
        find_finished(place(other), dataset)
    assert str(info.value) == (
        f"{other}: 2 of 3 images are not there as '<image>': a, b.1; add or rename them"
    )


def test_every_image_of_another_size_is_named_with_both(dataset: Path, other: Path) -> None:
    for name, size in (("a", (44, 28)), ("c", (12, 8))):
        Image.open(other / f"{name}.png").resize(size).save(other / f"{name}.png")
    with pytest.raises(DataError) as info:
        content(other, dataset)
    message = str(info.value)
    assert "2 of 3 images are not 4 times as large" in message
    assert "a.png (44x28 instead of 48x32), c.png (12x8 instead of 48x32)" in message


def test_one_name_twice(dataset: Path, other: Path) -> None:
    Image.open(other / "a.png").save(other / "a.webp")
    with pytest.raises(DataError, match=r"a\.png and a\.webp are both image 'a'"):
        find_finished(place(other), dataset)


def test_a_damaged_image_is_named(dataset: Path, other: Path) -> None:
    (other / "c.png").write_bytes((other / "c.png").read_bytes()[:100])
    with pytest.raises(DataError, match=r"c\.png: damaged"):
        content(other, dataset)


def test_an_empty_folder_names_what_it_looked_for(dataset: Path, tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    with pytest.raises(DataError, match=r"3 of 3 images are not there as '<image>_x4\.png'"):
        find_finished(place(tmp_path / "d", "{image}_x4.png"), dataset)


def test_the_reader_is_the_one_of_all_images(dataset: Path, other: Path) -> None:
    grey = Image.open(other / "a.png").convert("L")
    grey.save(other / "a.png")
    upscaler = FinishedImages(find_finished(place(other), dataset).paths)
    result = upscaler.upscale(torch.zeros(3, 8, 12), "a")
    assert upscaler.networks is None
    levels = torch.from_numpy(np.array(grey)).float() / 255
    assert torch.equal(result, levels.expand(3, -1, -1))
