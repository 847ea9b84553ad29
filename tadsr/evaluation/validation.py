"""Scores of a model on validation images, one by one: what a search optimises."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tadsr.config.base import SCALE
from tadsr.config.metrics import MetricSpec
from tadsr.data.dataset import load_pairs
from tadsr.errors import DataError, TadsrError
from tadsr.evaluation.images import super_resolve
from tadsr.evaluation.measure import MetricLoader, Scorer
from tadsr.evaluation.upscalers import Upscaler
from tadsr.evaluation.workers import computing
from tadsr.metrics import Missing
from tadsr.metrics.backends import Metric

ImageScores = dict[str, dict[str, float]]
"""Metric to image to value."""


class ValidationScorer:
    """Scores upscalers on the images of one data set, as an evaluation would.

    Images are rounded to 8 bits before they are scored, and nothing is written. Metrics are loaded
    once, in the beginning.

    Args:
        dataset: folder of the validation images, which have references.
        scale: HR pixels per LR pixel.

    Raises:
        TadsrError: a metric whose weights are missing, with the command that gets them.
    """

    def __init__(
        self,
        dataset: Path,
        metrics: Sequence[MetricSpec],
        loader: MetricLoader,
        *,
        scale: int = SCALE,
        threads: int = 1,
    ) -> None:
        self.pairs = load_pairs(dataset)
        if not self.pairs:
            raise DataError(f"{dataset}: holds no validation image to score")
        self.scale = scale
        self.threads = threads
        loaded: dict[str, Metric] = {}
        for spec in metrics:
            metric = loader(spec)
            if isinstance(metric, Missing):
                raise TadsrError(f"metric '{spec.id}' of a search: {metric}")
            if not isinstance(metric, Metric):
                raise TadsrError(f"metric '{spec.id}' of a search: is one number per set")
            loaded[spec.id] = metric
        self.cards = {name: metric.card.to_dict() for name, metric in loaded.items()}
        self._scorer = Scorer(loaded)

    def __call__(self, upscaler: Upscaler) -> ImageScores:
        """The value of each metric on each image.

        Raises:
            DataError: NaN from the model, or an image on which a metric is not defined: a mean
                over other images cannot be compared.
        """
        found: ImageScores = {metric: {} for metric in self.cards}
        with computing(self.threads):
            for pair in self.pairs:
                sr = super_resolve(upscaler, pair, self.scale)
                values, skipped = self._scorer.score(sr, pair.hr_path, list(found), pair.name)
                if skipped:
                    raise DataError(
                        f"validation image '{pair.name}': {'; '.join(skipped.values())}"
                    )
                for metric, value in values.items():
                    found[metric][pair.name] = value
        return found
