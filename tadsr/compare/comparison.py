"""Comparing variants with the reference, and summing each up by itself."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from tadsr.compare.claims import (
    RESAMPLES,
    Floats,
    WeightsClaim,
    population_claim,
    probability_of_improvement,
    t_interval,
    weights_claim,
    win_rate,
)
from tadsr.compare.pairing import Pair, pair_runs
from tadsr.compare.results import Comparison, SeedMean, Summary
from tadsr.compare.scores import SEEDLESS, Scores, read_scores
from tadsr.compare.verdicts import judge
from tadsr.errors import ConfigError, DataError, nearest
from tadsr.seeds import numpy_generator

if TYPE_CHECKING:
    import pandas as pd

Endpoint = tuple[str, str]


def compare(
    frame: pd.DataFrame,
    reference: str,
    primary: Iterable[Endpoint] = (),
    *,
    directions: Mapping[str, str] | None = None,
    diverged: Mapping[str, Collection[int]] | None = None,
    margins: Mapping[Endpoint, float] | None = None,
    declared_seeds: Mapping[str, Collection[int]] | None = None,
    unverified: Collection[str] = (),
    exploratory: Collection[str] = (),
    resamples: int = RESAMPLES,
) -> list[Comparison]:
    """Compare every other variant with `reference` at every (dataset, metric).

    Args:
        frame: columns variant, seed, dataset, image, metric, value; one row per score, in any
            order. An upscaler without seeds has seed NA or -1; a metric of a whole set (FID) has
            no image name.
        reference: the variant all others are compared with.
        primary: the declared (dataset, metric) endpoints. These times the trained variants (but
            for those of `exploratory`) are Holm's family and get verdicts; the rest is exploratory.
        directions: metric to `higher` or `lower`; what is not in it is looked up in
            `tadsr.config.metrics.METRICS`.
        diverged: variant to the seeds whose training diverged.
        margins: (dataset, metric) to the smallest difference worth knowing, in the metric's
            units; decides between `no difference shown` and `under-powered` (see
            `tadsr.compare.verdicts`).
        declared_seeds: trained variant to the seeds it was to have. A variant or seed of which
            no score came back still counts, in `seeds_total` and in Holm's family.
        unverified: metrics computed with weights that are not known to be the official ones. They
            get numbers, and no verdict.
        exploratory: variants that are no part of the family and get no verdict, such as the points
            of a grid that nobody listed.
        resamples: bootstrap resamples behind each weights claim.

    Returns:
        One `Comparison` per variant and (dataset, metric), sorted by dataset, metric, variant;
        without a number where the two have no common (seed, image) pair. Scores are paired by
        seed and image. Only images that every paired seed has in both count; the others are
        counted in `images_left_out` and named in `text`. An upscaler without seeds is paired
        with each of the other's seeds, a one-sample t in effect, and is never in the family.

    Raises:
        DataError: a broken frame (see `read_scores`) or an unknown `reference`.
        ConfigError: a primary metric with no known direction, or a bad value in `directions`.
    """
    scores = read_scores(frame, diverged or {}, declared_seeds or {})
    if reference not in {*frame["variant"], *scores.diverged}:
        raise DataError(
            f"reference '{reference}' has no scores; {nearest(reference, list(scores.seeds))}"
        )
    declared = {(dataset, metric) for dataset, metric in primary}
    higher = {
        endpoint: direction_of(endpoint[1], directions or {}, endpoint in declared)
        for endpoint in {*scores.blocks, *declared}
    }
    measured = [
        _measure(scores, endpoint, variant, reference, higher[endpoint], resamples)
        for endpoint in sorted(higher)
        for variant in scores.seeds
        if variant != reference
    ]
    marked = [
        replace(
            c,
            primary=c.variant not in exploratory and _in_family(c, declared),
            unverified=c.metric in unverified,
        )
        for c in measured
    ]
    return judge(marked, margins or {})


def summarize(
    frame: pd.DataFrame, *, diverged: Mapping[str, Collection[int]] | None = None
) -> list[Summary]:
    """Each variant's own mean at every (dataset, metric), with a t interval over its seeds.

    `frame` and `diverged` are those of `compare`. A variant with no score there gets a Summary
    without a number. Sorted by dataset, metric, variant.
    """
    scores = read_scores(frame, diverged or {})
    return [
        _summary(scores, endpoint, variant)
        for endpoint in scores.blocks
        for variant in scores.seeds
    ]


def direction_of(metric: str, directions: Mapping[str, str], needed: bool = False) -> bool | None:
    """Whether a higher `metric` is better; None if unknown and not `needed`."""
    from tadsr.config.metrics import METRICS

    if metric in directions:
        if directions[metric] not in ("higher", "lower"):
            raise ConfigError(
                f"directions: {metric} is '{directions[metric]}'; use 'higher' or 'lower'"
            )
        return directions[metric] == "higher"
    if metric in METRICS:
        return METRICS[metric].higher_is_better
    if needed:
        raise ConfigError(
            f"primary metric '{metric}' has no known direction; say 'higher' or 'lower' in "
            "`directions`"
        )
    return None


def _in_family(comparison: Comparison, declared: Collection[Endpoint]) -> bool:
    """Whether it is a trained variant at a declared endpoint."""
    endpoint = comparison.dataset, comparison.metric
    return comparison.seeds_total > 0 and endpoint in declared


def _measure(
    scores: Scores,
    endpoint: Endpoint,
    variant: str,
    reference: str,
    higher: bool | None,
    resamples: int,
) -> Comparison:
    """All numbers that need no other comparison; the family's come from `judge`."""
    pair = pair_runs(scores.runs(endpoint, variant), scores.runs(endpoint, reference))
    hole = Comparison(
        variant=variant,
        reference=reference,
        dataset=endpoint[0],
        metric=endpoint[1],
        higher_is_better=higher,
        seeds_total=len(scores.seeds[variant]),
        diverged=len(scores.diverged.get(variant, ())),
        reference_diverged=len(scores.diverged.get(reference, ())),
        images_left_out=pair.left_out,
    )
    if not pair.seeds:
        return hole
    per_image = scores.blocks[endpoint].per_image
    measured = _with_recipe(replace(hole, n_images=pair.ours.shape[1] * per_image), pair)
    if not per_image:
        return measured
    deltas = pair.ours - pair.theirs
    crossed = population_claim(deltas) if measured.sd is not None else None
    if crossed:
        measured = replace(
            measured,
            population_low=crossed.low,
            population_high=crossed.high,
            population_df=crossed.df,
        )
    return replace(
        measured,
        win_rate=None if higher is None else win_rate(deltas, higher),
        per_seed=_weights_claims(measured, pair.seeds, deltas, resamples),
    )


