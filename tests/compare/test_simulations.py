"""What the statistics promise, on simulated experiments: errors, coverage, power.

A run's score on an image: the image's own level, plus a seed effect (the whole run is better or
worse), plus noise of this run on this image. Recipes under the null share all distributions.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from tadsr.compare import compare
from tadsr.compare.claims import crossed_interval, t_interval, weights_claim
from tadsr.compare.verdicts import ALPHA, holm, power_of, seeds_needed, smallest_effect
from tadsr.seeds import numpy_generator

Frames = Callable[..., pd.DataFrame]


def within(share: float, low: float, high: float, repetitions: int) -> bool:
    """Whether a share agrees with a probability in [low, high], up to three standard errors."""
    slack = [3 * np.sqrt(p * (1 - p) / repetitions) for p in (low, high)]
    return low - slack[0] <= share <= high + slack[1]


@pytest.mark.parametrize("seeds", [3, 5])
def test_family_wise_error_of_a_family_that_shares_its_reference(seeds: int) -> None:
    """Four identical recipes and a reference, each with a seed effect of its own."""
    generator = np.random.default_rng(seeds)
    repetitions, variants, images = 4000, 4, 20
    runs = generator.normal(0, 0.1, (repetitions, variants + 1, seeds))
    runs += generator.normal(0, 0.3, (*runs.shape, images)).mean(axis=-1)
    p_values = t_interval(runs[:, 1:] - runs[:, :1])[3]
    false = np.mean([(holm(family) <= ALPHA).any() for family in p_values])
    assert false > 0.015
    assert within(false, 0, 0.05, repetitions)


@pytest.mark.slow
@pytest.mark.parametrize("seeds", [3, 6])
def test_compare_gives_false_words_in_at_most_five_percent(seeds: int) -> None:
    """Null experiments through the whole of `compare`: 3 variants at 2 endpoints, seed effects.

    The endpoints are correlated, as two metrics of one network are. A test over images would give
    false words in most of these experiments.
    """
    generator = np.random.default_rng(seeds)
    repetitions, images, names = 600, 4, ["a", "b", "c", "full"]
    keys = pd.MultiIndex.from_product(
        [names, range(seeds), ["lpips", "niqe"], [f"{image}.png" for image in range(images)]],
        names=["variant", "seed", "metric", "image"],
    ).to_frame(index=False).assign(dataset="photos")  # fmt: skip
    endpoints = [("photos", "lpips"), ("photos", "niqe")]
    false = 0
    for _ in range(repetitions):
        run = generator.normal(0, 0.1, (4, seeds, 1, 1))
        run = run + generator.normal(0, 0.1, (4, seeds, 2, 1))
        values = run + generator.normal(0, 0.05, (4, seeds, 2, images)) + np.arange(images)
        found = compare(keys.assign(value=values.ravel()), "full", endpoints, resamples=2)
        assert len(found) == found[0].family == 6
        false += any(c.verdict in ("better", "worse") for c in found)
    assert false > 0
    assert within(false / repetitions, 0, 0.05, repetitions)


@pytest.mark.parametrize("seeds, low", [(3, 0.91), (5, 0.93), (10, 0.93)])
def test_the_recipe_interval_covers_on_these_images(seeds: int, low: float) -> None:
    generator = np.random.default_rng(seeds)
    repetitions, images = 6000, 20
    deltas = generator.normal(0, 0.1, (repetitions, seeds))
    deltas += generator.normal(0, 0.3, (repetitions, seeds, images)).mean(axis=2)
    mean, _, half, _ = t_interval(deltas)
    assert within(np.mean(np.abs(mean) <= half), low, 0.97, repetitions)
    assert np.mean(np.abs(mean) <= half) == pytest.approx(0.95, abs=0.012)  # four standard errors


def population_coverage(seeds: int, images: int, seed_sd: float, image_sd: float) -> float:
    """Of the crossed interval, with noise of 0.3 on each image."""
    generator = numpy_generator(0, "population", seeds, images, f"{seed_sd}", f"{image_sd}")
    blocks = 8
    covered = []
    for _ in range(blocks):  # bounds the memory
        shape = (500, seeds, images)
        block = generator.normal(0, 0.3, shape) + generator.normal(0, seed_sd, (500, seeds, 1))
        block += generator.normal(0, image_sd, (500, 1, images))
        mean, half, _ = crossed_interval(block)
        covered.append(np.mean(np.abs(mean) <= half))
    return float(np.mean(covered))


@pytest.mark.parametrize("seeds, low", [(3, 0.91), (5, 0.93), (10, 0.93)])
@pytest.mark.parametrize(
    "images, seed_sd, image_sd",
    [(20, 0.3, 0.0), (20, 0.3, 0.3), (20, 0.1, 0.3), (100, 0.05, 0.1), (100, 0.1, 0.0)],
)
def test_the_population_interval_covers_over_images_too(
    seeds: int, low: float, images: int, seed_sd: float, image_sd: float
) -> None:
    assert within(population_coverage(seeds, images, seed_sd, image_sd), low, 0.97, 4000)


@pytest.mark.parametrize("seeds, images", [(3, 5), (5, 5), (5, 100)])
def test_without_any_effect_the_population_interval_is_too_wide(seeds: int, images: int) -> None:
    assert within(population_coverage(seeds, images, 0.0, 0.0), 0.96, 0.995, 4000)


@pytest.mark.parametrize("images, low, high", [(4, 0.85, 0.9), (10, 0.91, 0.95), (32, 0.94, 0.96)])
def test_the_bootstrap_over_images_covers_these_weights(
    images: int, low: float, high: float
) -> None:
    generator = np.random.default_rng(images)
    repetitions = 1500
    claims = [weights_claim(generator.normal(0, 1, images), 0, generator, 1000)
              for _ in range(repetitions)]  # fmt: skip
    covered = np.mean([c.low <= 0 <= c.high for c in claims])  # type: ignore[operator]
    assert within(float(covered), low, high, repetitions)


def rejections(seeds: int, effect: float, level: float, repetitions: int = 8000) -> float:
    """Share of simulated experiments that show a true `effect` (in sds), with its sign."""
    generator = numpy_generator(0, "power", seeds, f"{effect:.6f}", f"{level:.6f}")
    mean, _, _, p_value = t_interval(generator.normal(effect, 1.0, (repetitions, seeds)))
    return float(np.mean((p_value <= level) & (mean > 0)))


@pytest.mark.parametrize("level", [0.05, 0.05 / 6])
def test_the_power_curve_rises_with_effect_and_seeds_as_theory_says(level: float) -> None:
    seeds, effects = (3, 5, 8, 12), (0.5, 1.0, 2.0, 4.0)
    curve = np.array([[rejections(n, effect, level) for effect in effects] for n in seeds])
    theory = np.array([[power_of(n, effect, level) for effect in effects] for n in seeds])
    assert curve == pytest.approx(theory, abs=4 * np.sqrt(0.25 / 8000))
    assert (np.diff(theory, axis=0) > 0).all()
    assert (np.diff(theory, axis=1) > 0).all()
    assert (np.diff(curve, axis=0) >= 0).all()
    assert (np.diff(curve, axis=1) >= 0).all()


@pytest.mark.parametrize("family", [1, 4, 13])
@pytest.mark.parametrize("seeds", [3, 5, 10])
def test_the_smallest_effect_is_shown_in_four_of_five_experiments(seeds: int, family: int) -> None:
    level = ALPHA / family
    share = rejections(seeds, smallest_effect(seeds, level), level)
    assert share == pytest.approx(0.8, abs=4 * np.sqrt(0.16 / 8000))


@pytest.mark.parametrize("family", [1, 13])
@pytest.mark.parametrize("effect", [0.7, 1.2, 2.0])
def test_so_many_seeds_do_and_one_fewer_does_not(effect: float, family: int) -> None:
    level = ALPHA / family
    enough = seeds_needed(effect, level)
    assert enough is not None
    slack = 4 * np.sqrt(0.16 / 8000)
    assert rejections(enough, effect, level) > 0.8 - slack
    assert rejections(enough - 1, effect, level) < 0.8 + slack
    assert power_of(enough - 1, effect, level) < 0.8 <= power_of(enough, effect, level)


@pytest.mark.parametrize("seeds", [3, 5])
def test_intervals_of_compare_cover_under_seed_effects(score_frame: Frames, seeds: int) -> None:
    """400 null data sets through the whole of `compare`; an image-level test would fail this."""
    generator = np.random.default_rng(seeds)
    frame = pd.concat(
        score_frame(
            {
                name: generator.normal(0, 0.2, (seeds, 1)) + generator.normal(0, 0.3, (seeds, 3))
                for name in ("full", "other")
            },
            dataset=f"set{number}",
        )
        for number in range(400)
    )
    found = compare(frame, "full", resamples=10)
    covered = np.mean([c.low <= 0 <= c.high for c in found])  # type: ignore[operator]
    assert covered == pytest.approx(0.95, abs=4 * np.sqrt(0.05 * 0.95 / 400))
