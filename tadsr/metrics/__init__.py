"""Metrics computed by pyiqa, each with a card that says what computed it."""

from tadsr.metrics.backends import Metric, NotComputableError, load_metric
from tadsr.metrics.card import MetricCard, expected_identity, same_identity, tensors_digest
from tadsr.weights import Missing

__all__ = [
    "Metric",
    "MetricCard",
    "Missing",
    "NotComputableError",
    "expected_identity",
    "load_metric",
    "same_identity",
    "tensors_digest",
]
