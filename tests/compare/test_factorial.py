"""Main effects and interactions against numbers worked out by hand and by least squares."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import product

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from tadsr.compare import Effect, from_frame, to_frame
from tadsr.compare.factorial import effects

Frames = Callable[..., pd.DataFrame]
Points = list[tuple[str, dict[str, str]]]
AXES = {"a": ["a0", "a1"], "b": ["b0", "b1", "b2"], "c": ["c0", "c1"]}


def points_of(axes: Mapping[str, list[str]]) -> Points:
    """Every combination; the variant's name is its levels."""
    rows = product(*axes.values())
    return [("-".join(row), dict(zip(axes, row, strict=True))) for row in rows]


def blocks_of(
    points: Points, level: Callable[[dict[str, str]], float], noise: float, seeds: int = 4
) -> dict[str, np.ndarray]:
    """Scores (seeds, images) of each variant: its level, an image effect, and noise."""
    generator = np.random.default_rng(11)
    image = generator.normal(0, 1, 5)
    return {
        variant: level(levels) + image + noise * generator.normal(0, 1, (seeds, 1))
        + noise * generator.normal(0, 1, (seeds, 5))
        for variant, levels in points
    }  # fmt: skip


def find(found: list[Effect], axis: str, level: str, by: str = "", by_level: str = "") -> Effect:
    (one,) = [e for e in found if (e.axis, e.level, e.by_axis, e.by_level)
              == (axis, level, by, by_level)]  # fmt: skip
    return one


def test_two_by_two_by_hand(score_frame: Frames) -> None:
    axes = {"a": ["a0", "a1"], "b": ["b0", "b1"]}
    blocks = {  # two seeds, two images
        "a0-b0": [[1.0, 3.0], [2.0, 4.0]],  # means 2, 3
        "a1-b0": [[4.0, 6.0], [4.0, 6.0]],  # 5, 5
        "a0-b1": [[2.0, 2.0], [3.0, 3.0]],  # 2, 3
        "a1-b1": [[9.0, 9.0], [7.0, 9.0]],  # 9, 8
    }
    found = effects(score_frame(blocks), axes, points_of(axes))
    assert [(e.axis, e.by_axis) for e in found] == [("a", ""), ("b", ""), ("a", "b")]
    main, other, both = found
    # Seed 0: ((5 - 2) + (9 - 2)) / 2 = 5; seed 1: ((5 - 3) + (8 - 3)) / 2 = 3.5
    assert main.delta == pytest.approx(4.25)
    half = 12.7062047 * np.std([5, 3.5], ddof=1) / np.sqrt(2)
    assert (main.low, main.high) == pytest.approx((4.25 - half, 4.25 + half))
    assert other.delta == pytest.approx(((0 + 4) / 2 + (0 + 3) / 2) / 2)
    assert both.delta == pytest.approx(((7 - 3) + (5 - 2)) / 2)
    assert (main.n_combinations, both.n_combinations) == (2, 1)
    assert (main.n_seeds, main.n_images, main.df, main.same_student) == (2, 2, 1, 0)


def test_two_by_three_by_hand(score_frame: Frames) -> None:
    axes = {"a": ["a0", "a1"], "b": ["b0", "b1", "b2"]}
    values = {"a0-b0": 1, "a0-b1": 2, "a0-b2": 6, "a1-b0": 3, "a1-b1": 5, "a1-b2": 1}
    blocks = {name: [[value, value], [value + 1, value + 1]] for name, value in values.items()}
    found = effects(score_frame(blocks), axes, points_of(axes))
    assert find(found, "a", "a1").delta == pytest.approx((2 + 3 - 5) / 3)
    assert find(found, "b", "b1").delta == pytest.approx((1 + 2) / 2)
    assert find(found, "b", "b2").delta == pytest.approx((5 - 2) / 2)
    assert find(found, "a", "a1", "b", "b1").delta == pytest.approx(3 - 2)
    assert find(found, "a", "a1", "b", "b2").delta == pytest.approx(-5 - 2)
    assert len(found) == 3 + 2


def effect_coded(levels: dict[str, str], terms: list[tuple[str, ...]]) -> list[float]:
    """One row of the design: products of sum-to-zero columns."""
    columns = {}
    for axis, labels in AXES.items():
        at = labels.index(levels[axis])
        columns[axis] = [-1.0 if at == 0 else float(at == k) for k in range(1, len(labels))]
    return [float(np.prod(factors)) for term in terms
            for factors in product(*(columns[axis] for axis in term))]  # fmt: skip


