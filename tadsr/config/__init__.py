"""Typed, frozen settings and how they are read; nothing here imports torch."""

from tadsr.config.data import DatasetSpec
from tadsr.config.experiment import Cell, Experiment
from tadsr.config.metrics import METRICS, MetricSpec

__all__ = ["METRICS", "Cell", "DatasetSpec", "Experiment", "MetricSpec"]
