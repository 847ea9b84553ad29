"""The three claims a table of scores can make, each with the interval that belongs to it.

1. `recipe_claim`: *this recipe, on these images*. The replicate is the training seed.
2. `population_claim`: *this recipe, on images like these*. Seeds and images are both samples.
3. `weights_claim`: *these weights, on images like these*. One trained network; images are samples.

They answer different questions and are never mixed. All work on plain arrays of differences
(variant minus reference); S counts seeds, N images. SciPy is imported when first needed.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

CONFIDENCE = 0.95
"""Coverage of every interval in this package."""
MAX_SIGN_FLIP_SEEDS = 16
"""Above this many seeds the 2^S sign vectors are not listed; a sample of them is refused."""
RESAMPLES = 2000
"""Bootstrap resamples per network."""
_CHUNK = 2**22


@dataclass(frozen=True)
class RecipeClaim:
    """Recipe on these images. Without two seeds there is a `delta` and nothing else."""

    delta: float
    low: float | None
    high: float | None
    p_value: float | None
    df: int
    """Degrees of freedom of the t interval: S - 1."""
    sd: float | None
    """Standard deviation of the per-seed differences."""
    sign_flip_p: float | None
    """Exact two-sided sign-flip p; None below two or above `MAX_SIGN_FLIP_SEEDS` seeds."""
    n_seeds: int

    def numbers(self) -> dict[str, Any]:
        """What records of the claim carry, by the names they share."""
        found = asdict(self)
        del found["n_seeds"]  # a record says 0 where there are no seeds to speak of
        return found


@dataclass(frozen=True)
class PopulationClaim:
    """Recipe on images like these: crossed random effects of seed and image."""

    delta: float
    low: float
    high: float
    df: float
    """Satterthwaite's degrees of freedom; need not be whole."""


@dataclass(frozen=True)
class WeightsClaim:
    """These weights on images like these: one seed, bootstrap over images."""

    seed: int
    delta: float
    low: float | None
    high: float | None


@dataclass(frozen=True)
class MeanSquares:
    """Of the two-way layout seeds x images without replication; each of shape (...)."""

    seed: Floats
    image: Floats
    rest: Floats


def t_quantile(df: Any, confidence: float = CONFIDENCE) -> Any:
    """Student's t quantile that leaves (1 - confidence)/2 above; `df` a number or an array."""
    from scipy.special import stdtrit

    return stdtrit(df, 0.5 + confidence / 2)


def t_interval(samples: Floats) -> tuple[Floats, Floats, Floats, Floats]:
    """One-sample Student t over the last axis of `samples` (..., S), S >= 2.

    Returns (mean, sd, half width of the interval, two-sided p against 0), each of shape (...).
    Samples that are all equal have a half width of 0 and p = 1 if they are zero, else p = 0.
    """
    from scipy.special import stdtr

    count = samples.shape[-1]
    mean, sd = samples.mean(axis=-1), samples.std(axis=-1, ddof=1)
    constant = np.ptp(samples, axis=-1) == 0
    sd = np.where(constant, 0.0, sd)
    error = sd / np.sqrt(count)
    with np.errstate(divide="ignore", invalid="ignore"):
        p_value = 2 * stdtr(count - 1, -np.abs(mean / error))
    p_value = np.where(constant, np.where(mean == 0, 1.0, 0.0), p_value)
    return mean, sd, t_quantile(count - 1) * error, p_value


@lru_cache(maxsize=MAX_SIGN_FLIP_SEEDS + 1)
def _sign_vectors(count: int) -> NDArray[np.int8]:
    """Half of all sign vectors (2^(count-1), count): the first sign is +, by symmetry."""
    numbers = np.arange(2 ** (count - 1))[:, None]
    bits = (numbers >> np.arange(count - 1)) & 1
    signs = np.hstack([np.zeros_like(numbers), bits])
    return (1 - 2 * signs).astype(np.int8)


def sign_flip_p(deltas: Floats) -> float | None:
    """Exact two-sided sign-flip (Fisher's randomisation) p of `deltas` (S,) against 0.

    The share of all 2^S sign vectors whose sum is at least as far from 0 as the observed one, so
    never below 2^(1-S): 3 seeds cannot go below 0.25, 6 seeds reach 0.031.
    """
    count = len(deltas)
    if not 2 <= count <= MAX_SIGN_FLIP_SEEDS:
        return None
    sums = np.abs(_sign_vectors(count) @ deltas)
    tolerance = 1e-12 * float(np.abs(deltas).sum())  # equal sums in another order of addition
    return float(np.mean(sums >= abs(float(deltas.sum())) - tolerance))


def recipe_claim(deltas: Floats) -> RecipeClaim:
    """Claim 1 from the per-seed mean differences `deltas` (S,), S >= 1: paired Student t.

    In simulation the t interval covers 93 to 96.5 % from 3 seeds on, where a bootstrap over 3
    seeds covers 75 %. One seed says nothing about a recipe, so it gets no interval.
    """
    count = len(deltas)
    if count < 2:
        return RecipeClaim(float(deltas[0]), None, None, None, 0, None, None, count)
    mean, sd, half, p_value = (float(part) for part in t_interval(deltas))
    return RecipeClaim(
        delta=mean,
        low=mean - half,
        high=mean + half,
        p_value=p_value,
        df=count - 1,
        sd=sd,
        sign_flip_p=sign_flip_p(deltas),
        n_seeds=count,
    )


