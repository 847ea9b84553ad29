"""Weights of metrics and published models: where they come from and lie, and if they are right.

Nothing here imports torch, so that `tadsr status` and `tadsr plan` stay quick.
"""

from tadsr.weights.catalog import CATALOG, METRIC_WEIGHTS, WeightFile, canonical_name
from tadsr.weights.fetching import fetch
from tadsr.weights.store import (
    FETCH_COMMAND,
    Missing,
    Present,
    activate,
    file_digest,
    status,
    verify,
    weights_home,
)
from tadsr.weights.tensors import TensorsNote, note_tensors, noted_tensors, published_tensors

__all__ = [
    "CATALOG",
    "FETCH_COMMAND",
    "METRIC_WEIGHTS",
    "Missing",
    "Present",
    "TensorsNote",
    "WeightFile",
    "activate",
    "canonical_name",
    "fetch",
    "file_digest",
    "note_tensors",
    "noted_tensors",
    "published_tensors",
    "status",
    "verify",
    "weights_home",
]