def _with_recipe(comparison: Comparison, pair: Pair) -> Comparison:
    """Add the means and the recipe claim."""
    ours, theirs = pair.ours.mean(axis=1), pair.theirs.mean(axis=1)
    higher, seeded = comparison.higher_is_better, pair.seeds != (SEEDLESS,)
    measured = replace(
        comparison,
        n_seeds=len(pair.seeds) if seeded else 0,
        distinct_seeds=pair.distinct if seeded else 0,
        mean=float(ours.mean()),
        reference_mean=float(theirs.mean()),
        probability_of_improvement=(
            None if higher is None else probability_of_improvement(ours, theirs, higher)
        ),
    )
    claim = pair.claim()
    return replace(
        measured,
        **claim.numbers(),
        effect_size=claim.delta / claim.sd if claim.sd else None,
    )


def _weights_claims(
    comparison: Comparison, seeds: tuple[int, ...], deltas: Floats, resamples: int
) -> tuple[WeightsClaim, ...]:
    """One claim per paired seed; the draws depend on the names and the seed alone."""
    names = comparison.dataset, comparison.metric, comparison.variant
    return tuple(
        weights_claim(row, seed, numpy_generator(0, *names, seed), resamples)
        for seed, row in zip(seeds, deltas, strict=True)
    )


def _summary(scores: Scores, endpoint: Endpoint, variant: str) -> Summary:
    """The variant's own level, on the images that all its seeds have."""
    runs = scores.runs(endpoint, variant)
    hole = Summary(
        variant=variant,
        dataset=endpoint[0],
        metric=endpoint[1],
        seeds_total=len(scores.seeds[variant]),
        diverged=len(scores.diverged.get(variant, ())),
    )
    if runs is None:
        return hole
    own = pair_runs(runs, runs)
    hole = replace(hole, images_left_out=own.left_out)
    if not own.seeds:
        return hole
    levels = own.ours.mean(axis=1)
    n_images = own.ours.shape[1] * scores.blocks[endpoint].per_image
    summary = replace(hole, mean=float(levels.mean()), n_images=n_images)
    if runs.seedless:
        return summary
    distinct = len(np.unique(own.ours, axis=0))
    per_seed = tuple(map(SeedMean, own.seeds, levels.tolist()))
    summary = replace(summary, n_seeds=len(per_seed), distinct_seeds=distinct, per_seed=per_seed)
    if distinct < 2:
        return summary
    mean, sd, half, _ = (float(part) for part in t_interval(levels))
    return replace(summary, low=mean - half, high=mean + half, sd=sd)
