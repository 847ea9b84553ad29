"""Metrics asked for by mappings, from the images to the tables, the page and MLflow's records.

All stages on the smallest experiment, each called in this process. The tests run in order on one
results folder; each says what it changes.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from skimage.metrics import peak_signal_noise_ratio

from tadsr.config import Experiment
from tadsr.data.images import read_rgb
from tadsr.evaluation.scores import read_scores
from tadsr.publish.mapping import leaderboard, map_experiment
from tadsr.report.content import gather
from tests.integration.test_models import Place

pytestmark = pytest.mark.integration

OWN = """
class Metric:
    def __call__(self, sr, hr):
        return {factor} * float((sr - hr).abs().mean())
"""
LINES = """  metrics:
    - psnr
    - {id: psnr-rgb, pyiqa: psnr, title: "PSNR (R&G_B)", needs_reference: true,
       higher_is_better: true, decimals: 1, border_crop: 2}
    - {id: gmsd, pyiqa: gmsd, title: GMSD, needs_reference: true, higher_is_better: false}
    - {id: entropy, pyiqa: entropy, needs_reference: false, higher_is_better: true}
    - {id: ms-ssim, pyiqa: ms_ssim, needs_reference: true, higher_is_better: true}
    - {id: dists, pyiqa: dists, title: DISTS, needs_reference: true, higher_is_better: false}
    - {id: grey-levels, file: lab/own.py, title: Levels, needs_reference: true,
       higher_is_better: false}
"""
MEASURED = {"psnr", "psnr-rgb", "gmsd", "entropy", "grey-levels"}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("metrics")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("TADSR_WEIGHTS", str(folder / "metric-weights"))
        place = Place(folder)
        text = (folder / "tiny.yaml").read_text()
        for old, new in (("  metrics: [psnr, ssim]\n", LINES), ("psnr}]", "grey-levels}]")):
            assert old in text
            text = text.replace(old, new)
        (folder / "tiny.yaml").write_text(text)
        (folder / "lab").mkdir()
        (folder / "lab" / "own.py").write_text(OWN.format(factor=255))
        for command in ("data", "teacher", "targets", "student", "evaluate", "compare", "report"):
            assert place.tadsr(command) == 0
        yield place


def stored(place: Place) -> tuple[dict[str, float], dict[str, object]]:
    """The student's numbers on one image by metric, and what else its score file says."""
    path = place.root / "evaluations" / "full" / "seed-0" / "photos.parquet"
    frame, meta = read_scores(path)
    first = frame["image"].iloc[0]
    rows = frame[frame["image"] == first]
    return {"image": first, **dict(zip(rows["metric"], rows["value"], strict=True))}, meta


def test_each_number_is_what_was_asked_for(place: Place) -> None:
    values, meta = stored(place)
    name = values.pop("image")
    assert set(values) == MEASURED
    sr = read_rgb(place.root / "evaluations" / "full" / "seed-0" / "photos" / f"{name}.png")
    hr = read_rgb(place.root / "data" / "photos" / "hr" / f"{name}.png")
    inner = (slice(2, -2), slice(2, -2))
    expected = peak_signal_noise_ratio(hr[inner], sr[inner], data_range=255)
    assert values["psnr-rgb"] == pytest.approx(expected, abs=1e-3)
    difference = abs(sr.astype(float) - hr.astype(float)).mean()
    assert values["grey-levels"] == pytest.approx(difference, abs=1e-3)
    assert "curl" in meta["missing"]["dists"]
    assert "fails on an image of 64x64" in meta["missing"]["ms-ssim"]


def test_the_report_shows_them_under_their_titles(place: Place) -> None:
    report = place.root / "report"
    page = (report / "index.html").read_text()
    for word in ("PSNR (R&amp;G_B)", "GMSD", "entropy", "Levels", "own file, sha256", "DISTS"):
        assert word in page, word
    table = (report / "tables" / "main-photos.md").read_text()
    for heading in (r"PSNR (R&G\_B) ↑", "GMSD ↓", "entropy ↑", "Levels ↓", "DISTS ↓"):
        assert heading in table, heading
    assert "curl -fL" in page, "how to get what is missing"
    latex = "".join(path.read_text() for path in (report / "tables").glob("*.tex"))
    assert r"PSNR (R\&G\_B)" in latex
    content = gather(Experiment.load(place.folder / "tiny.yaml"), place.root)
    assert {metric for _, _, metric in content.means} == MEASURED
    assert content.cards["grey-levels"]["code"] == content.metric("grey-levels").digest
    assert not any(content.unverified(metric) for metric in MEASURED)


def test_statistics_and_records_know_their_direction(place: Place) -> None:
    content = gather(Experiment.load(place.folder / "tiny.yaml"), place.root)
    higher = {c.metric: c.higher_is_better for c in content.comparisons}
    higher |= {m.id: m.higher_is_better for m in content.metrics}
    assert higher["gmsd"] is False
    assert higher["entropy"] is True
    board = leaderboard(content)
    assert (board.order, board.ascending) == ("photos/grey-levels", True)
    _, children = map_experiment(content)
    student = next(child for child in children if child.name == "full/seed-0")
    named = {point.metric for point in student.points}
    assert {f"photos/{metric}" for metric in MEASURED} <= named


def test_another_file_is_scored_anew_and_nothing_else(place: Place) -> None:
    before, _ = stored(place)
    images = sorted((place.root / "evaluations").glob("**/*.png"))
    drawn = [path.stat().st_mtime_ns for path in images]
    (place.folder / "lab" / "own.py").write_text(OWN.format(factor=1))
    for command in ("evaluate", "compare", "report"):
        assert place.tadsr(command) == 0
    after, meta = stored(place)
    assert after.pop("grey-levels") == pytest.approx(before.pop("grey-levels") / 255, rel=1e-6)
    assert after == before
    assert [path.stat().st_mtime_ns for path in images] == drawn
    cards = json.loads((place.root / "comparison" / "cards.json").read_text())
    assert cards["grey-levels"]["code"] == meta["cards"]["grey-levels"]["code"]


def test_a_frozen_experiment_refuses_a_file_that_has_changed(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    from tadsr.cli import main
    from tadsr.config.loading import freeze
    from tadsr.files import write_json

    frozen = place.root / "experiment.json"
    write_json(frozen, freeze(Experiment.load(place.folder / "tiny.yaml")))
    assert main(["evaluate", str(frozen), "baselines"]) == 0
    (place.folder / "lab" / "own.py").write_text(OWN.format(factor=2))
    capsys.readouterr()
    assert main(["evaluate", str(frozen), "baselines"]) != 0
    error = capsys.readouterr().err.strip()
    assert Path("lab/own.py").as_posix() in error
    assert "has changed since the experiment was read" in error
    assert "\n" not in error