def mean_squares(block: Floats) -> MeanSquares:
    """Mean squares of seeds, images and their interaction in `block` (..., S, N), S, N >= 2."""
    seeds, images = block.shape[-2:]
    centred = block - block.mean(axis=(-2, -1))[..., None, None]
    seed, image = centred.mean(axis=-1), centred.mean(axis=-2)
    residual = centred - seed[..., :, None] - image[..., None, :]
    return MeanSquares(
        seed=images * (seed**2).sum(axis=-1) / (seeds - 1),
        image=seeds * (image**2).sum(axis=-1) / (images - 1),
        rest=(residual**2).sum(axis=(-2, -1)) / ((seeds - 1) * (images - 1)),
    )


def crossed_interval(block: Floats) -> tuple[Floats, Floats, Floats]:
    """Crossed random-effects interval of `block` (..., S, N), S >= 2 and N >= 2.

    Returns (mean, half width, df), each of shape (...). With the mean squares of the two-way
    layout without replication, variance = (MS_seed + MS_image - MS_residual) / (S N), floored at
    max(MS_seed, MS_image) / (S N); the degrees of freedom are Satterthwaite's (Biometrics
    Bulletin 2, 1946), or those of the larger mean square where the floor holds. Where neither
    seeds nor images have an effect of their own, the floor makes it too wide: 97 to 99 %.
    """
    seeds, images = block.shape[-2:]
    mean, ms = block.mean(axis=(-2, -1)), mean_squares(block)
    df_seed, df_image, df_rest = seeds - 1, images - 1, (seeds - 1) * (images - 1)
    total, floor = ms.seed + ms.image - ms.rest, np.maximum(ms.seed, ms.image)
    spread = ms.seed**2 / df_seed + ms.image**2 / df_image + ms.rest**2 / df_rest
    with np.errstate(divide="ignore", invalid="ignore"):
        satterthwaite = np.where(spread > 0, total**2 / spread, df_seed)
    df = np.where(total > floor, satterthwaite, np.where(ms.seed >= ms.image, df_seed, df_image))
    error = np.sqrt(np.maximum(total, floor) / (seeds * images))
    return mean, t_quantile(df) * error, df


def population_claim(block: Floats) -> PopulationClaim | None:
    """Claim 2 from the differences `block` (S, N); None with fewer than 2 seeds or 2 images."""
    if min(block.shape) < 2:
        return None
    mean, half, df = (float(part) for part in crossed_interval(block))
    return PopulationClaim(mean, mean - half, mean + half, df)


def weights_claim(
    deltas: Floats, seed: int, generator: np.random.Generator, resamples: int = RESAMPLES
) -> WeightsClaim:
    """Claim 3 from one network's per-image differences `deltas` (N,): bootstrap over images.

    Percentiles of N images are too close by sqrt(1 - 1/N), and by the normal instead of the t
    quantile; so those further out are taken that would give Student's t on normal data (expanded
    percentiles: Hesterberg, American Statistician 69, 2015). Of normal differences the interval
    covers 87 % with 4 images, 93 % with 10, 95 % from 20 on; plain percentiles 80, 89, 94 %.
    `generator` decides the draws, so equal generators give equal intervals. One image gives no
    interval. Says nothing about other trainings of the same recipe.
    """
    count = len(deltas)
    if count < 2:
        return WeightsClaim(seed, float(deltas.mean()), None, None)
    step = max(1, _CHUNK // count)  # bounds the memory of many images
    means = [
        deltas[generator.integers(0, count, size=(min(step, resamples - start), count))].mean(1)
        for start in range(0, resamples, step)
    ]
    tail = expanded_tail(count)
    low, high = np.quantile(np.concatenate(means), [tail, 1 - tail])
    return WeightsClaim(seed, float(deltas.mean()), float(low), float(high))


def expanded_tail(count: int) -> float:
    """What an expanded percentile interval of `count` >= 2 images leaves out on each side."""
    from scipy.special import ndtr

    return float(ndtr(-np.sqrt(count / (count - 1)) * t_quantile(count - 1)))


def win_rate(deltas: Floats, higher_is_better: bool) -> float:
    """Share of the differences that are improvements; a tie counts one half."""
    gains = deltas if higher_is_better else -deltas
    return float(np.mean((gains > 0) + 0.5 * (gains == 0)))


def probability_of_improvement(variant: Floats, reference: Floats, higher_is_better: bool) -> float:
    """Chance that a run of the variant beats a run of the reference (Mann-Whitney's U / S^2).

    Per-seed means `variant` (S,) and `reference` (S,), over all S x S pairs of runs.
    """
    return win_rate(variant[:, None] - reference[None, :], higher_is_better)
