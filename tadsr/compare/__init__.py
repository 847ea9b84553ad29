"""Scores to statistics and verdicts: plain data in, plain data out, no torch."""

from tadsr.compare.alarms import Alarm, find_alarms
from tadsr.compare.claims import PopulationClaim, RecipeClaim, WeightsClaim
from tadsr.compare.comparison import compare, summarize
from tadsr.compare.factorial import effects
from tadsr.compare.results import Comparison, Effect, SeedMean, Summary, from_frame, to_frame
from tadsr.compare.verdicts import UNVERIFIED, VERDICTS

__all__ = [
    "UNVERIFIED",
    "VERDICTS",
    "Alarm",
    "Comparison",
    "Effect",
    "PopulationClaim",
    "RecipeClaim",
    "SeedMean",
    "Summary",
    "WeightsClaim",
    "compare",
    "effects",
    "find_alarms",
    "from_frame",
    "summarize",
    "to_frame",
]
