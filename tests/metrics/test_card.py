"""Identity of metric cards, and the digest of the tensors behind them."""

from __future__ import annotations

import json
from dataclasses import replace
from importlib.metadata import version

import pytest
import torch
from torch import nn

from tadsr.config.metrics import METRICS, metric_for
from tadsr.errors import TadsrError
from tadsr.metrics import MetricCard, same_identity, still_holds, tensors_digest
from tadsr.metrics.card import make_card


def card() -> MetricCard:
    return make_card(METRICS["lpips"], nn.Linear(2, 2), True, "cpu")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("options", {"net": "vgg"}),
        ("color_space", "Y of YCbCr"),
        ("border_crop", 4),
        ("libraries", {"pyiqa": "0.1.13"}),
        ("tensors", "0" * 64),
        ("dtype", "float16"),
        ("bit_depth", 16),
        ("pyiqa", "lpips-vgg"),
        ("backbone", "VGG16, LPIPS v0.1"),
        ("reference_resize", "bicubic"),
        ("grey", "levels"),
    ],
)
def test_each_identity_field_separates_and_is_named(field, value) -> None:
    one = card()
    other = replace(one, **{field: value})
    text = same_identity(one, other)
    assert text is not None
    assert field in text


def test_context_and_verification_do_not_separate() -> None:
    one = card()
    assert same_identity(one, replace(one, context={"device": "cuda"}, verified=None)) is None


def test_round_trip_through_json() -> None:
    one = card()
    assert MetricCard.from_dict(json.loads(json.dumps(one.to_dict()))) == one
    with pytest.raises(TadsrError, match="another version"):
        MetricCard.from_dict({"metric": "psnr", "unheard_of": 1})


def test_cards_of_tadsr_0_1_are_read_with_what_they_left_unsaid() -> None:
    later = ("backbone", "reference_resize", "grey")
    for spec in METRICS.values():
        one = make_card(spec, nn.Linear(2, 2), True, "cpu")
        old = {key: value for key, value in one.to_dict().items() if key not in later}
        assert same_identity(MetricCard.from_dict(old), one) is None
    foreign = {**card().to_dict(), "metric": "dists", "pyiqa": "dists"}
    old = {key: value for key, value in foreign.items() if key not in later}
    difference = same_identity(MetricCard.from_dict(old), MetricCard.from_dict(foreign))
    assert "backbone differs: not recorded" in (difference or "")


def test_a_card_says_what_the_issue_asks_for() -> None:
    lpips, psnr = card(), make_card(METRICS["psnr"], nn.Identity(), None, "cuda")
    assert (lpips.backbone, psnr.backbone) == ("AlexNet, LPIPS v0.1", "none")
    assert lpips.libraries.keys() == {"pyiqa", "torchvision"}
    assert psnr.reference_resize.startswith("none")
    assert make_card(METRICS["niqe"], None, None, "cpu").reference_resize == "no reference"
    assert (psnr.color_space, psnr.bit_depth, psnr.dtype) == ("Y of YCbCr", 8, "float32")
    assert psnr.context["device"] == "cuda"
    assert make_card(metric_for("psnr", "classic"), None, None, "cpu").grey == "levels"
    vgg = METRICS["lpips"].model_copy(update={"options": {"net": "vgg"}})
    assert "vgg" in make_card(vgg, None, None, "cpu").backbone


class Borrowed(nn.Module):
    """As a network of timm's would be."""


def test_packages_that_a_network_is_made_of_are_named() -> None:
    Borrowed.__module__ = "scipy.somewhere"
    network = nn.Sequential(nn.Linear(1, 1), Borrowed())
    assert make_card(METRICS["psnr"], network, None, "cpu").libraries.keys() == {"pyiqa", "scipy"}


def test_grey_levels_are_for_metrics_on_y_alone() -> None:
    for name in ("lpips", "niqe"):
        settings = {**METRICS[name].model_dump(), "grey": "levels"}
        with pytest.raises(ValueError, match="grey: levels"):
            type(METRICS[name])(**settings)


def test_a_card_holds_as_long_as_all_but_the_tensors_is_as_it_says() -> None:
    spec, one = METRICS["lpips"], card()
    assert still_holds(one, spec)
    assert still_holds(replace(one, tensors="0" * 64), spec)
    extra = {**one.libraries, "numpy": version("numpy")}  # as a network may have named
    assert still_holds(replace(one, libraries=extra), spec)
    assert not still_holds(replace(one, libraries={**extra, "numpy": "0.1"}), spec)
    assert not still_holds(replace(one, libraries={"pyiqa": version("pyiqa")}), spec)
    assert not still_holds(one, spec.model_copy(update={"border_crop": 4}))


class Holder(nn.Module):
    """Keeps tensors in each of the ways that pyiqa's metrics do."""

    def __init__(self, values: list[float]) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(values[0]))
        self.register_buffer("shift", torch.tensor([values[1]]), persistent=False)
        self.plain = torch.tensor([[values[2]]], dtype=torch.float64)
        inner = nn.Linear(1, 1, bias=False)
        with torch.no_grad():
            inner.weight.fill_(values[3])
        self.hidden = [inner]


def test_every_tensor_counts_wherever_it_is_kept() -> None:
    digests = {tensors_digest(Holder([1.0, 2.0, 3.0, 4.0]))}
    for position in range(4):
        values = [1.0, 2.0, 3.0, 4.0]
        values[position] += 0.5
        digests.add(tensors_digest(Holder(values)))
    assert len(digests) == 5
    assert tensors_digest(Holder([1.0, 2.0, 3.0, 4.0])) in digests


def test_names_and_types_count_and_nothing_has_no_digest() -> None:
    one = nn.Module()
    one.a = torch.zeros(2)
    other = nn.Module()
    other.b = torch.zeros(2)
    third = nn.Module()
    third.a = torch.zeros(1, dtype=torch.float64)
    assert len({tensors_digest(m) for m in (one, other, third)}) == 3
    assert tensors_digest(nn.Identity()) is None
