"""Images of the page: chosen by rule, within its limit, and whole beside it."""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tadsr.config import Experiment
from tadsr.files import sha256_file
from tadsr.report import build_report, html
from tadsr.report.content import ReportContent
from tadsr.report.grids import Grid, GridRow, Panel, build_grids
from tadsr.report.images import CHOSEN, SHOWN, ImageSet, choose, image_sets, link_images
from tadsr.report.page_images import (
    PAGE_LIMIT,
    comparer_data,
    described,
    image_costs,
    share_room,
)
from tadsr.report.page_windows import WINDOWS_LIMIT, page_windows


def embedded(page: str, kind: str) -> list[dict[str, object]]:
    """The JSON that the page carries per test set."""
    found = re.findall(rf'<script type="application/json" id="images-{kind}-\d+">(.*?)</', page)
    return [json.loads(text) for text in found]


@given(st.dictionaries(st.text(min_size=1, max_size=3), st.floats(-9, 9), max_size=60))
def test_choice_holds_best_worst_and_median(deltas: dict[str, float]) -> None:
    chosen = choose(sorted(deltas), deltas, CHOSEN)
    assert len(chosen) == len(set(chosen)) == min(len(deltas), CHOSEN)
    if deltas:
        values = sorted(deltas.values())
        assert deltas[chosen[0]] == values[-1]
        assert {values[0], values[len(values) // 2]} <= {deltas[name] for name in chosen}


def test_choice_is_spread_over_the_ranks() -> None:
    deltas = {f"{i:03d}": float(-i) for i in range(100)}
    places = sorted(int(name) for name in choose(sorted(deltas), deltas, CHOSEN))
    assert (places[0], places[-1]) == (0, 99)
    assert max(np.diff(places)) <= 2 * 99 / (CHOSEN - 1)
    assert choose([f"{i:03d}" for i in range(100)], {}, CHOSEN) == choose([], deltas, CHOSEN)


def test_deltas_are_oriented_and_of_the_declared_metric(content: ReportContent) -> None:
    entry = image_sets(content)[0]
    assert entry.metric is not None
    assert (entry.metric.id, entry.baseline) == ("lpips", "bicubic")  # declared; lower is better
    for image, delta in entry.deltas.items():
        of = ("photos-bicubic", image, "lpips")
        full = np.mean([content.image_scores["full", seed, *of] for seed in range(3)])
        assert delta == pytest.approx(content.image_scores["bicubic", -1, *of] - full)
    best = max(entry.deltas, key=lambda image: entry.deltas[image])
    assert entry.chosen[0] == best
    assert "HR" in entry.shown
    assert "HR" not in image_sets(content)[2].shown  # photos-real has none


def test_of_many_models_a_few_are_shown(content: ReportContent) -> None:
    extra = tuple(f"model-{i}" for i in range(4))
    for name in extra:
        for image in (content.root / "evaluations" / "bicubic").rglob("*.png"):
            relative = image.relative_to(content.root / "evaluations" / "bicubic")
            target = content.root / "evaluations" / name / relative
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(image, target)
    many = replace(content, baselines=(*content.baselines, *extra))
    try:
        entry = image_sets(many)[0]
    finally:
        for name in extra:
            shutil.rmtree(content.root / "evaluations" / name)
    assert len([s for s in entry.sources if s.seed is not None]) == 12 > SHOWN
    means = {v: content.means["photos-bicubic", v, "lpips"].mean for v in content.variants}
    others = sorted((v for v in means if v != "full"), key=lambda v: means[v])
    expected = {"LR", "HR", "bicubic", "teacher-15", "teacher-1", "full", others[0], others[-1]}
    assert set(entry.shown) == expected
    assert "6 of 12 models" in described(many, entry, 3)


def test_page_carries_the_files_bytes(
    made: tuple[Experiment, Path], content: ReportContent
) -> None:
    experiment, root = made
    page = build_report(experiment, root).read_text()
    data, files = embedded(page, "data"), embedded(page, "files")
    assert [d["dataset"] for d in data] == ["photos-bicubic", "photos-realesrgan", "photos-real"]
    for entry, given_data, carried in zip(image_sets(content), data, files, strict=True):
        assert len(carried) == 3 * len(entry.sources)
        for key, text in carried.items():
            source, image = (int(part) for part in key.split("/"))
            name = f"{entry.sources[source].folder}/{entry.images[image]}.png"
            assert base64.b64decode(str(text)) == (root / name).read_bytes()
            assert (root / "report" / "images" / name).samefile(root / name)
        scores = given_data["sources"][-1]["scores"]  # type: ignore[index]
        last = entry.sources[-1]
        for k, spec in enumerate(given_data["metrics"]):  # type: ignore[arg-type]
            metric = next(m.id for m in content.metrics if m.title == spec["title"])
            key = (last.name, last.seed, entry.dataset, entry.images[1], metric)
            assert scores[k][1] == pytest.approx(content.image_scores[key], rel=1e-5)


def test_room_is_shared_and_never_overdrawn() -> None:
    costs = [{"a": 10, "b": 10}, {"c": 100, "d": 30}, {"e": 60, "f": 60}]
    assert share_room(costs, 1000) == [("a", "b"), ("c", "d"), ("e", "f")]
    assert share_room(costs, 150) == [("a", "b"), ("d",), ("e",)]  # c is too large, d is not
    assert share_room(costs, 0) == [(), (), ()]
    assert share_room(costs, -5) == [(), (), ()]


@given(st.lists(st.dictionaries(st.text(max_size=2), st.integers(1, 50), max_size=6), max_size=5),
       st.integers(0, 300))  # fmt: skip
def test_room_holds_for_any_costs(costs: list[dict[str, int]], room: int) -> None:
    kept = share_room(costs, room)
    spent = sum(cost[name] for cost, names in zip(costs, kept, strict=True) for name in names)
    assert spent <= room
    if sum(sum(cost.values()) for cost in costs) <= room:
        assert [set(names) for names in kept] == [set(cost) for cost in costs]


def test_scripts_stay_within_the_room_and_say_what_is_missing(content: ReportContent) -> None:
    sets = image_sets(content)
    full = len(comparer_data(content, sets, PAGE_LIMIT))
    assert sum(sum(image_costs(content.root, entry).values()) for entry in sets) < full
    for room in (full // 2, full // 4):
        text = comparer_data(content, sets, room)
        assert len(text) <= room
        data = embedded(text, "data")
        inside = sum(len(entry["inside"]) for entry in data)  # type: ignore[arg-type]
        assert inside < 9
        assert "3 were chosen, and the file's limit of 45 MB has room for" in text
    assert "All images of this test set are inside this file" in comparer_data(
        content, sets, PAGE_LIMIT
    )


def test_page_limit_holds_for_the_whole_page(
    content: ReportContent, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = (content, html.all_tables(content), [], build_grids(content), image_sets(content))
    whole = len(html.render(*parts).encode())
    limit = whole - 200_000
    monkeypatch.setattr(html, "PAGE_LIMIT", limit)
    smaller = len(html.render(*parts).encode())
    assert limit - 1_000_000 < smaller <= limit  # an image less, with all its models


def test_windows_have_a_limit_too(content: ReportContent) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (700, 700, 3)).astype(np.uint8)
    panels = (Panel("full", noise, ()), Panel("bicubic", noise, ()), Panel("sds", noise, ()))
    rows = tuple(GridRow(f"image-{i}", (0, 0, 700, 700), panels) for i in range(6))
    shown = page_windows(content, [Grid("photos-bicubic", "Caption.", rows)], [])[0]
    assert 0 < len(shown.rows) < 6
    assert sum(row.cost for row in shown.rows) <= WINDOWS_LIMIT
    assert "more images are in figures/grid-photos-bicubic.png" in shown.left_out


def linked(root: Path) -> dict[str, str]:
    folder = root / "report" / "images"
    return {str(p.relative_to(folder)): sha256_file(p) for p in folder.rglob("*") if p.is_file()}


@pytest.fixture
def copied(content: ReportContent, tmp_path: Path) -> tuple[ReportContent, list[ImageSet]]:
    for name in ("data", "evaluations"):
        shutil.copytree(content.root / name, tmp_path / "r" / name)
    moved = replace(content, root=tmp_path / "r")
    return moved, image_sets(moved)


def refuse(*_: object, **__: object) -> None:
    raise OSError("no hard links here")


@pytest.mark.parametrize("link", [os.link, refuse], ids=["links", "copies"])
def test_images_beside_the_page_are_those_of_the_results(
    copied: tuple[ReportContent, list[ImageSet]], monkeypatch: pytest.MonkeyPatch,
    link: Callable[..., None],
) -> None:  # fmt: skip
    content, sets = copied
    root = content.root
    monkeypatch.setattr(os, "link", link)
    link_images(root, sets)
    there = linked(root)
    assert len(there) == 3 * (8 + 8 + 8 + 2 + 2 + 1)
    assert all(sha256_file(root / name) == digest for name, digest in there.items())
    assert not any(path.is_symlink() for path in (root / "report").rglob("*"))
    # An image that was made anew, one that went, and a stranger.
    changed = root / "evaluations" / "bicubic" / "photos-real" / "photo-00.png"
    changed.unlink()
    shutil.copy(root / "evaluations" / "teacher-1" / "photos-real" / "photo-00.png", changed)
    (root / "evaluations" / "bicubic" / "photos-real" / "photo-01.png").unlink()
    stranger = root / "report" / "images" / "old" / "x.png"
    stranger.parent.mkdir()
    stranger.write_bytes(b"x")
    link_images(root, image_sets(content))
    again = linked(root)
    name = "evaluations/bicubic/photos-real/photo-00.png"
    assert again[name] == sha256_file(changed) != there[name]
    assert set(there) - set(again) == {"evaluations/bicubic/photos-real/photo-01.png"}
    assert not stranger.parent.exists()


def test_no_images_beside_the_page_where_none_may_be_passed_on(
    copied: tuple[ReportContent, list[ImageSet]],
) -> None:
    content, sets = copied
    link_images(content.root, sets)
    evaluation = content.experiment.evaluation.model_copy(update={"visual_images": 0})
    silent = replace(content, experiment=content.experiment.model_copy(
        update={"evaluation": evaluation}))  # fmt: skip
    assert image_sets(silent) == []
    link_images(content.root, image_sets(silent))
    assert linked(content.root) == {}
    page = html.render(silent, html.all_tables(silent), [], [], [])
    assert 'id="comparer"' not in page
    assert embedded(page, "data") == []
