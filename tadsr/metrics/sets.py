"""Metrics of a whole set of images: FID, by pyiqa's Inception network in clean-fid's manner.

Heusel et al., arXiv 1706.08500; resizing as in Parmar et al., arXiv 2104.11222 ("clean"). The
covariance of 2048 features is not of full rank below 2049 images, so values of small sets are
biased upwards: compare sets of equal size only.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from tadsr.config.metrics import MetricSpec
from tadsr.errors import DataError
from tadsr.metrics.arithmetic import exact_arithmetic
from tadsr.metrics.card import MetricCard

FEATURES = 2048
FEWEST = 2
"""Images below which there is no covariance."""

Features = NDArray[np.float64]


class InceptionStatistics(torch.nn.Module):
    """Inception features, and the statistics of a reference set where the metric has one.

    A module, so that the digest of its tensors in the metric card covers both.
    """

    mean: torch.Tensor | None
    covariance: torch.Tensor | None

    def __init__(self, inception: torch.nn.Module, statistics: Path | None) -> None:
        super().__init__()
        self.inception = inception
        moments: tuple[torch.Tensor | None, torch.Tensor | None] = None, None
        if statistics is not None:
            with np.load(statistics, allow_pickle=False) as stored:
                moments = torch.from_numpy(stored["mu"]), torch.from_numpy(stored["sigma"])
        self.register_buffer("mean", moments[0])
        self.register_buffer("covariance", moments[1])


class SetMetric:
    """A loaded metric of whole sets: `score` takes paths of 8-bit images."""

    def __init__(
        self, spec: MetricSpec, network: InceptionStatistics, card: MetricCard, device: torch.device
    ) -> None:
        self.spec = spec
        self.card = card
        self.device = device
        self._network = network

    def score(
        self,
        images: Sequence[Path],
        references: Sequence[Path] | None = None,
        progress: Callable[[int], None] = lambda done: None,
    ) -> float:
        """The distance between the images and the references, or the metric's own reference set.

        `progress` is called with the number of images looked at.

        Raises:
            DataError: fewer than two images, or no references where the metric needs them.
        """
        if self.spec.needs_reference and not references:
            raise DataError(f"{self.spec.id}: needs reference images, and there are none")
        for what, paths in (("image", images), ("reference", references or images)):
            if len(paths) < FEWEST:
                raise DataError(f"{self.spec.id}: {len(paths)} {what}(s); a set has two or more")
        mean, covariance = _moments(self.features(images, progress))
        if self.spec.needs_reference:
            other = _moments(self.features(references or (), lambda done: None))
        else:
            other = self._stored()
        return frechet_distance(mean, covariance, *other)

    def features(self, images: Sequence[Path], progress: Callable[[int], None]) -> Features:
        """(images, 2048) Inception features, one image at a time: memory does not grow."""
        from pyiqa.archs.fid_arch import ResizeDataset

        resized = ResizeDataset([str(path) for path in images], mode="clean")
        rows = []
        with exact_arithmetic(self.device):
            for done in range(len(images)):
                progress(done)
                # Levels to about [-1, 1], as the network was trained.
                pixels = (resized[done][None].to(self.device) - 128) / 128
                row = self._network.inception(pixels, False, False)[0]
                rows.append(row.flatten().double().cpu().numpy())
        return np.stack(rows)

    def _stored(self) -> tuple[Features, Features]:
        mean, covariance = self._network.mean, self._network.covariance
        if mean is None or covariance is None:
            raise DataError(f"{self.spec.id}: no statistics of a reference set were loaded")
        return mean.double().cpu().numpy(), covariance.double().cpu().numpy()


def frechet_distance(
    mean: Features, covariance: Features, other_mean: Features, other_covariance: Features
) -> float:
    """|m - m'|^2 + tr(C + C' - 2 (C C')^(1/2)) of two Gaussians.

    The trace of the root is the sum of the roots of the eigenvalues of C C', which are those of
    the symmetric C^(1/2) C' C^(1/2): no complex parts, no singular products.
    """
    values, vectors = np.linalg.eigh(covariance)
    root = (vectors * np.sqrt(np.clip(values, 0, None))) @ vectors.T
    product = np.linalg.eigvalsh(root @ other_covariance @ root)
    trace = np.trace(covariance) + np.trace(other_covariance)
    gap = mean - other_mean
    return float(gap @ gap + trace - 2 * np.sqrt(np.clip(product, 0, None)).sum())


def _moments(features: Features) -> tuple[Features, Features]:
    return features.mean(axis=0), np.cov(features, rowvar=False)
