from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tadsr.files import write_json
from tadsr.plan.recipes import pool_name
from tadsr.report.content import ReportContent, gather
from tadsr.report.figures import all_figures
from tadsr.report.figures.spectrum import described, spectrum_data


def stored(steps: int = 15) -> dict[str, Any]:
    """HSD begins above the gap's frequency and ends at it; SDS falls below it."""

    def at(frequency: float) -> dict[str, Any]:
        return {"power": [0.1, 0.2, 0.3, 0.4], "frequency": frequency, "rms": 1.0}

    return {
        "gap": at(0.27),
        "target": [at(0.31 - 0.04 * t / (steps - 1)) for t in range(steps)],
        "noise": [at(0.32 - 0.12 * t / (steps - 1)) for t in range(steps)],
        "frequencies": [0.0625, 0.1875, 0.3125, 0.4375],
        "unit": "cycles per image pixel",
        "pairs": 16,
    }


def test_data_are_those_of_the_pool_relative_to_white_noise() -> None:
    data = spectrum_data(stored())
    assert data is not None
    hsd, sds = data.panels
    assert (hsd.title, sds.title) == ("HSD", "SDS")
    assert list(hsd.powers) == [0, 1, 2, 7, 14]
    assert hsd.powers[0] == pytest.approx((0.4, 0.8, 1.2, 1.6))
    assert (hsd.means[0], sds.means[-1], data.gap) == pytest.approx((0.31, 0.20, 0.27))
    assert "HSD 0.310 at t = 0 to 0.270 at t = 14" in described(data)
    short = spectrum_data(stored(4))
    assert short is not None
    assert list(short.panels[0].powers) == [0, 1, 2, 3]
    assert spectrum_data({}) is None


def test_the_report_has_the_figure_where_the_targets_have_spectra(content: ReportContent) -> None:
    assert "spectrum" not in {figure.name for figure in all_figures(content)}
    figures = all_figures(replace(content, spectrum=stored()))
    figure = next(figure for figure in figures if figure.name == "spectrum")
    assert "16 validation pairs" in figure.caption
    axes = figure.figure.axes
    assert [ax.get_title(loc="left") for ax in axes] == ["HSD", "SDS", "mean frequency"]
    assert len(axes[0].get_lines()) == 6, "five steps and white noise"


def test_both_kinds_have_one_scale_with_all_of_their_lines(content: ReportContent) -> None:
    flatter = [{**at, "power": [0.04, 0.2, 0.3, 0.46]} for at in stored()["noise"]]
    changed = replace(content, spectrum={**stored(), "noise": flatter})
    (figure,) = [f.figure for f in all_figures(changed) if f.name == "spectrum"]
    left, middle, _ = figure.axes
    low, high = left.get_ylim()
    assert middle.get_ylim() == (low, high)
    for line in (*left.get_lines(), *middle.get_lines()):
        values = [float(y) for y in line.get_ydata()]
        assert low <= min(values) and max(values) <= high


def test_it_is_read_from_the_reference_variants_pool(content: ReportContent) -> None:
    experiment, root = content.experiment, content.root
    targets = experiment.cell("full", 0).targets
    path = Path(root) / "targets" / pool_name(experiment, targets) / "spectrum.json"
    write_json(path, stored())
    try:
        assert gather(experiment, root, partial=True).spectrum == stored()
    finally:
        path.unlink()
