"""Scores of single images: held against the rows they were made from."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest

from tadsr.report.image_scores import ImageScores, Key


def rows() -> dict[Key, float]:
    """Two variants with seeds, a baseline, test sets of different images, some scores missing."""
    rng = np.random.default_rng(3)
    models = [("bicubic", -1), ("full", 0), ("full", 1), ("other", 0)]
    images = {"one": ["a", "b"], "two": ["b", "c", "d"]}
    found = {
        (*model, dataset, image, metric): float(rng.normal())
        for model in models for dataset, names in images.items()
        for image, metric in itertools.product(names, ("psnr", "niqe"))
    }  # fmt: skip
    for gone in [("full", 1, "two", "c", "psnr"), ("bicubic", -1, "one", "a", "niqe")]:
        del found[gone]
    found["full", 0, "one", "", "fid"] = 12.0
    return found


def frame(found: dict[Key, float]) -> pd.DataFrame:
    columns = ["variant", "seed", "dataset", "image", "metric", "value"]
    made = pd.DataFrame([(*key, value) for key, value in found.items()], columns=columns)
    made["seed"] = made["seed"].where(made["seed"] >= 0).astype("Int64")
    return made.sample(frac=1, random_state=0, ignore_index=True)


def test_it_is_the_mapping_of_its_rows() -> None:
    scores = ImageScores(frame(rows()))
    assert dict(scores) == rows()
    assert len(scores) == len(rows())


@pytest.mark.parametrize("absent", [
    ("full", 1, "two", "c", "psnr"),  # an image that others were scored on
    ("full", 0, "one", "a", "fid"),  # a metric of the whole set
    ("full", 2, "one", "a", "psnr"), ("full", 0, "three", "a", "psnr"),
    ("full", 0, "one", "c", "psnr"), ("full", 0, "one", "a", "ssim"),
])  # fmt: skip
def test_what_was_not_scored_is_not_there(absent: Key) -> None:
    scores = ImageScores(frame(rows()))
    assert absent not in scores and scores.get(absent) is None


def test_of_one_run() -> None:
    found = ImageScores(frame(rows())).of_run("full", 1)
    flat = {("full", 1, d, i, m): v for (d, i), of in found.items() for m, v in of.items()}
    assert flat == {key: value for key, value in rows().items() if key[:2] == ("full", 1)}
    assert ("one", "") not in ImageScores(frame(rows())).of_run("full", 0)


def test_without_scores() -> None:
    assert not ImageScores(None) and ImageScores(None).of_run("full", 0) == {}
