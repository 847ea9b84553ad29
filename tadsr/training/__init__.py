"""The one training loop, what it asks of an objective, and the teacher's objective."""

from __future__ import annotations

from tadsr.training.loop import TrainingOutcome

__all__ = ["TrainingOutcome"]
