"""LR by the name of its degradation."""

from __future__ import annotations

from collections.abc import Callable
from typing import get_args

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from tadsr.config import data as config
from tadsr.data.degradations import RECIPES, make_lr
from tadsr.data.resize import bicubic_lr
from tadsr.errors import ConfigError

Picture = Callable[..., NDArray[np.uint8]]
KINDS = ["bicubic", *RECIPES]


def _levels(picture: Picture, count: int = 4) -> torch.Tensor:
    pictures = np.stack([picture(64, 48, seed) for seed in range(count)])
    return torch.from_numpy(pictures).permute(0, 3, 1, 2).contiguous()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("scale", [1, 2, 4])
def test_lr_is_levels_of_its_size_and_the_same_in_any_batch(
    picture: Picture, kind: str, scale: int
) -> None:
    levels = _levels(picture)
    lr = make_lr(levels, kind, 3, [5, 6, 7, 8], scale)
    assert lr.dtype == torch.uint8
    assert lr.shape == (4, 3, 64 // scale, 48 // scale)
    for n in range(4):
        assert torch.equal(lr[n : n + 1], make_lr(levels[n : n + 1], kind, 3, [5 + n], scale))


def test_bicubic_is_matlab_s_and_takes_no_seed(picture: Picture) -> None:
    levels = _levels(picture)
    lr = make_lr(levels, "bicubic", 0, range(4))
    assert torch.equal(lr, bicubic_lr(levels, 4))
    assert torch.equal(lr, make_lr(levels, "bicubic", 9, range(4, 8)))
    same = make_lr(levels, "bicubic", 0, range(4), scale=1)
    assert torch.equal(same, levels)
    same[0] = 0
    assert levels[0].any()  # a copy, not the input itself


def test_the_experiment_file_knows_the_same_names() -> None:
    assert set(get_args(config.Degradation)) == set(KINDS)


def test_an_unknown_name_is_a_mistake_of_the_user(picture: Picture) -> None:
    with pytest.raises(ConfigError, match=r"'realesgan' does not exist: did you mean 'realesrgan'"):
        make_lr(_levels(picture), "realesgan", 0, range(4))


def test_wrong_input_is_refused(picture: Picture) -> None:
    levels = _levels(picture)
    with pytest.raises(ValueError, match="expected uint8"):
        make_lr(levels.float(), "bicubic", 0, range(4))
    with pytest.raises(ValueError, match="4 images and 3 indices"):
        make_lr(levels, "face", 0, range(3), 1)
    with pytest.raises(ValueError, match="no multiples of 5"):
        make_lr(levels, "bicubic", 0, range(4), 5)
