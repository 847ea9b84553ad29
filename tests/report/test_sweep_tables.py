"""What a search found stands beside what was confirmed, and a hole is told."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from scipy import stats

from tadsr.config.sweep import SweepSpec
from tadsr.report.content import ReportContent
from tadsr.report.html import all_tables
from tadsr.report.table import Table

WEIGHT = "student.losses.adversarial.weight"
SPEC = SweepSpec.model_validate({
    "space": {WEIGHT: {"kind": "float", "low": 0.01, "high": 1.0}},
    "objectives": ({"metric": "psnr"},), "budget": {"trials": 3},
})  # fmt: skip


def found(confirmed: dict[str, Any]) -> dict[str, Any]:
    pick = {"which": "best", "variant": "best-of-weight", "trial": 1, "delta": {WEIGHT: 0.123456},
            "search": {"psnr": 28.5}, "confirmed": confirmed}  # fmt: skip
    return {"sweep": "weight", "description": "", "objectives": ["psnr"], "metrics": ["psnr"],
            "trials": {"complete": 2, "pruned": 1}, "images": 7, "seed": 1000,
            "teacher": {"psnr": 29.0}, "references": {"no_adversary": {}},
            "picks": [pick]}  # fmt: skip


def table(content: ReportContent, confirmed: dict[str, Any]) -> Table:
    experiment = content.experiment.model_copy(update={"sweeps": {"weight": SPEC}})
    searched = replace(content, experiment=experiment, sweeps=(found(confirmed),))
    return all_tables(searched)["sweep-weight"]


def test_search_and_confirmation_stand_side_by_side(content: ReportContent) -> None:
    scores = [28.1, 28.2, 28.45]
    made = table(content, {str(seed): {"psnr": value} for seed, value in enumerate(scores)})
    winner, teacher, reference = made.rows
    low, high = stats.t.interval(0.95, 2, sum(scores) / 3, stats.sem(scores))
    assert winner[3].value == 28.5
    assert winner[4].value == pytest.approx(sum(scores) / 3)
    assert winner[4].half_value == pytest.approx((high - low) / 2)
    assert [cell.text for cell in winner[:3]] == ["best-of-weight", "adversarial = 0.1235",
                                                  "PSNR-Y ↑"]  # fmt: skip
    assert (winner[5].text, teacher[3].value, reference[3].text) == ("3", 29.0, "–")
    assert "3 trials (2 complete, 1 pruned)" in made.caption
    assert "7 validation images" in made.caption


def test_a_seed_without_scores_is_counted(content: ReportContent) -> None:
    made = table(content, {"0": {"psnr": 28.0}, "1": None})
    assert made.rows[0][5].text == "1 of 2"
    assert made.rows[0][4].half_value is None


def test_without_a_search_there_is_no_table(content: ReportContent) -> None:
    assert not any(name.startswith("sweep-") for name in all_tables(content))