def test_least_squares_with_effect_coding_gives_the_same(score_frame: Frames) -> None:
    """Per seed an ordinary regression on sum-to-zero columns; over seeds SciPy's t test."""
    points = points_of(AXES)
    generator = np.random.default_rng(3)
    level = {variant: float(generator.normal()) for variant, _ in points}
    blocks = {v: level[v] + 0.3 * generator.normal(0, 1, (5, 6)) for v, _ in points}
    found = effects(score_frame(blocks), AXES, points)
    terms = [(), ("a",), ("b",), ("c",), ("a", "b"), ("a", "c"), ("b", "c"), ("a", "b", "c")]
    rows = [effect_coded(levels, terms) for _, levels in points]
    design = np.repeat(rows, 6, axis=0)
    fits = np.array([
        np.linalg.lstsq(design, np.concatenate([blocks[v][s] for v, _ in points]), rcond=None)[0]
        for s in range(5)
    ])  # fmt: skip
    # Columns: 1, a, b1, b2, c, a b1, a b2, a c, b1 c, b2 c, ... With sum-to-zero columns the
    # first level's coefficient is minus the sum of the others.
    a, b1, b2, c = (fits[:, k] for k in (1, 2, 3, 4))
    ab1, ab2, ac, b2c = (fits[:, k] for k in (5, 6, 7, 9))
    b1c = fits[:, 8]
    expected = {
        ("a", "a1", "", ""): 2 * a,
        ("b", "b1", "", ""): 2 * b1 + b2,
        ("b", "b2", "", ""): 2 * b2 + b1,
        ("c", "c1", "", ""): 2 * c,
        ("a", "a1", "b", "b1"): 2 * (2 * ab1 + ab2),
        ("a", "a1", "b", "b2"): 2 * (2 * ab2 + ab1),
        ("a", "a1", "c", "c1"): 4 * ac,
        ("b", "b1", "c", "c1"): 2 * (2 * b1c + b2c),
        ("b", "b2", "c", "c1"): 2 * (2 * b2c + b1c),
    }
    assert len(found) == len(expected)
    for key, per_seed in expected.items():
        effect = find(found, *key)
        test = stats.ttest_1samp(per_seed, 0)
        interval = test.confidence_interval(0.95)
        assert effect.delta == pytest.approx(per_seed.mean())
        assert effect.p_value == pytest.approx(test.pvalue)
        assert (effect.low, effect.high) == pytest.approx((interval.low, interval.high))


def additive(levels: dict[str, str]) -> float:
    return sum({"a1": 2.0, "b1": -1.0, "b2": 0.5, "c1": 0.25}.get(v, 0.0) for v in levels.values())


def test_an_additive_model_has_no_interaction(score_frame: Frames) -> None:
    points = points_of(AXES)
    found = effects(score_frame(blocks_of(points, additive, 0.0)), AXES, points)
    for effect in found:
        expected = {"a1": 2.0, "b1": -1.0, "b2": 0.5, "c1": 0.25}[effect.level]
        assert effect.delta == pytest.approx(0.0 if effect.by_axis else expected)


def test_a_known_interaction_is_recovered(score_frame: Frames) -> None:
    points = points_of(AXES)

    def level(levels: dict[str, str]) -> float:
        return additive(levels) + 0.8 * (levels["a"] == "a1" and levels["b"] == "b2")

    blocks = blocks_of(points, level, 0.01, seeds=6)
    found = effects(score_frame(blocks), AXES, points)
    effect = find(found, "a", "a1", "b", "b2")
    assert effect.low is not None
    assert effect.high is not None
    assert effect.low < 0.8 < effect.high
    assert effect.high - effect.low < 0.1
    assert find(found, "a", "a1").delta == pytest.approx(2 + 0.8 / 3, abs=0.05)
    none = find(found, "a", "a1", "b", "b1")
    assert none.delta == pytest.approx(0, abs=0.05)


