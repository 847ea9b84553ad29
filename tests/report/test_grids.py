"""Windows chosen by rule, and panels that show the pixels they claim to show."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tadsr.report.content import ReportContent
from tadsr.report.grid_maps import colored
from tadsr.report.grid_sheets import GAP, HEAD, TITLE, save_sheets
from tadsr.report.grids import WINDOW, build_grids, choose_window
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


def test_images_are_the_best_and_the_worst_against_the_baseline(content: ReportContent) -> None:
    """Against a count of its own: per image the mean over the seeds that lasted."""
    row, other = build_grids(content)[0].rows
    images = sorted(path.stem for path in
                    (content.root / "data" / "photos-bicubic" / "lr").glob("*.png"))  # fmt: skip
    scores = content.image_scores
    gain = {
        image: scores["bicubic", -1, "photos-bicubic", image, "lpips"]
        - np.mean([scores["full", s, "photos-bicubic", image, "lpips"] for s in (0, 1, 2)])
        for image in images
    }
    best, worst = max(gain, key=gain.__getitem__), min(gain, key=gain.__getitem__)
    assert (row.image, other.image) == (best, worst)
    assert row.note == f"best of 3: full better than bicubic by {gain[best]:.4f} in LPIPS"
    assert other.note.startswith("worst of 3: ")


def test_images_without_scores_are_spread_over_the_list(content: ReportContent) -> None:
    grid = build_grids(replace(content, image_scores={}))[0]
    assert [row.image for row in grid.rows] == ["photo-00", "photo-02"]
    assert [row.note for row in grid.rows] == ["", ""]
    assert "images evenly spaced in the alphabetical list" in grid.caption


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


def test_maps_are_distances_to_hr_on_one_scale(content: ReportContent) -> None:
    grid = build_grids(content)[0]
    row = grid.rows[0]
    names = [panel.name for panel in row.maps]
    assert names == [*content.baselines, *content.variants]
    pixels = {panel.name: panel.pixels.astype(float) for panel in row.panels}
    for panel in row.maps:
        levels = np.abs(pixels[panel.name] - pixels["HR"]).sum(axis=2) / 3
        assert panel.scores == (f"mean {levels.mean():.1f}",)
        brightness = panel.pixels.astype(int).sum(axis=2)
        low, high = levels < 0.1 * grid.scales.difference, levels > 0.9 * grid.scales.difference
        assert brightness[low].max() < brightness[high].min()
    every = np.concatenate([
        np.abs(p.pixels.astype(float) - r.panels[-1].pixels.astype(float)).mean(axis=2).ravel()
        for r in grid.rows for p in r.panels if p.name not in ("LR", "HR")
    ])  # fmt: skip
    assert 0.985 < (every <= grid.scales.difference).mean() <= 1
    assert f"pale yellow {grid.scales.difference} or more" in grid.maps_caption


def test_spread_is_that_of_the_reference_over_its_seeds(content: ReportContent) -> None:
    grid = build_grids(content)[2]
    row = grid.rows[0]
    assert row.maps == (), "there is no HR"
    top, left, height, width = row.window
    folder = content.root / "evaluations" / "full"
    answers = np.stack([
        np.asarray(Image.open(folder / f"seed-{seed}" / "photos-real" / f"{row.image}.png"))
        for seed in (0, 1, 2)
    ])[:, top : top + height, left : left + width].astype(float)  # fmt: skip
    variance = ((answers - answers.mean(axis=0)) ** 2).sum(axis=0) / 2
    assert row.spread is not None
    assert row.spread.scores == (f"mean {np.sqrt(variance).mean():.1f}",)
    assert "3 seeds of full" in grid.maps_caption


def test_one_seed_has_no_spread(content: ReportContent) -> None:
    cells = tuple(
        replace(c, status="missing") if c.variant == "full" and c.seed else c for c in content.cells
    )
    grid = build_grids(replace(content, cells=cells))[0]
    assert all(row.spread is None and row.maps for row in grid.rows)
    assert "Spread" not in grid.maps_caption


def test_colours_run_from_black_to_the_last_one() -> None:
    levels = np.array([[0.0, 5.0, 10.0, 99.0]])
    black, middle, last, beyond = colored(levels, 10)[0].astype(int)
    assert black.sum() < 20
    assert black.sum() < middle.sum() < last.sum()
    assert (last == beyond).all()


def test_files_are_stable_and_show_the_pixels(content: ReportContent, tmp_path: Path) -> None:
    grid = build_grids(content)[0]
    one, other = (save_sheets(grid, tmp_path / name) for name in "ab")
    assert [path.name for path in one] == ["grid-photos-bicubic.png", "maps-photos-bicubic.png"]
    for path, again in zip(one, other, strict=True):
        assert path.read_bytes() == again.read_bytes()
    sheet, maps = (np.asarray(Image.open(path)) for path in one)
    corner = GAP + TITLE + HEAD, GAP
    assert (grid.rows[0].panels[0].pixels[0, 0] == sheet[corner]).all()
    assert (grid.rows[0].maps[0].pixels[0, 0] == maps[corner]).all()
