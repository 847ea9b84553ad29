"""Alarms: each is raised by its cause, and by nothing else."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
from scipy import stats

from tadsr.compare import compare, find_alarms, summarize

Frames = Callable[..., pd.DataFrame]


def _tables(score_frame: Frames, metrics: dict[str, float], seeds: int = 4) -> pd.DataFrame:
    """`full` and `other`; `other` is shifted by the given amount at each metric."""
    generator = np.random.default_rng(5)
    return pd.concat(
        score_frame(
            {
                "full": generator.normal(0, 0.1, (seeds, 6)),
                "other": generator.normal(shift, 0.1, (seeds, 6)),
            },
            metric=metric,
        )
        for metric, shift in metrics.items()
    )


def _alarms(frame: pd.DataFrame, **settings: object) -> list[tuple[str, str]]:
    diverged = {"other": [9]} if settings.pop("diverged", False) else {}
    comparisons = compare(frame, "full", diverged=diverged, resamples=10)
    found = find_alarms(comparisons, summarize(frame, diverged=diverged))
    return [(alarm.kind, alarm.variant) for alarm in found]


def test_nothing_to_say(score_frame: Frames) -> None:
    assert _alarms(_tables(score_frame, {"lpips": 0.0, "musiq": 1.0})) == []


def test_texture_without_fidelity(score_frame: Frames) -> None:
    trade_off = [("perception_up_fidelity_down", "other"), ("metrics_disagree", "")]
    assert _alarms(_tables(score_frame, {"psnr": -1.0, "musiq": 1.0})) == trade_off
    assert _alarms(_tables(score_frame, {"lpips": 1.0, "niqe": -1.0})) == trade_off  # lower better
    assert _alarms(_tables(score_frame, {"psnr": 1.0, "musiq": 1.0})) == []
    opposed = _alarms(_tables(score_frame, {"psnr": 1.0, "musiq": -1.0}))
    assert opposed == [("metrics_disagree", "")]


def test_texture_that_the_input_does_not_support(score_frame: Frames) -> None:
    frame = _tables(score_frame, {"lr_psnr": -1.0, "musiq": 1.0, "psnr": 0.0})
    assert _alarms(frame) == [("perception_up_consistency_down", "other"),
                              ("metrics_disagree", "")]  # fmt: skip
    comparisons = compare(frame, "full", resamples=10)
    text = find_alarms(comparisons, [])[0].text
    assert text.startswith("other on photos: musiq improved while lr_psnr got worse: reduced again")
    both = _alarms(_tables(score_frame, {"lr_psnr": -1.0, "musiq": 1.0, "psnr": -1.0}))
    assert both[:2] == [("perception_up_fidelity_down", "other"),
                        ("perception_up_consistency_down", "other")]  # fmt: skip
    assert _alarms(_tables(score_frame, {"lr_psnr": 1.0, "musiq": 1.0})) == []


def test_unstable_seed_is_named_once(score_frame: Frames) -> None:
    frame = _tables(score_frame, {"lpips": 0.0}, seeds=3)
    frame.loc[(frame["variant"] == "other") & (frame["seed"] == 1), "value"] += 5.0
    alarms = find_alarms(compare(frame, "full", resamples=10), summarize(frame))
    assert [(alarm.kind, alarm.variant) for alarm in alarms] == [("unstable_seed", "other")]
    assert "seed 1" in alarms[0].text


def test_unstable_seed_is_a_deleted_residual_t_test(score_frame: Frames) -> None:
    # The others, -1, 0 and 1, have mean 0, sd 1 and df 2: t(1 - 0.01 / 4 / 2) sqrt(1 + 1 / 3).
    limit = stats.t.ppf(1 - 0.01 / 8, 2) * np.sqrt(4 / 3)
    for value, count in ((0.99 * limit, 0), (1.01 * limit, 1)):
        frame = score_frame({"full": [[-1.0], [0.0], [1.0], [value]]})
        assert len(find_alarms([], summarize(frame))) == count


def test_unstable_seed_is_rarely_a_false_alarm(score_frame: Frames) -> None:
    generator = np.random.default_rng(0)
    frame = pd.concat(
        score_frame({name: generator.normal(0, 1, (4, 1)) for name in "abcd"}, dataset=f"d{number}")
        for number in range(300)
    )
    kinds = [alarm.kind for alarm in find_alarms([], summarize(frame))]
    assert kinds.count("unstable_seed") <= 9  # 1 % of 300, and three standard errors more


def test_diverged_copied_and_incomplete(score_frame: Frames) -> None:
    frame = _tables(score_frame, {"lpips": 0.0})
    assert _alarms(frame, diverged=True) == [("diverged", "other")]
    first = frame[(frame["variant"] == "other") & (frame["seed"] == 0)]
    assert _alarms(pd.concat([frame, first.assign(seed=8)])) == [("copied_seeds", "other")]
    assert _alarms(frame.iloc[:-1]) == [("images_left_out", "other")]


def test_one_network_under_two_seeds() -> None:
    contents = {("full", 0): "a", ("full", 1): "b", ("other", 0): "a", ("other", 1): "c"}
    assert find_alarms([], [], contents=contents) == []
    (alarm,) = find_alarms([], [], contents={**contents, ("other", 2): "c"})
    assert (alarm.kind, alarm.variant) == ("copied_seeds", "other")
    assert "3 seeds hold only 2 different networks" in alarm.text
