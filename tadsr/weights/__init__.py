"""Pretrained weights of the metrics: where they come from, where they lie, whether they are right.

Nothing here imports torch, so that `tadsr status` and `tadsr plan` stay quick.
"""

from tadsr.weights.catalog import CATALOG, WeightFile
from tadsr.weights.store import (
    FETCH_COMMAND,
    Missing,
    Present,
    activate,
    fetch,
    status,
    weights_home,
)

__all__ = [
    "CATALOG",
    "FETCH_COMMAND",
    "Missing",
    "Present",
    "WeightFile",
    "activate",
    "fetch",
    "status",
    "weights_home",
]