def test_intervals_cover_a_null_effect(score_frame: Frames) -> None:
    """95 % intervals of an interaction that is not there miss 0 in 5 % of experiments."""
    axes = {"a": ["a0", "a1"], "b": ["b0", "b1"]}
    generator = np.random.default_rng(5)
    missed = 0
    for _ in range(300):
        blocks = {name: generator.normal(0, 1, (4, 1)) + generator.normal(0, 0.1, (4, 2))
                  for name, _ in points_of(axes)}  # fmt: skip
        effect = effects(score_frame(blocks), axes, points_of(axes))[2]
        missed += not (effect.low or 0) <= 0 <= (effect.high or 0)
    assert 4 <= missed <= 30


def test_order_of_rows_and_points_changes_nothing(score_frame: Frames) -> None:
    points = points_of(AXES)
    frame = score_frame(blocks_of(points, additive, 0.3))
    found = effects(frame, AXES, points)
    again = effects(frame.sample(frac=1.0, random_state=1), AXES, points[::-1])
    for one, two in zip(found, again, strict=True):
        assert (one.axis, one.level, one.by_axis, one.by_level) == (
            two.axis, two.level, two.by_axis, two.by_level)  # fmt: skip
        assert (one.delta, one.low, one.p_value) == pytest.approx((two.delta, two.low, two.p_value))
    # Another numbering of seeds and names of images, the same for all: the same numbers.
    renamed = frame.assign(seed=9 - frame["seed"], image=frame["image"].str[::-1])
    for one, two in zip(found, effects(renamed, AXES, points), strict=True):
        assert (one.delta, one.sd) == pytest.approx((two.delta, two.sd))


def test_every_endpoint_and_set_metrics(score_frame: Frames) -> None:
    axes = {"a": ["a0", "a1"], "b": ["b0", "b1"]}
    blocks = {name: np.array([[i], [i + 0.5]]) for i, (name, _) in enumerate(points_of(axes))}
    fid = score_frame(blocks, metric="fid").assign(image=None)
    frame = pd.concat([score_frame(blocks), score_frame(blocks, dataset="x", metric="psnr"), fid])
    found = effects(frame, axes, points_of(axes), directions={"fid": "lower"})
    assert [(e.dataset, e.metric) for e in found[::3]] == [
        ("photos", "fid"), ("photos", "lpips"), ("x", "psnr")]  # fmt: skip
    assert [e.n_images for e in found[::3]] == [0, 1, 1]
    assert [e.higher_is_better for e in found[::3]] == [False, False, True]
    assert found[0].delta == pytest.approx(2)


def switched_off(axes: Mapping[str, list[str]]) -> Points:
    """As a weight of 0: at a0, b means nothing."""
    return [
        ("off" + "".join(f"-{levels[axis]}" for axis in axes if axis not in ("a", "b"))
         if levels["a"] == "a0" else name, levels)
        for name, levels in points_of(axes)
    ]  # fmt: skip


def test_the_very_same_student_is_no_evidence_for_an_effect(score_frame: Frames) -> None:
    axes = {"a": ["a0", "a1"], "b": ["b0", "b1"]}
    points = switched_off(axes)
    blocks = {"off": [[0.0], [0.5]], "a1-b0": [[1.0], [1.0]], "a1-b1": [[4.0], [5.0]]}
    found = effects(score_frame(blocks), axes, points)
    on, kind, both = found
    # b at a0 compares a student with itself: only a1 is left, not the mean of 3.5 and 0.
    assert (kind.delta, kind.n_combinations, kind.same_student) == (3.5, 1, 1)
    # Switching on with b0 and with b1 are two different changes from one student.
    assert (on.delta, on.n_combinations, on.same_student) == (2.5, 2, 0)
    assert (both.delta, both.n_combinations, both.same_student) == (None, 0, 1)
    assert both.n_seeds == both.seeds_total == 0


def test_equal_combinations_count_once(score_frame: Frames) -> None:
    axes = {"a": ["a0", "a1"], "b": ["b0", "b1"], "c": ["c0", "c1"]}
    points = switched_off(axes)
    change = {"off": 9.0, "a1-b0": 1.0, "a1-b1": 2.0}
    blocks = {}
    for variant, levels in points:
        here = change[variant.removesuffix(f"-{levels['c']}")] if levels["c"] == "c1" else 0.0
        blocks[variant] = [[here], [here + 0.1]]
    effect = find(effects(score_frame(blocks), axes, points), "c", "c1")
    # Three students with c0, three with c1: a0 is one combination, not two.
    assert effect.delta == pytest.approx((9 + 1 + 2) / 3)
    assert (effect.n_combinations, effect.same_student) == (3, 1)


