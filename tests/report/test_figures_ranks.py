"""Orders of metrics and variants, held against scipy on the same means."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from matplotlib.text import Text
from scipy.stats import kendalltau, rankdata

from tadsr.compare import UNVERIFIED
from tadsr.report.content import ReportContent
from tadsr.report.drawing import style
from tadsr.report.figures.rank_figures import (
    MOST_NAMES,
    agreement_data,
    described_agreement,
    described_ranks,
    draw_agreement,
    draw_ranks,
    rank_data,
    rank_figures,
)
from tests.report.conftest import DIVERGED


def test_tau_is_that_of_the_means(content: ReportContent) -> None:
    panels = {panel.dataset: panel for panel in agreement_data(content)}
    assert list(panels) == ["photos-bicubic", "photos-realesrgan"], "one metric alone on the third"
    panel = panels["photos-bicubic"]
    assert [m.id for m in panel.metrics] == ["psnr", "ssim", "lpips", "niqe"]
    assert panel.n_upscalers == len(content.baselines) + len(content.variants)
    names = [*content.baselines, *content.variants]
    for i, one in enumerate(panel.metrics):
        for j, other in enumerate(panel.metrics):
            values = [[content.means["photos-bicubic", n, m.id].mean * (1 if m.higher_is_better
                       else -1) for n in names] for m in (one, other)]  # fmt: skip
            assert panel.tau[i][j] == pytest.approx(kendalltau(*values).statistic)
    assert f"LPIPS and PSNR-Y {panel.tau[2][0]:+.2f}".replace("-0", "−0").replace(
        "-1", "−1") in described_agreement([panel])  # fmt: skip


def test_each_pair_of_metrics_stands_once(content: ReportContent) -> None:
    with style():
        figure = draw_agreement(agreement_data(content))
    numbers = [t.get_text() for t in figure.axes[0].texts]
    assert len(numbers) == 6, "four metrics: six pairs"


def test_ranks_are_averages_over_seeds_with_the_diverged_one_last(content: ReportContent) -> None:
    panel = rank_data(content)[0]
    assert (panel.ranks.dataset, panel.metric.id) == ("photos-bicubic", "lpips")
    assert panel.ranks.n_seeds == 3
    table = np.array([
        [np.inf if (name, seed) == DIVERGED
         else content.seed_means[name, seed, "photos-bicubic", "lpips"]
         for name in content.variants]
        for seed in (0, 1, 2)
    ])  # fmt: skip
    expected = dict(zip(content.variants, rankdata(table, axis=1).mean(axis=0), strict=True))
    assert dict(zip(panel.ranks.variants, panel.ranks.ranks, strict=True)) == pytest.approx(
        expected
    )
    assert f"full {expected['full']:.1f}" in described_ranks([panel])


def test_diagram_names_each_variant_once(content: ReportContent) -> None:
    panels = rank_data(content)
    with style():
        figure = draw_ranks(panels, content.reference)
    for ax in figure.axes:
        words = " ".join(text.get_text() for text in ax.texts).split()
        assert [words.count(name) for name in content.variants] == [1] * len(content.variants)
        assert "critical" in words


def test_of_many_variants_the_ends_and_the_reference_are_named(content: ReportContent) -> None:
    panel, most = rank_data(content)[0], 3 * MOST_NAMES
    names = tuple(f"v{i}." for i in range(most))
    ranks = replace(panel.ranks, variants=names, groups=(names[:9],),
                    ranks=tuple(1.0 + i for i in range(most)))  # fmt: skip
    for reference, more in (("v0.", 0), (f"v{most // 3}.", 1), (f"v{most // 2}.", 1)):
        with style():
            figure = draw_ranks([replace(panel, ranks=ranks)], reference)
        words = " ".join(text.get_text() for text in figure.axes[0].texts).split()
        half = MOST_NAMES // 2
        assert {w for w in words if w in names} == {*names[:half], *names[-half:], reference}
        assert str(most - MOST_NAMES - more) in words, "how many are not named"
        figure.canvas.draw()
        lowest = min(text.get_position()[1] for text in figure.axes[0].texts)
        assert lowest >= figure.axes[0].get_ylim()[0]


def test_unverified_metrics_are_in_no_agreement_and_stamped_in_ranks(
    content: ReportContent,
) -> None:
    cards = {**content.cards, "lpips": {**content.cards["lpips"], "verified": False}}
    doubted = replace(content, cards=cards)
    assert [m.id for m in agreement_data(doubted)[0].metrics] == ["psnr", "ssim", "niqe"]
    with style():
        figure = next(rank_figures(doubted)).figure
    for ax in figure.axes:
        assert UNVERIFIED in [text.get_text() for text in ax.findobj(Text)]


def test_without_summaries_there_is_no_figure(content: ReportContent) -> None:
    bare = replace(content, summaries=())
    assert agreement_data(bare) == []
    assert rank_data(bare) == []
