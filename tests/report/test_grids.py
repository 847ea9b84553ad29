"""Windows chosen by rule, and panels that show the pixels they claim to show."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tadsr.report.content import ReportContent
from tadsr.report.grids import WINDOW, _spaced, build_grids, choose_window, save_grid
from tadsr.report.html import all_tables, render


@pytest.mark.parametrize("shape", [(40, 52, 3), (24, 24, 3), (33, 90, 3)])
def test_window_has_the_largest_variance(shape: tuple[int, int, int]) -> None:
    image = np.random.default_rng(1).integers(0, 256, shape).astype(np.uint8)
    image[:16, :16] = 80
    luma = image @ np.array([0.299, 0.587, 0.114])
    best, where = -1.0, (0, 0)
    for top in range(0, shape[0] - 24 + 1, 4):
        for left in range(0, shape[1] - 24 + 1, 4):
            variance = luma[top : top + 24, left : left + 24].var()
            if variance > best + 1e-6:
                best, where = variance, (top, left)
    assert choose_window(image, 24) == (*where, 24, 24)


def test_window_of_a_small_or_flat_image() -> None:
    flat = np.full((20, 30, 3), 7, dtype=np.uint8)
    assert choose_window(flat, 24) == (0, 0, 20, 24)


def test_chosen_images_are_spread_over_the_list() -> None:
    names = [f"{i:02d}" for i in range(10)]
    assert _spaced(names, 4) == ["00", "03", "06", "09"]
    assert _spaced(names[:2], 4) == ["00", "01"]


def test_panels_are_the_same_window_of_every_upscaler(content: ReportContent) -> None:
    grids = build_grids(content)
    assert [g.dataset for g in grids] == ["photos-bicubic", "photos-realesrgan", "photos-real"]
    row = grids[0].rows[0]
    names = [panel.name for panel in row.panels]
    assert names == ["LR", *content.baselines, *content.variants, "HR"]
    top, left, height, width = row.window
    assert (height, width) == (WINDOW, WINDOW)
    path = content.root / "evaluations" / "full" / "seed-0" / "photos-bicubic" / f"{row.image}.png"
    stored = np.asarray(Image.open(path))[top : top + height, left : left + width]
    assert np.array_equal(row.panels[names.index("full")].pixels, stored)
    lr = row.panels[0].pixels
    assert np.array_equal(lr[::4, ::4].repeat(4, axis=0).repeat(4, axis=1), lr)
    assert [p.name for p in grids[2].rows[0].panels][-1] == "distill_only"  # no HR there


def test_no_image_is_shown_where_none_may_be_passed_on(content: ReportContent) -> None:
    evaluation = content.experiment.evaluation.model_copy(update={"visual_images": 0})
    silent = replace(content, experiment=content.experiment.model_copy(
        update={"evaluation": evaluation}))  # fmt: skip
    assert build_grids(silent) == []
    page = render(silent, all_tables(silent), {}, [])
    assert '="data:image/png' not in page
    assert "evaluation.visual_images is 0" in page


def test_panel_numbers_are_the_images_own_scores(content: ReportContent) -> None:
    row = build_grids(content)[0].rows[0]
    score = content.image_scores["full", 0, "photos-bicubic", row.image, "psnr"]
    panel = next(p for p in row.panels if p.name == "full")
    assert panel.scores[0] == f"PSNR-Y {score:.2f}"
    assert panel.scores[1].startswith("LPIPS ")


def test_a_diverged_first_seed_gives_way_to_the_next(content: ReportContent) -> None:
    cells = tuple(
        replace(c, status="diverged") if c.name == "full/seed-0" else c for c in content.cells
    )
    row = build_grids(replace(content, cells=cells))[0].rows[0]
    top, left, height, width = row.window
    path = content.root / "evaluations" / "full" / "seed-1" / "photos-bicubic" / f"{row.image}.png"
    stored = np.asarray(Image.open(path))[top : top + height, left : left + width]
    panel = next(p for p in row.panels if p.name == "full")
    assert np.array_equal(panel.pixels, stored)


def test_grid_file_is_stable_and_shows_the_pixels(content: ReportContent, tmp_path: Path) -> None:
    grid = build_grids(content)[0]
    one, other = (save_grid(grid, tmp_path / name) for name in "ab")
    assert one.read_bytes() == other.read_bytes()
    sheet = np.asarray(Image.open(one))
    assert (grid.rows[0].panels[0].pixels[0, 0] == sheet[8 + 24, 8]).all()