def test_missing_points_are_not_matched(score_frame: Frames) -> None:
    points = [p for p in points_of(AXES) if p[0] not in ("a1-b2-c0", "a1-b2-c1", "a0-b1-c1")]
    extra: Points = [("a0-b9-c0", {"a": "a0", "b": "b9", "c": "c0"}), ("other", {})]
    blocks = blocks_of([*points, *extra], additive, 0.1)
    found = effects(score_frame(blocks), AXES, [*points, *extra])
    assert find(found, "a", "a1").n_combinations == 3
    assert find(found, "b", "b9").n_combinations == 1
    assert [e for e in found if (e.level, e.by_level) == ("a1", "b2")] == []
    assert find(found, "b", "b2").n_combinations == 2
    assert find(found, "a", "a1", "c", "c1").n_combinations == 1
    # A first level that no point has: the next one is what the others are compared with.
    rest = [point for point in points if point[1]["b"] != "b0"]
    assert {e.first for e in effects(score_frame(blocks), AXES, rest) if e.axis == "b"} == {"b1"}


def test_diverged_seeds_are_counted_and_leave_the_effect(score_frame: Frames) -> None:
    points = points_of(AXES)
    frame = score_frame(blocks_of(points, additive, 0.2))
    declared = {variant: range(4) for variant, _ in points}
    lost = {"a1-b0-c0": [1], "a0-b2-c1": [0, 1, 2, 3]}
    found = effects(frame, AXES, points, diverged=lost, declared_seeds=declared)
    main = find(found, "a", "a1")
    assert (main.n_seeds, main.seeds_total, main.diverged) == (3, 4, 5)
    assert (main.n_combinations, main.unmeasured) == (5, 1)
    # Of the rest, the same as if those rows had never been there.
    keep = (frame["seed"] != 1) & (frame["variant"] != "a0-b2-c1")
    alone = [p for p in points if p[0] not in ("a0-b2-c1", "a1-b2-c1")]
    expected = find(effects(frame[keep], AXES, alone), "a", "a1")
    assert (main.delta, main.sd) == pytest.approx((expected.delta, expected.sd))
    untouched = find(found, "b", "b1", "c", "c1")
    assert (untouched.n_seeds, untouched.diverged) == (3, 1)


def test_images_that_one_seed_lacks_are_left_out_of_all(score_frame: Frames) -> None:
    axes = {"a": ["a0", "a1"], "b": ["b0", "b1"]}
    frame = score_frame(blocks_of(points_of(axes), lambda _: 0.0, 1.0))
    hole = (frame["variant"] == "a0-b0") & (frame["seed"] == 2) & (frame["image"] == "0003.png")
    found = effects(frame[~hole], axes, points_of(axes))
    assert {(e.n_images, e.images_left_out) for e in found} == {(4, 1)}
    expected = effects(frame[frame["image"] != "0003.png"], axes, points_of(axes))
    assert [e.delta for e in found] == pytest.approx([e.delta for e in expected])


def test_copies_of_a_seed_have_no_scatter(score_frame: Frames) -> None:
    axes = {"a": ["a0", "a1"], "b": ["b0", "b1"]}
    blocks = {name: [[i, 2.0]] * 3 for i, (name, _) in enumerate(points_of(axes))}
    found = effects(score_frame(blocks), axes, points_of(axes))
    assert {(e.n_seeds, e.distinct_seeds, e.low) for e in found} == {(3, 1, None)}
    one = {name: [[i, 2.0]] for i, (name, _) in enumerate(points_of(axes))}
    assert [e.low for e in effects(score_frame(one), axes, points_of(axes))] == [None] * 3


def test_to_a_frame_and_back(score_frame: Frames) -> None:
    points = switched_off(AXES)
    frame = pd.concat([score_frame(blocks_of(points, additive, 0.2), metric=m)
                       for m in ("psnr", "lpips")])  # fmt: skip
    found = effects(frame, AXES, points)
    assert any(e.delta is None for e in found)
    assert from_frame(to_frame(found, Effect), Effect) == found
    assert from_frame(to_frame([], Effect), Effect) == []
