"""Identity of metric cards, and the digest of the tensors behind them."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch
from torch import nn

from tadsr.config.metrics import METRICS
from tadsr.errors import TadsrError
from tadsr.metrics import MetricCard, expected_identity, same_identity, tensors_digest
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


def test_expected_identity_lacks_the_tensors_alone() -> None:
    identity = card().identity()
    del identity["tensors"]
    assert expected_identity(METRICS["lpips"]) == identity


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
