"""What a score frame must be, and what is said when it is not."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from tadsr.compare import compare
from tadsr.compare.scores import read_scores
from tadsr.errors import DataError

Frames = Callable[..., pd.DataFrame]


@pytest.fixture
def frame(score_frame: Frames) -> pd.DataFrame:
    generator = np.random.default_rng(0)
    blocks = {"full": generator.normal(size=(3, 4)), "other": generator.normal(size=(3, 4))}
    return score_frame(blocks)


def test_layout_does_not_depend_on_the_order_of_rows(frame: pd.DataFrame) -> None:
    shuffled = frame.sample(frac=1.0, random_state=1)
    block = read_scores(shuffled, {}).blocks["photos", "lpips"]
    assert block.per_image
    assert block.runs["other"].seeds == (0, 1, 2)
    expected = frame[frame["variant"] == "other"]["value"].to_numpy().reshape(3, 4)
    assert (block.runs["other"].values == expected).all()


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_values_must_be_finite(frame: pd.DataFrame, value: float) -> None:
    frame.loc[5, "value"] = value
    with pytest.raises(DataError, match=r"lpips of image '0001.png' in photos for full seed 1"):
        compare(frame, "full")


def test_a_row_may_not_be_there_twice(frame: pd.DataFrame) -> None:
    with pytest.raises(DataError, match=r"'0002.png' in photos for other seed 2 is there twice"):
        compare(pd.concat([frame, frame.iloc[[22]]]), "full")


@pytest.mark.parametrize("column", ["variant", "seed", "dataset", "image", "metric", "value"])
def test_every_column_is_needed(frame: pd.DataFrame, column: str) -> None:
    with pytest.raises(DataError, match=f"no column '{column}'"):
        compare(frame.drop(columns=column), "full")


@pytest.mark.parametrize("column", ["variant", "dataset", "metric"])
def test_names_may_not_be_missing(frame: pd.DataFrame, column: str) -> None:
    frame.loc[3, column] = None
    with pytest.raises(DataError, match=f"row 3 has no {column}"):
        compare(frame, "full")


@pytest.mark.parametrize("seed", [0.5, -2, "first"])
def test_seeds_are_whole_numbers(frame: pd.DataFrame, seed: object) -> None:
    frame["seed"] = frame["seed"].astype(object)
    frame.loc[3, "seed"] = seed
    with pytest.raises(DataError, match="seed"):
        compare(frame, "full")


def test_values_are_numbers(frame: pd.DataFrame) -> None:
    frame["value"] = "good"
    with pytest.raises(DataError, match="not numeric"):
        compare(frame, "full")


def test_a_variant_has_seeds_or_none(frame: pd.DataFrame) -> None:
    frame.loc[3, "seed"] = pd.NA
    with pytest.raises(DataError, match="'full' has rows with and without a seed"):
        compare(frame, "full")


def test_a_metric_is_per_image_or_per_set(frame: pd.DataFrame) -> None:
    frame.loc[3, "image"] = None
    with pytest.raises(DataError, match="either per image or per set"):
        compare(frame, "full")


def test_unknown_reference_names_the_nearest(frame: pd.DataFrame) -> None:
    with pytest.raises(DataError, match="did you mean 'full'"):
        compare(frame, "ful")
    with pytest.raises(DataError, match="'full' has no scores"):
        compare(frame.iloc[:0], "full")
