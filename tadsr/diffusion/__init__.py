"""Residual-shifting diffusion: its schedule, one step, and the chain of steps."""

from __future__ import annotations

from tadsr.diffusion.sampling import ChainStep, encoder_features, predict_x0, sample, trajectory
from tadsr.diffusion.scheduler import ResShiftScheduler, ResShiftStep

__all__ = [
    "ChainStep",
    "ResShiftScheduler",
    "ResShiftStep",
    "encoder_features",
    "predict_x0",
    "sample",
    "trajectory",
]
