"""`compare` and `summarize` from frame to words."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from tadsr.compare import (
    UNVERIFIED,
    Comparison,
    Summary,
    compare,
    find_alarms,
    from_frame,
    summarize,
    to_frame,
)
from tadsr.compare.claims import weights_claim
from tadsr.compare.verdicts import smallest_effect
from tadsr.config.metrics import METRICS
from tadsr.errors import ConfigError, DataError
from tadsr.seeds import numpy_generator

Frames = Callable[..., pd.DataFrame]
LPIPS = [("photos", "lpips")]


def _blocks(shift: float, seeds: int = 5, images: int = 8) -> dict[str, np.ndarray]:
    """Reference and a variant that differs by `shift`, with image and seed effects."""
    generator = np.random.default_rng(7)
    image = generator.normal(0.3, 0.1, images)
    return {
        name: image + change + generator.normal(0, 0.02, (seeds, 1))
        + generator.normal(0, 0.01, (seeds, images))
        for name, change in (("full", 0.0), ("other", shift))
    }  # fmt: skip


def test_recipe_numbers_are_scipy_s_paired_t(score_frame: Frames) -> None:
    blocks = _blocks(0.02)
    (found,) = compare(score_frame(blocks), "full")
    ours, theirs = blocks["other"].mean(axis=1), blocks["full"].mean(axis=1)
    test = stats.ttest_rel(ours, theirs)
    interval = test.confidence_interval(0.95)
    assert (found.variant, found.dataset, found.metric) == ("other", "photos", "lpips")
    assert (found.n_seeds, found.n_images, found.df) == (5, 8, 4)
    assert found.p_value == pytest.approx(test.pvalue)
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high))
    assert (found.mean, found.reference_mean) == pytest.approx((ours.mean(), theirs.mean()))
    assert found.effect_size == pytest.approx(test.statistic / np.sqrt(5))
    assert [claim.seed for claim in found.per_seed] == [0, 1, 2, 3, 4]
    assert [claim.delta for claim in found.per_seed] == pytest.approx(ours - theirs)
    assert all(claim.low < claim.delta < claim.high for claim in found.per_seed)  # type: ignore[operator]


def test_swapping_variant_and_reference_flips_the_sign(score_frame: Frames) -> None:
    frame = score_frame(_blocks(0.03))
    (one,) = compare(frame, "full", LPIPS)
    (two,) = compare(frame, "other", LPIPS)
    assert (one.delta, one.low, one.high) == pytest.approx((-two.delta, -two.high, -two.low))  # type: ignore[operator]
    assert one.population_low == pytest.approx(-two.population_high)  # type: ignore[operator]
    assert (one.p_value, one.sign_flip_p) == pytest.approx((two.p_value, two.sign_flip_p))
    assert one.win_rate == pytest.approx(1 - two.win_rate)  # type: ignore[operator]
    assert {one.verdict, two.verdict} == {"better", "worse"}


def test_order_of_rows_and_repetition_change_nothing(score_frame: Frames) -> None:
    frame = pd.concat([score_frame(_blocks(0.0)), score_frame(_blocks(0.1), metric="psnr")])
    found = compare(frame, "full", LPIPS)
    assert found == compare(frame.sample(frac=1.0, random_state=3), "full", LPIPS)
    assert summarize(frame) == summarize(frame.iloc[::-1])


@pytest.mark.parametrize(
    "metric, shift, verdict",
    [("lpips", -0.1, "better"), ("lpips", 0.1, "worse"), ("psnr", 0.1, "better"),
     ("psnr", -0.1, "worse")],
)  # fmt: skip
def test_words_know_the_direction(
    score_frame: Frames, metric: str, shift: float, verdict: str
) -> None:
    (found,) = compare(score_frame(_blocks(shift), metric=metric), "full", [("photos", metric)])
    assert found.verdict == verdict
    assert found.text.startswith(f"other is {verdict} than full on photos by {metric}")
    assert found.win_rate == (1.0 if verdict == "better" else 0.0)


def test_directions_are_given_or_looked_up(score_frame: Frames) -> None:
    frame = score_frame(_blocks(0.1), metric="mine")
    endpoint = [("photos", "mine")]
    (found,) = compare(frame, "full", endpoint, directions={"mine": "lower"})
    assert found.verdict == "worse"
    (found,) = compare(frame, "full")
    assert (found.higher_is_better, found.win_rate, found.verdict) == (None, None, None)
    with pytest.raises(ConfigError, match="'mine' has no known direction"):
        compare(frame, "full", endpoint)
    with pytest.raises(ConfigError, match="use 'higher' or 'lower'"):
        compare(frame, "full", endpoint, directions={"mine": "up"})


def test_null_is_no_difference_shown_or_under_powered(score_frame: Frames) -> None:
    generator = np.random.default_rng(2)
    deltas = generator.normal(0, 0.01, (6, 4))
    deltas -= deltas.mean()
    level = _blocks(0.0, seeds=6, images=4)["full"]
    frame = score_frame({"full": level, "other": level + deltas})
    (found,) = compare(frame, "full", LPIPS)
    assert found.verdict == "no difference shown"
    assert f"differences from {found.smallest_effect:.4g} on with 80 % power" in found.text
    (found,) = compare(frame, "full", LPIPS, margins={LPIPS[0]: 1e-4})
    assert found.verdict == "under-powered"
    (found,) = compare(frame, "full", LPIPS, margins={("elsewhere", "lpips"): 1e-4})
    assert found.verdict == "no difference shown"
    (found,) = compare(frame[frame["seed"] < 4], "full", LPIPS)
    assert found.verdict == "under-powered"
    assert found.seeds_needed is None or found.seeds_needed > 4


@pytest.mark.parametrize("seeds", [1, 2])
def test_too_few_seeds_are_under_powered_whatever_the_difference(
    score_frame: Frames, seeds: int
) -> None:
    (found,) = compare(score_frame(_blocks(10.0, seeds=seeds)), "full", LPIPS)
    assert (found.verdict, found.n_seeds) == ("under-powered", seeds)
    assert (found.low is None) == (seeds == 1)
    assert found.population_low is None or seeds == 2
    assert found.per_seed[0].low is not None


def test_only_the_declared_family_is_adjusted_and_named(score_frame: Frames) -> None:
    blocks = _blocks(-0.1) | {"third": _blocks(0.0)["other"] + 1e-3}
    frame = pd.concat([score_frame(blocks), score_frame(blocks, metric="psnr")])
    found = {(c.metric, c.variant): c for c in compare(frame, "full", LPIPS)}
    primary = [found["lpips", "other"], found["lpips", "third"]]
    assert [c.family for c in primary] == [2, 2]
    assert primary[0].p_adjusted == pytest.approx(2 * primary[0].p_value)  # type: ignore[operator]
    for name in ("other", "third"):
        extra = found["psnr", name]
        assert (extra.verdict, extra.p_adjusted, extra.family, extra.primary) == (
            None,
            None,
            0,
            False,
        )
        assert extra.p_value is not None
        assert extra.text.startswith("exploratory")


def test_exploratory_variants_are_no_part_of_the_family(score_frame: Frames) -> None:
    blocks = _blocks(-0.1) | {f"point-{n}": _blocks(-0.1)["other"] + n / 99 for n in (1, 2, 3)}
    points = ["point-1", "point-2", "point-3"]
    declared = {"lost-point": range(5)}
    found = compare(score_frame(blocks), "full", LPIPS, exploratory=[*points, "lost-point"],
                    declared_seeds=declared)  # fmt: skip
    alone = compare(score_frame(_blocks(-0.1)), "full", LPIPS)
    assert [c for c in found if c.primary] == alone
    assert alone[0].family == 1
    for c in found:
        if c.variant != "other":
            assert (c.verdict, c.p_adjusted, c.family, c.margin) == (None, None, 0, None)
    assert all(c.low is not None for c in found if c.variant in points)
    assert {c.family for c in compare(score_frame(blocks), "full", LPIPS)} == {4}


@pytest.mark.parametrize("margin", [None, 0.01, 0.03])
def test_with_so_many_seeds_it_would_not_be_under_powered(
    score_frame: Frames, margin: float | None
) -> None:
    margins = {} if margin is None else {LPIPS[0]: margin}
    blocks = _blocks(0.0, seeds=3)
    (few,) = compare(score_frame(blocks), "full", LPIPS, margins=margins)
    assert few.verdict == "under-powered"
    assert few.sd is not None
    expected = 2 * few.sd if margin is None else margin
    assert few.margin == pytest.approx(expected)
    count = few.seeds_for_margin
    assert count is not None
    assert smallest_effect(count, 0.05) * few.sd <= expected
    assert smallest_effect(count - 1, 0.05) * few.sd > expected
    assert f"{count} seeds would show the margin of {expected:.4g}" in few.text
    # The same scatter with so many seeds, and with one fewer.
    for seeds, verdict in ((count, "no difference shown"), (count - 1, "under-powered")):
        deltas = np.random.default_rng(1).normal(size=(seeds, 1))
        deltas = (deltas - deltas.mean()) / deltas.std(ddof=1) * few.sd
        level = np.random.default_rng(2).normal(size=(seeds, 4))
        frame = score_frame({"full": level, "other": level + deltas})
        (found,) = compare(frame, "full", LPIPS, margins=margins)
        assert found.sd == pytest.approx(few.sd)
        assert found.verdict == verdict


def test_smallest_effect_is_at_the_level_holm_stopped_at(score_frame: Frames) -> None:
    generator = np.random.default_rng(4)
    names = ["a", "b", "c"]
    blocks = {name: generator.normal(0, 0.1, (5, 3)) for name in ("full", *names)}
    for shown in range(3):
        if shown:
            blocks[names[shown - 1]] = blocks[names[shown - 1]] - 50.0
        found = compare(score_frame(blocks), "full", LPIPS, resamples=10)
        assert [c.verdict for c in found].count("better") == shown
        for c in found:
            expected = smallest_effect(5, 0.05 / (3 - shown)) * c.sd  # type: ignore[operator]
            assert c.smallest_effect == pytest.approx(expected)
    exploratory = compare(score_frame(blocks), "full", resamples=10)[0]
    assert exploratory.smallest_effect == pytest.approx(smallest_effect(5, 0.05) * exploratory.sd)  # type: ignore[operator]


def test_bootstrap_draws_depend_on_the_names_and_the_seed_alone(score_frame: Frames) -> None:
    blocks = _blocks(0.0)
    (found,) = compare(score_frame(blocks), "full", resamples=50)
    for seed, claim in enumerate(found.per_seed):
        generator = numpy_generator(0, "photos", "lpips", "other", seed)
        deltas = blocks["other"][seed] - blocks["full"][seed]
        assert claim == weights_claim(deltas, seed, generator, 50)


def test_what_was_declared_counts_even_if_it_did_not_come_back(score_frame: Frames) -> None:
    frame = score_frame(_blocks(-0.1))
    declared = [*LPIPS, ("photos", "musiq")]
    missing, found = sorted(compare(frame, "full", declared), key=lambda c: c.n_seeds)
    assert found.family == missing.family == 2
    assert (missing.delta, missing.mean, missing.p_adjusted, missing.n_seeds) == (
        None,
        None,
        None,
        0,
    )
    assert (missing.metric, missing.verdict) == ("musiq", "under-powered")


def test_a_missing_image_is_left_out_of_all_seeds_and_said(score_frame: Frames) -> None:
    frame = score_frame(_blocks(0.02))
    gone = (frame["variant"] == "other") & (frame["seed"] == 3) & (frame["image"] == "0002.png")
    (found,) = compare(frame[~gone], "full")
    (clean,) = compare(frame[frame["image"] != "0002.png"], "full")
    assert (found.n_images, found.images_left_out) == (7, 1)
    assert "1 image left out because a seed lacks" in found.text
    assert replace(found, images_left_out=0, text=clean.text) == clean
    own = {s.variant: s for s in summarize(frame[~gone])}
    assert (own["other"].n_images, own["other"].images_left_out) == (7, 1)
    assert own["full"].n_images == 8


def test_only_common_seeds_are_paired(score_frame: Frames) -> None:
    frame = score_frame(_blocks(0.02))
    found = compare(frame[(frame["variant"] == "full") | (frame["seed"] >= 2)], "full")[0]
    (clean,) = compare(frame[frame["seed"] >= 2], "full")
    assert found == clean
    assert "not paired" not in found.text
    found = compare(frame[(frame["variant"] == "other") | (frame["seed"] >= 2)], "full")[0]
    assert "3 paired seeds" in found.text
    assert "2 seeds of other not paired" in found.text
    apart = frame[(frame["variant"] == "full") == (frame["seed"] < 2)]
    (found,) = compare(apart, "full", LPIPS)
    assert (found.delta, found.n_seeds, found.verdict) == (None, 0, "under-powered")


def test_an_upscaler_without_seeds_gives_a_one_sample_t(score_frame: Frames) -> None:
    blocks = _blocks(0.0) | {"bicubic": np.linspace(0.3, 0.5, 8)}
    frame = score_frame(blocks)
    found = {c.variant: c for c in compare(frame, "full", LPIPS)}
    deltas = blocks["bicubic"].mean() - blocks["full"].mean(axis=1)
    test = stats.ttest_1samp(deltas, 0.0)
    bicubic = found["bicubic"]
    assert bicubic.p_value == pytest.approx(test.pvalue)
    assert (bicubic.n_seeds, bicubic.seeds_total, bicubic.primary) == (5, 0, False)
    assert bicubic.verdict is None
    assert "bicubic has no seeds, so only those of full vary" in bicubic.text
    assert found["other"].family == 1
    numbered = frame.assign(seed=frame["seed"].fillna(-1).astype(float))
    assert compare(numbered, "full", LPIPS) == list(found.values())
    own = {s.variant: s for s in summarize(frame)}["bicubic"]
    assert own.mean == pytest.approx(blocks["bicubic"].mean())
    assert (own.low, own.sd, own.n_seeds, own.per_seed) == (None, None, 0, ())


def test_a_reference_without_seeds_keeps_the_words(score_frame: Frames) -> None:
    teacher = np.linspace(0.3, 0.5, 8)
    blocks = {"teacher-15": teacher, "bicubic": teacher + 0.1, "full": _blocks(0.0)["full"] - 0.5}
    found = {c.variant: c for c in compare(score_frame(blocks), "teacher-15", LPIPS)}
    assert found["full"].verdict == "better"
    bicubic = found["bicubic"]
    assert bicubic.delta == pytest.approx(0.1)
    assert (bicubic.n_seeds, bicubic.low, bicubic.verdict) == (0, None, None)
    assert bicubic.per_seed[0].low == pytest.approx(0.1)


def test_a_metric_of_the_whole_set_has_seed_statistics_only(score_frame: Frames) -> None:
    blocks = {name: block[:, :1] for name, block in _blocks(-0.2).items()}
    frame = score_frame(blocks, metric="fid")
    for image in (None, ""):
        (found,) = compare(
            frame.assign(image=image), "full", [("photos", "fid")], directions={"fid": "lower"}
        )
        assert found.verdict == "better"
        assert (found.n_seeds, found.n_images, found.per_seed) == (5, 0, ())
        assert (found.population_low, found.win_rate) == (None, None)
        assert found.low is not None


def test_an_image_level_interval_of_a_set_metric_is_nowhere(score_frame: Frames) -> None:
    """Neither where it is exploratory, nor beside per-image metrics, nor in the table of means."""
    fid = score_frame({name: block[:, :1] for name, block in _blocks(0.1).items()}, metric="fid")
    frame = pd.concat([fid.assign(image=None), score_frame(_blocks(0.1))])
    by_metric = {c.metric: c for c in compare(frame, "full", LPIPS)}
    fid_found, lpips = by_metric["fid"], by_metric["lpips"]
    assert (lpips.n_images > 1, len(lpips.per_seed), lpips.population_low is None) == (
        True, 5, False)  # fmt: skip
    image_level = ("population_low", "population_high", "population_df", "win_rate")
    assert [getattr(fid_found, name) for name in image_level] == [None] * 4
    assert (fid_found.per_seed, fid_found.n_images, fid_found.n_seeds) == ((), 0, 5)
    assert fid_found.low is not None, "over seeds there is one"
    assert "image" not in fid_found.text
    means = {s.metric: s for s in summarize(frame) if s.variant == "other"}
    assert (means["fid"].n_images, means["fid"].n_seeds) == (0, 5)
    alone = fid.assign(image=None, seed=None).drop_duplicates("variant").astype({"seed": "Int64"})
    (one,) = compare(alone, "full", [("photos", "fid")], directions={"fid": "lower"})
    assert (one.low, one.p_value, one.per_seed, one.population_low) == (None, None, (), None)


def test_unverified_weights_get_numbers_and_no_verdict(score_frame: Frames) -> None:
    frame = pd.concat([score_frame(_blocks(-0.1)), score_frame(_blocks(0.1), metric="psnr")])
    both = [("photos", "lpips"), ("photos", "psnr")]
    fair = {c.metric: c for c in compare(frame, "full", both)}
    found = {c.metric: c for c in compare(frame, "full", both, unverified=["lpips"])}
    assert (fair["lpips"].verdict, fair["psnr"].verdict) == ("better", "better")
    lpips = found["lpips"]
    assert (lpips.verdict, lpips.p_adjusted, lpips.unverified) == (UNVERIFIED, None, True)
    assert (lpips.delta, lpips.low, lpips.family) == (fair["lpips"].delta, fair["lpips"].low, 2)
    assert lpips.text.startswith("no verdict on other against full")
    assert "unverified: computed with weights that are not known" in lpips.text
    # What was declared counts: psnr's p is that of a family of two, the other one of p = 1.
    assert (found["psnr"].verdict, found["psnr"].family) == ("better", 2)
    assert found["psnr"].p_adjusted == pytest.approx(2 * (found["psnr"].p_value or 0))
    assert from_frame(to_frame(list(found.values()))) == list(found.values())
    (exploratory,) = [c for c in compare(frame, "full", both[1:], unverified=["lpips"])
                      if c.metric == "lpips"]  # fmt: skip
    assert exploratory.verdict is None
    assert "unverified" in exploratory.text
    free = METRICS["lpips"].model_copy(update={"needs_reference": False})  # as if, and psnr fell
    for of, kinds in ((fair, {"perception_up_fidelity_down"}), (found, set())):
        moved = [of["lpips"], replace(of["psnr"], higher_is_better=False)]
        assert {alarm.kind for alarm in find_alarms(moved, [], metrics=[free])} == kinds


def test_diverged_seeds_are_left_out_counted_and_said(score_frame: Frames) -> None:
    frame = score_frame(_blocks(-0.1))
    diverged = {"other": [3, 11], "lost": [0, 1]}
    lost, other = compare(frame, "full", LPIPS, diverged=diverged)
    assert (other.n_seeds, other.diverged, other.seeds_total) == (4, 2, 6)
    assert "2 of 6 seeds of other diverged" in other.text
    assert [claim.seed for claim in other.per_seed] == [0, 1, 2, 4]
    assert (lost.delta, lost.diverged, lost.seeds_total) == (None, 2, 2)
    assert (lost.verdict, lost.family) == ("under-powered", 2)
    assert "2 of 2 seeds of lost diverged" in lost.text
    own = {s.variant: s for s in summarize(frame, diverged=diverged)}
    assert (own["lost"].mean, own["lost"].diverged, own["other"].n_seeds) == (None, 2, 4)


@pytest.mark.parametrize(
    ("shift", "diverged", "verdict"),
    [(-0.1, {}, "better"), (-0.1, {"other": [8, 9]}, "under-powered"),
     (-0.1, {"full": [8, 9]}, "better"), (-0.1, {"full": [8], "other": [9]}, "better"),
     (0.1, {"other": [8, 9]}, "worse"), (0.1, {"full": [8, 9]}, "under-powered")],
)  # fmt: skip
def test_no_word_in_favour_of_the_side_that_diverged_more_often(
    score_frame: Frames, shift: float, diverged: dict[str, list[int]], verdict: str
) -> None:
    (found,) = compare(score_frame(_blocks(shift)), "full", LPIPS, diverged=diverged)
    assert found.verdict == verdict
    withheld = verdict == "under-powered"
    assert ("no word in favour" in found.text) == withheld
    assert (found.p_adjusted == 1.0) == withheld


def test_copies_of_a_run_are_no_replicates(score_frame: Frames) -> None:
    once = {name: block[:1] for name, block in _blocks(-0.1).items()}
    copied = {name: np.repeat(block, 5, axis=0) for name, block in once.items()}
    (found,) = compare(score_frame(copied), "full", LPIPS)
    assert (found.verdict, found.low, found.p_value) == ("under-powered", None, None)
    assert "only 1 of the seeds differ" in found.text


def test_one_copied_seed_takes_the_word_away(score_frame: Frames) -> None:
    blocks = {name: np.vstack([block, block[:1]]) for name, block in _blocks(-0.1).items()}
    (found,) = compare(score_frame(blocks), "full", LPIPS)
    assert (found.verdict, found.n_seeds, found.distinct_seeds) == ("under-powered", 6, 5)
    assert found.p_adjusted == 1.0


@pytest.mark.parametrize("copied", ["full", "other"])
def test_copies_on_one_side_take_the_word_away_too(score_frame: Frames, copied: str) -> None:
    blocks = _blocks(-0.1)
    blocks[copied] = np.repeat(blocks[copied][:1], 5, axis=0)
    (found,) = compare(score_frame(blocks), "full", LPIPS)
    assert (found.verdict, found.distinct_seeds, found.p_value) == ("under-powered", 1, None)
    blocks[copied] = np.vstack([blocks[copied][:1], _blocks(-0.1)[copied][:1] + [[0.01]] * 4])
    (found,) = compare(score_frame(blocks), "full", LPIPS)
    assert (found.verdict, found.distinct_seeds) == ("under-powered", 2)


def test_a_declared_variant_without_any_score_stays_in_the_family(score_frame: Frames) -> None:
    frame = score_frame(_blocks(-0.1))
    declared = {"full": range(5), "failed": range(5), "other": range(6)}
    failed, other = compare(frame, "full", LPIPS, declared_seeds=declared)
    assert (failed.variant, failed.delta, failed.verdict) == ("failed", None, "under-powered")
    assert other.family == failed.family == 2
    assert other.p_adjusted == pytest.approx(2 * other.p_value)  # type: ignore[operator]
    assert "1 seed of other not paired, for want of a score" in other.text
    with pytest.raises(DataError, match="'failed' has no scores"):
        compare(frame, "failed", declared_seeds=declared)


def test_a_variant_equal_to_the_reference_shows_no_difference(score_frame: Frames) -> None:
    block = _blocks(0.0)["full"]
    (found,) = compare(score_frame({"full": block, "other": block}), "full", LPIPS)
    assert (found.delta, found.low, found.high, found.p_value) == (0.0, 0.0, 0.0, 1.0)
    assert (found.verdict, found.effect_size) == ("no difference shown", None)
    assert (found.win_rate, found.probability_of_improvement) == (0.5, 0.5)


def test_summary_is_the_t_interval_over_seeds(score_frame: Frames) -> None:
    blocks = _blocks(0.0)
    full = summarize(score_frame(blocks))[0]
    levels = blocks["full"].mean(axis=1)
    low, high = stats.t.interval(0.95, 4, levels.mean(), stats.sem(levels))
    assert (full.variant, full.n_seeds, full.n_images) == ("full", 5, 8)
    assert (full.mean, full.low, full.high) == pytest.approx((levels.mean(), low, high))
    assert full.sd == pytest.approx(levels.std(ddof=1))
    assert [item.mean for item in full.per_seed] == pytest.approx(levels)


def test_records_survive_parquet(score_frame: Frames, tmp_path: Path) -> None:
    frame = pd.concat(
        [score_frame(_blocks(-0.1) | {"bicubic": np.ones(8)}),
         score_frame(_blocks(0.1, seeds=1), metric="mine")]
    )  # fmt: skip
    comparisons = compare(frame, "full", LPIPS, diverged={"lost": [0]})
    summaries = summarize(frame, diverged={"lost": [0]})
    to_frame(comparisons[::-1]).to_parquet(tmp_path / "comparisons.parquet")
    to_frame(summaries, Summary).to_parquet(tmp_path / "summaries.parquet")
    assert from_frame(pd.read_parquet(tmp_path / "comparisons.parquet")) == comparisons
    assert from_frame(pd.read_parquet(tmp_path / "summaries.parquet"), Summary) == summaries
    assert from_frame(to_frame([]), Comparison) == []


def test_importing_needs_neither_torch_nor_scipy() -> None:
    code = (
        "import sys, tadsr.compare; "
        "print([name for name in ('torch', 'scipy', 'pandas') if name in sys.modules])"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert answer.stdout.strip() == "[]"
