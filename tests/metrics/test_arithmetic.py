"""Filters in bands of rows give the bits of filters at once."""

from __future__ import annotations

import contextlib

import pytest
import torch

from tadsr.config.metrics import METRICS
from tadsr.metrics import Metric, backends, load_metric
from tadsr.metrics.arithmetic import BandedConvolutions
from tadsr.seeds import torch_generator


def noise(*shape: int, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.rand(*shape, generator=torch_generator(0, "noise"), dtype=dtype)


@pytest.mark.parametrize(
    "shape", [(1, 1, 300, 203), (2, 1, 96, 500), (1, 3, 150, 130), (1, 1, 11, 11)]
)
@pytest.mark.parametrize("window", [(11, 11), (7, 7), (3, 1)])
def test_bands_change_no_bit(shape: tuple[int, ...], window: tuple[int, int]) -> None:
    image, groups = noise(*shape), shape[1]
    weight = noise(groups, 1, *window)
    plain = torch.nn.functional.conv2d(image, weight, groups=groups)
    with BandedConvolutions():
        banded = torch.nn.functional.conv2d(image, weight, groups=groups)
        seen = torch.nn.functional.conv2d(input=image, weight=weight, groups=groups)
    assert torch.equal(plain, banded)
    assert torch.equal(plain, seen)


@pytest.mark.parametrize(
    "options", [{"stride": 2}, {"padding": 3}, {"padding": "same"}, {"dilation": (1, 2)},
                {"bias": noise(2)}, {"stride": (1, 1), "padding": (0, 0)}],
)  # fmt: skip
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_other_convolutions_are_as_they_were(options: dict, dtype: torch.dtype) -> None:
    image, weight = noise(1, 1, 400, 300, dtype=dtype), noise(2, 1, 7, 7, dtype=dtype)
    options = {k: v.to(dtype) if k == "bias" else v for k, v in options.items()}
    plain = torch.nn.functional.conv2d(image, weight, **options)
    with BandedConvolutions():
        assert torch.equal(torch.nn.functional.conv2d(image, weight, **options), plain)


def test_ssim_is_the_same_number(monkeypatch: pytest.MonkeyPatch) -> None:
    sr, hr = noise(3, 180, 210, dtype=torch.float32), noise(3, 210, 180).mT.float()
    metric = load_metric(METRICS["ssim"])
    assert isinstance(metric, Metric)
    banded = metric.score(sr, hr)
    monkeypatch.setattr(backends, "BandedConvolutions", contextlib.nullcontext)
    assert metric.score(sr, hr) == banded
