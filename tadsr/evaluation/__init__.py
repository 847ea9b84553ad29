"""Upscalers, the images they make, and per-image scores with metric cards.

`tadsr.evaluation.scores` is free of torch, so that comparisons and reports start quickly; the
names below import it when they are asked for.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tadsr.evaluation.cost import measure_cost
    from tadsr.evaluation.finished import FinishedImages
    from tadsr.evaluation.foreign import CheckpointUpscaler
    from tadsr.evaluation.pairs import evaluate
    from tadsr.evaluation.runner import EvaluationOutcome, evaluate_dataset
    from tadsr.evaluation.upscalers import (
        Bicubic,
        PipelineUpscaler,
        Upscaler,
        published_upscaler,
    )

__all__ = [
    "Bicubic",
    "CheckpointUpscaler",
    "EvaluationOutcome",
    "FinishedImages",
    "PipelineUpscaler",
    "Upscaler",
    "evaluate",
    "evaluate_dataset",
    "measure_cost",
    "published_upscaler",
]

_HOMES = {
    "Bicubic": "upscalers",
    "CheckpointUpscaler": "foreign",
    "EvaluationOutcome": "runner",
    "FinishedImages": "finished",
    "PipelineUpscaler": "upscalers",
    "Upscaler": "upscalers",
    "evaluate": "pairs",
    "evaluate_dataset": "runner",
    "measure_cost": "cost",
    "published_upscaler": "upscalers",
}


def __getattr__(name: str) -> Any:
    """Import what is asked for."""
    if name in _HOMES:
        return getattr(import_module(f"tadsr.evaluation.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'tadsr.evaluation' has no attribute '{name}'")
