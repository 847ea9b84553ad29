"""Which tensors count as the published ones."""

from __future__ import annotations

from pathlib import Path

import torch

from tadsr.config.metrics import METRICS, MetricSpec
from tadsr.metrics import is_unverified
from tadsr.metrics.card import make_card
from tadsr.metrics.verification import judged, remember_tensors
from tadsr.weights import Present


def test_tensors_that_nobody_vouches_for_are_not_verified() -> None:
    """A metric of pyiqa's that the catalogue does not know, with tensors from wherever."""
    spec = MetricSpec(id="x", pyiqa="dists", higher_is_better=False, needs_reference=True)
    card = make_card(spec, torch.nn.Linear(1, 1), None, "cpu")
    assert judged(card, spec, []).verified is False
    assert is_unverified(judged(card, spec, []).to_dict())
    assert card.tensors is not None
    for digest, known in ((card.tensors, True), ("0" * 64, False)):
        said = spec.model_copy(update={"tensors": digest})
        assert judged(card, said, []).verified is known
    formula = spec.model_copy(update={"pyiqa": "vif"})
    assert judged(card, formula, []).verified is None, "constants are no weights"
    without = make_card(spec, torch.nn.Identity(), None, "cpu")
    assert judged(without, spec, []).verified is None
    assert not is_unverified(without.to_dict())


def test_official_files_are_verified_and_put_the_tensors_on_record(no_weights: Path) -> None:
    spec = METRICS["musiq"]
    no_weights.mkdir()
    first, second = (make_card(spec, torch.nn.Linear(n, 1), None, "cpu") for n in (1, 2))
    here = Present("musiq-koniq", no_weights / "file", verified=True)
    other = Present("musiq-koniq", no_weights / "file", verified=False)
    assert judged(first, spec, [other]).verified is False
    official = judged(first, spec, [here])
    assert official.verified is True
    remember_tensors(official, spec)
    assert judged(first, spec, [other]).verified is True, "the tensors on record"
    assert judged(second, spec, [other]).verified is False
    remember_tensors(judged(second, spec, [other]), spec)
    assert judged(first, spec, [other]).verified is True, "the record stays"
    turned = spec.model_copy(update={"options": {"pretrained": "spaq"}})
    assert judged(first, turned, [here]).verified is False, "options choose other weights"
