"""Scores to statistics and verdicts: plain data in, plain data out, no torch."""

from tadsr.compare.alarms import Alarm, find_alarms
from tadsr.compare.claims import PopulationClaim, RecipeClaim, WeightsClaim
from tadsr.compare.comparison import compare, summarize
from tadsr.compare.disagreement import Disagreement, disagreements
from tadsr.compare.factorial import effects
from tadsr.compare.ranks import AverageRanks, RankCorrelation, average_ranks, rank_correlation
from tadsr.compare.results import Comparison, Effect, SeedMean, Summary, from_frame, to_frame
from tadsr.compare.verdicts import UNVERIFIED, VERDICTS

__all__ = [
    "UNVERIFIED",
    "VERDICTS",
    "Alarm",
    "AverageRanks",
    "Comparison",
    "Disagreement",
    "Effect",
    "PopulationClaim",
    "RankCorrelation",
    "RecipeClaim",
    "SeedMean",
    "Summary",
    "WeightsClaim",
    "average_ranks",
    "compare",
    "disagreements",
    "effects",
    "find_alarms",
    "from_frame",
    "rank_correlation",
    "summarize",
    "to_frame",
]
