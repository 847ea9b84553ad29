"""Metrics computed by pyiqa, each with a card that says what computed it.

The cards are free of torch; `load_metric` and `Metric` import it when they are asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tadsr.metrics.card import (
    MetricCard,
    is_unverified,
    same_identity,
    still_holds,
    tensors_digest,
)
from tadsr.weights import Missing

if TYPE_CHECKING:
    from tadsr.metrics.backends import Metric, NotComputableError, load_metric
    from tadsr.metrics.sets import SetMetric

__all__ = [
    "Metric",
    "MetricCard",
    "Missing",
    "NotComputableError",
    "SetMetric",
    "is_unverified",
    "load_metric",
    "same_identity",
    "still_holds",
    "tensors_digest",
]


def __getattr__(name: str) -> Any:
    """Import the backends, and so torch, only when one of their names is asked for."""
    if name in __all__:
        from tadsr.metrics import backends, sets

        return getattr(sets if name == "SetMetric" else backends, name)
    raise AttributeError(f"module 'tadsr.metrics' has no attribute '{name}'")
