"""Whether a loaded metric computes with the published weights."""

from __future__ import annotations

from dataclasses import replace

from tadsr.config.metrics import MetricSpec
from tadsr.config.pyiqa_table import FORMULAS
from tadsr.metrics.card import MetricCard
from tadsr.weights import Present, note_tensors, published_tensors

KNOWN_TENSORS = {
    "lpips": "856f0fcd356559e5d77a5f45a8ec40bf3b2e3f5ff76b6c023edc544590a5ccb5",
    "niqe": "67189960af7e8062f9034ab3ed6be735262786c3d6be71d8379f695e4bfebc97",
}
"""Digest of the tensors with which pyiqa reproduces the official calibration values."""

_HARMLESS = {"test_y_channel", "color_space"}
"""Options that choose no weights."""


def tensors_key(spec: MetricSpec) -> str:
    """The name under which the store remembers a metric's tensors."""
    return f"{spec.pyiqa} ({', '.join(spec.weights)})"


def judged(card: MetricCard, spec: MetricSpec, found: list[Present]) -> MetricCard:
    """The card with its `verified` field, of weights loaded from the files `found`.

    Verified are tensors of a known digest: said to be right in the experiment file, known to us,
    or recorded in the store when they were first loaded from files that all have their official
    sha256. None where there is nothing to verify: no tensors, or the constants of a formula. Any
    other tensors are not verified: they came from who knows where.
    """
    if spec.tensors:
        return replace(card, verified=card.tensors == spec.tensors)
    if card.tensors is None or spec.pyiqa in FORMULAS:
        return card
    if not found or set(spec.options) - _HARMLESS:
        return replace(card, verified=False)
    key = tensors_key(spec)
    known = KNOWN_TENSORS.get(spec.pyiqa) or published_tensors(key)
    official = all(item.verified is True for item in found)
    return replace(card, verified=official or card.tensors == known)


def remember_tensors(card: MetricCard, spec: MetricSpec) -> None:
    """Note in the store what the card says of the tensors, for `tadsr weights list`."""
    if card.tensors is not None and spec.weights and not set(spec.options) - _HARMLESS:
        note_tensors(tensors_key(spec), spec.weights, card.tensors, verified=card.verified is True)
