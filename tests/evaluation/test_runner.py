"""Evaluations: what is measured, what is kept, what is made anew."""

from __future__ import annotations

import contextlib
import io
import json
import runpy
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.io import loadmat, savemat
from skimage.metrics import peak_signal_noise_ratio

from tadsr.config.data import DatasetSpec
from tadsr.config.metrics import METRICS, MetricSpec, metric_for
from tadsr.data.images import read_rgb
from tadsr.data.manifest import build_dataset
from tadsr.errors import ConfigError, DataError, TadsrError
from tadsr.evaluation import Bicubic, EvaluationOutcome, evaluate, evaluate_dataset, measure
from tadsr.evaluation.measure import MetricLoader, Scorer
from tadsr.evaluation.scores import gather, read_scores, write_scores
from tadsr.metrics import load_metric
from tadsr.seeds import numpy_generator
from tests.tiny import killed

NAMES = ("a", "b", "c")
IDENTITY = {
    "upscaler": "bicubic",
    "upscaler_content": "1",
    "dataset": "d",
    "dataset_content": "2",
}
PSNR, SSIM, LPIPS, NIQE = (METRICS[name] for name in ("psnr", "ssim", "lpips", "niqe"))


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    source, folder = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("dataset")
    for name in NAMES:
        rough = numpy_generator(0, name).integers(0, 256, (12, 24, 3), dtype=np.uint8)
        Image.fromarray(rough).resize((192, 96)).save(source / f"{name}.png")
    spec = DatasetSpec(kind="folder", path=str(source), degradation="bicubic")
    build_dataset("d", spec, folder)
    return folder


@pytest.fixture(autouse=True)
def no_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TADSR_WEIGHTS", str(tmp_path / "weights"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))


class Run:
    """Evaluates into one place and counts how often what was called."""

    def __init__(self, dataset: Path, folder: Path) -> None:
        self.dataset = dataset
        self.parquet = folder / "d.parquet"
        self.images = folder / "d"
        self.loaded = 0
        self.upscaled: list[str] = []
        self.units: list[tuple[int, int]] = []
        self.workers = 1
        self.loader: MetricLoader | None = None

    def __call__(
        self, metrics: list[MetricSpec], change: Callable[..., Any] | None = None,
        progress: Callable[[int, int], None] | None = None, **identity: str,
    ) -> EvaluationOutcome:  # fmt: skip
        self.upscaled, self.units, self.loaded = [], [], 0
        run = self

        class Counted(Bicubic):
            def __init__(self) -> None:
                super().__init__()
                run.loaded += 1

            def upscale(self, lr: torch.Tensor, image: str) -> torch.Tensor:
                run.upscaled.append(image)
                sr = super().upscale(lr, image)
                return change(sr, image) if change else sr

        return evaluate_dataset(
            Counted, self.dataset, self.parquet, self.images, metrics, {**IDENTITY, **identity},
            device="cpu", progress=progress or (lambda *units: self.units.append(units)), threads=1,
            workers=self.workers, loader=self.loader,
        )  # fmt: skip


@pytest.fixture
def run(dataset: Path, tmp_path: Path) -> Run:
    return Run(dataset, tmp_path / "evaluations" / "bicubic")


def luma(path: Path) -> np.ndarray:
    red, green, blue = read_rgb(path).astype(float).transpose(2, 0, 1) / 255
    return 16 + 65.481 * red + 128.553 * green + 24.966 * blue


def test_scores_are_those_of_the_stored_images(run: Run) -> None:
    outcome = run([PSNR, SSIM])
    scores, meta = read_scores(run.parquet)
    for name in NAMES:
        stored, hr = luma(run.images / f"{name}.png"), luma(run.dataset / "hr" / f"{name}.png")
        value = scores.query("image == @name and metric == 'psnr'")["value"].item()
        expected = peak_signal_noise_ratio(hr, stored, data_range=255)
        assert value == pytest.approx(expected, abs=1e-3)
    mean = scores.query("metric == 'psnr'")["value"].mean()
    assert outcome.means["psnr"] == pytest.approx(mean, rel=1e-12)
    assert outcome.missing == {}
    assert {key: meta[key] for key in IDENTITY} == IDENTITY
    assert meta["cards"]["ssim"]["border_crop"] == 0
    assert run.units[-1] == (3, 3)
    assert [done for done, _ in run.units] == sorted(done for done, _ in run.units)


def test_nothing_is_done_twice_and_bytes_stay(run: Run, tmp_path: Path) -> None:
    run([PSNR])
    before = run.parquet.read_bytes()
    run([PSNR])
    assert run.loaded == 0
    assert run.parquet.read_bytes() == before
    again = Run(run.dataset, tmp_path / "again")
    again([PSNR])
    assert again.parquet.read_bytes() == before


def test_a_metric_more_leaves_the_model_alone_and_one_less_goes(run: Run, monkeypatch) -> None:
    from tadsr.metrics.backends import Metric

    run([PSNR])
    scored: list[str] = []
    score = Metric.score
    monkeypatch.setattr(
        Metric, "score",
        lambda self, *a, **k: (scored.append(self.spec.id), score(self, *a, **k))[1],
    )  # fmt: skip
    outcome = run([PSNR, SSIM])
    assert run.loaded == 0
    assert scored == ["ssim"] * 3
    assert set(outcome.means) == {"psnr", "ssim"}
    run([SSIM])
    assert set(read_scores(run.parquet)[0]["metric"]) == {"ssim"}
    scored.clear()
    run([SSIM, PSNR.model_copy(update={"border_crop": 4})])
    run([SSIM, PSNR])
    assert scored == ["psnr"] * 6


def test_an_interrupted_evaluation_continues(run: Run) -> None:
    def stop(sr: torch.Tensor, image: str) -> torch.Tensor:
        if image == "b":
            raise KeyboardInterrupt
        return sr

    with pytest.raises(KeyboardInterrupt):
        run([PSNR], stop)
    assert not run.parquet.exists()
    run([PSNR])
    assert run.upscaled == ["b", "c"]


@pytest.mark.parametrize("key", ["upscaler_content", "dataset_content"])
def test_other_content_makes_everything_anew(run: Run, key: str) -> None:
    run([PSNR])
    first = read_scores(run.parquet)[0]
    run([PSNR], lambda sr, image: sr * 0.5, **{key: "another"})
    assert run.upscaled == list(NAMES)
    second, meta = read_scores(run.parquet)
    assert meta[key] == "another"
    assert (second["value"] < first["value"]).all()


def test_a_changed_image_is_scored_anew(run: Run) -> None:
    run([PSNR])
    before = read_scores(run.parquet)[0].set_index("image")["value"]
    Image.fromarray(read_rgb(run.images / "b.png") // 2).save(run.images / "b.png")
    (run.images / "c.png").unlink()
    run([PSNR])
    assert run.upscaled == ["c"]
    after = read_scores(run.parquet)[0].set_index("image")["value"]
    assert after["b"] < before["b"] - 1
    assert after["a"] == before["a"]
    assert after["c"] == before["c"]


def test_a_model_that_makes_nan_is_named_and_the_rest_kept(run: Run) -> None:
    with pytest.raises(DataError, match=r"1 of 3 images failed: 'b': .*NaN"):
        run([PSNR], lambda sr, image: sr * float("nan") if image == "b" else sr)
    scores, meta = read_scores(run.parquet)
    assert list(scores["image"]) == ["a", "c"]
    assert "NaN" in meta["failed"]["b"]
    run([PSNR])
    assert run.upscaled == ["b"]
    scores, meta = read_scores(run.parquet)
    assert list(scores["image"]) == list(NAMES)
    assert meta["failed"] == {}


def test_a_model_that_makes_another_size(run: Run) -> None:
    with pytest.raises(DataError, match=r"3 of 3 images failed.*\(3, 96, 191\)"):
        run([PSNR], lambda sr, image: sr[:, :, :-1])
    scores, meta = read_scores(run.parquet)
    assert len(scores) == 0
    assert "no image" in meta["missing"]["psnr"]


def test_missing_metrics_have_no_number(run: Run) -> None:
    outcome = run([PSNR, METRICS["musiq"]])
    assert set(outcome.means) == {"psnr"}
    assert outcome.missing["musiq"].endswith("; tadsr weights fetch")
    scores, meta = read_scores(run.parquet)
    assert set(scores["metric"]) == {"psnr"}
    assert meta["missing"] == outcome.missing
    assert set(meta["cards"]) == {"psnr"}


def test_weights_that_come_later_fill_their_column(run: Run, shared, tmp_path) -> None:
    run([PSNR, LPIPS, NIQE])
    script = shared / "weights" / "install_metric_weights.py"
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(io.StringIO()):
        patch.setattr(sys, "argv", [str(script), str(tmp_path / "weights")])
        runpy.run_path(str(script), run_name="__main__")
    outcome = run([PSNR, LPIPS, NIQE])
    assert run.loaded == 0
    assert set(outcome.means) == {"psnr", "lpips", "niqe"}
    before = run.parquet.read_bytes()
    (tmp_path / "weights" / "hub" / "pyiqa" / "niqe_modelparameters.mat").unlink()
    run([PSNR, LPIPS, NIQE])  # the numbers hold without the file that made them
    assert run.parquet.read_bytes() == before
    assert outcome.unverified == ()
    values = loadmat(shared / "weights" / "niqe_modelparameters.mat")
    changed = {key: values[key] for key in ("mu_prisparam", "cov_prisparam")}
    changed["mu_prisparam"] = changed["mu_prisparam"] + 1e-9
    savemat(tmp_path / "weights" / "hub" / "pyiqa" / "niqe_modelparameters.mat", changed)
    assert run([PSNR, LPIPS, NIQE]).unverified == ("niqe",)


def test_images_too_small_for_a_metric_are_skipped_by_name(run: Run) -> None:
    cut = SSIM.model_copy(update={"border_crop": 45})
    outcome = run([PSNR, cut])
    assert "needs 101 pixels" in outcome.missing["ssim"]
    _, meta = read_scores(run.parquet)
    assert set(meta["skipped"]["ssim"]) == set(NAMES)


def test_without_references(run: Run, dataset: Path, tmp_path: Path) -> None:
    spec = DatasetSpec(kind="lr_only", path=str(dataset / "lr"))
    build_dataset("d", spec, tmp_path / "lr_only")
    other = Run(tmp_path / "lr_only", tmp_path / "out")
    outcome = other([PSNR, NIQE])
    assert outcome.means == {}
    assert outcome.missing["psnr"].startswith("not applicable")
    assert "niqe" in outcome.missing["niqe"]
    assert len(list(other.images.glob("*.png"))) == 3


def test_evaluate_a_callers_own_pairs(dataset: Path) -> None:
    paths = [dataset / "hr" / f"{name}.png" for name in NAMES]
    tensor = torch.full((3, 96, 192), 0.25)
    pairs = [(paths[0], paths[0]), (paths[1], paths[2]), (tensor, tensor * 1.001), (paths[2], None)]
    frame = evaluate(pairs, ["psnr", SSIM, "musiq"])
    assert list(frame.columns) == ["image", "metric", "value"]
    values = frame.set_index(["metric", "image"])["value"]
    assert values["ssim"]["a"] == pytest.approx(1)
    assert values["psnr"]["b"] < 30
    assert set(values["psnr"].index) == {"b"}
    skipped = frame.attrs["skipped"]["psnr"]
    assert set(skipped) == {"a", "image-2"}  # the second is equal once rounded to 8 bits
    assert "infinite" in skipped["a"]
    assert frame.attrs["cards"]["psnr"]["metric"] == "psnr"
    assert set(frame.attrs["missing"]) == {"musiq"}


def test_evaluate_names_what_is_wrong(dataset: Path) -> None:
    path = dataset / "hr" / "a.png"
    with pytest.raises(ConfigError, match="did you mean 'psnr'"):
        evaluate([(path, path)], ["psnrr"])
    with pytest.raises(DataError, match=r"image 'a'.*differ in size"):
        evaluate([(path, dataset / "lr" / "a.png")], ["psnr"])
    with pytest.raises(DataError, match="twice"):
        evaluate([(path, path), (path, path)], ["psnr"])


@pytest.mark.parametrize(
    ("name", "grey", "expected"),
    [
        ("set5", "rgb", 28.43),
        ("set5", "levels", 28.43),
        ("set14", "rgb", 26.09),  # its one grey picture read as RGB, as pyiqa's users do
        ("set14", "levels", 26.00),  # and scored on its own levels, as the classical tables do
    ],
)
def test_known_values_of_bicubic(
    shared: Path, tmp_path: Path, name: str, grey: str, expected: float
) -> None:
    spec = DatasetSpec(kind="pairs", path=str(shared / "data" / name))
    build_dataset(name, spec, tmp_path / name)
    run = Run(tmp_path / name, tmp_path / "out")
    classic = metric_for("psnr", "classic")
    assert classic.grey == "levels"
    outcome = run([classic.model_copy(update={"grey": grey})])
    assert outcome.means["psnr"] == pytest.approx(expected, abs=0.005)
    card = read_scores(run.parquet)[1]["cards"]["psnr"]
    assert (card["grey"], card["border_crop"]) == (grey, 4)


def test_a_grey_reference_scores_alike_from_its_file_and_from_its_data_set(
    tmp_path: Path,
) -> None:
    """Greyness is what the file says: the same levels in three channels are an RGB picture."""
    levels = numpy_generator(0, "grey").integers(0, 256, (48, 64), dtype=np.uint8)
    for mode in ("L", "RGB"):
        (tmp_path / mode).mkdir()
        Image.fromarray(levels).convert(mode).save(tmp_path / mode / "a.png")
    spec = DatasetSpec(kind="folder", path=str(tmp_path / "L"), degradation="bicubic")
    build_dataset("d", spec, tmp_path / "d")
    other = np.repeat(levels[:, :, None] // 2, 3, axis=2)
    Image.fromarray(other).save(tmp_path / "sr.png")
    classic = metric_for("psnr", "classic")
    values = {}
    for place in ("L/a.png", "d/hr/a.png", "RGB/a.png"):
        frame = evaluate([(tmp_path / "sr.png", tmp_path / place)], [classic])
        values[place] = frame["value"].item()
    inner = (slice(4, -4), slice(4, -4))
    expected = peak_signal_noise_ratio(levels[inner], levels[inner] // 2, data_range=255)
    assert values["L/a.png"] == pytest.approx(expected, abs=1e-3)
    assert values["d/hr/a.png"] == values["L/a.png"]
    # Y spans 219 of 255 levels
    assert values["RGB/a.png"] - expected == pytest.approx(20 * np.log10(255 / 219), abs=1e-3)


def with_card(parquet: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Rewrite the card of PSNR in a score file."""
    frame, meta = read_scores(parquet)
    change(meta["cards"]["psnr"])
    write_scores(parquet, frame, meta)


def test_a_card_of_an_earlier_version_is_completed_or_its_column_scored_anew(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tadsr.metrics.backends import Metric

    run([PSNR])
    before = run.parquet.read_bytes()
    scored: list[str] = []
    score = Metric.score
    monkeypatch.setattr(
        Metric, "score",
        lambda self, *a, **k: (scored.append(self.spec.id), score(self, *a, **k))[1],
    )  # fmt: skip

    def earlier(card: dict[str, Any]) -> None:
        for later in ("backbone", "reference_resize", "grey"):
            del card[later]

    with_card(run.parquet, earlier)
    run([PSNR])
    assert (scored, run.parquet.read_bytes()) == ([], before)
    for change in (
        lambda card: card["libraries"].update(pyiqa="0.1.0"),
        lambda card: card.update(unheard_of=1),
    ):
        with_card(run.parquet, change)
        run([PSNR])
        assert (len(scored), run.parquet.read_bytes()) == (3, before)
        assert run.loaded == 0, "from the images that are there"
        scored.clear()


def test_cards_that_differ_cannot_stand_in_one_column(dataset: Path, tmp_path: Path) -> None:
    classic = metric_for("psnr", "classic")
    for name, grey in (("bicubic", "rgb"), ("other", "levels")):
        folder = tmp_path / "evaluations" / name
        Run(dataset, folder)([classic.model_copy(update={"grey": grey})], upscaler=name)
    assert len(gather(tmp_path, ["d"], ["bicubic"]).frame) == 3
    with pytest.raises(
        TadsrError,
        match=r"other/d\.parquet.*bicubic/d\.parquet cannot stand in "
        r"one table: psnr: grey differs: rgb and levels; run `tadsr evaluate`",
    ):
        gather(tmp_path, ["d"])


def test_a_column_is_as_unverified_as_any_of_its_files(dataset: Path, tmp_path: Path) -> None:
    for name in ("bicubic", "other", "third"):
        Run(dataset, tmp_path / "evaluations" / name)([PSNR], upscaler=name)
    with_card(tmp_path / "evaluations" / "other" / "d.parquet",
              lambda card: card.update(verified=False))  # fmt: skip
    assert gather(tmp_path, ["d"]).cards["psnr"]["verified"] is False


@pytest.mark.parametrize("workers", [2, 4])
def test_workers_change_no_byte(run: Run, tmp_path: Path, workers: int) -> None:
    run([PSNR, SSIM])
    other = Run(run.dataset, tmp_path / "other")
    other.workers = workers
    other([PSNR, SSIM])
    assert other.parquet.read_bytes() == run.parquet.read_bytes()
    for name in NAMES:
        images = [(where.images / f"{name}.png").read_bytes() for where in (run, other)]
        assert images[0] == images[1]


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("limit", [1, 2])
def test_a_killed_evaluation_goes_on_where_it_was(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, workers: int, limit: int
) -> None:
    whole = Run(run.dataset, tmp_path / "whole")
    whole([PSNR, SSIM])
    run.workers = workers
    specs = [PSNR, SSIM]
    assert killed(lambda progress: run(specs, progress=progress), limit)
    lines = (run.images / "scores.jsonl").read_text().splitlines()
    scored = {json.loads(line)["image"] for line in lines if "image" in line}
    assert len(scored) >= limit
    assert not run.parquet.exists()
    (run.images / "scores.jsonl").open("a").write('{"image": "c", "pixels"')  # torn
    counted: list[str] = []
    score = Scorer.score
    monkeypatch.setattr(
        Scorer, "score",
        lambda self, sr, hr, wanted, place, lr: (counted.append(Path(place).stem),
                                                 score(self, sr, hr, wanted, place, lr))[1],
    )  # fmt: skip
    run(specs)
    assert sorted(counted) == sorted(set(NAMES) - scored)
    assert run.parquet.read_bytes() == whole.parquet.read_bytes()
    assert not (run.images / "scores.jsonl").exists()


def test_scores_from_memory_are_those_of_the_files(run: Run) -> None:
    run([PSNR, SSIM])
    scores, _ = read_scores(run.parquet)
    pairs = [(run.images / f"{name}.png", run.dataset / "hr" / f"{name}.png") for name in NAMES]
    again = evaluate(pairs, [PSNR, SSIM], workers=2)
    for frame in (scores, again):
        frame.sort_values(["metric", "image"], inplace=True, ignore_index=True)
    assert scores.equals(again[["image", "metric", "value"]])


def test_metrics_are_loaded_once_for_all_data_sets(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded: list[str] = []
    monkeypatch.setattr(
        measure, "load_metric",
        lambda spec, device: (loaded.append(spec.id), load_metric(spec, device))[1],
    )  # fmt: skip
    run.loader = MetricLoader("cpu")
    other = Run(run.dataset, tmp_path / "other")
    other.loader = run.loader
    run([PSNR, METRICS["musiq"]])
    other([PSNR, SSIM, METRICS["musiq"]])
    assert loaded == ["psnr", "musiq", "ssim", "musiq"]  # what is missing may have come since


@pytest.mark.parametrize("workers", [1, 2])
def test_files_that_cannot_be_used_are_all_named_and_the_rest_is_kept(
    dataset: Path, tmp_path: Path, workers: int
) -> None:
    broken = Path(shutil.copytree(dataset, tmp_path / "broken"))
    run = Run(broken, tmp_path / "out")
    run.workers = workers
    lr, hr = broken / "lr" / "a.png", broken / "hr" / "b.png"
    lr.write_bytes(lr.read_bytes()[:70])
    Image.fromarray(read_rgb(hr)[:-4]).save(hr)
    with pytest.raises(DataError, match=r"2 of 3 images failed: 'a': .*; 'b': .*") as caught:
        run([PSNR, SSIM])
    for part in (f"{lr}: damaged", f"reference {hr} of 192x92", "b.png of 192x96", "parquet"):
        assert part in str(caught.value)
    scores, meta = read_scores(run.parquet)
    assert list(scores["image"]) == ["c", "c"]
    assert set(meta["failed"]) == {"a", "b"}
    assert set(meta["pixels"]) == {"c"}
    for kind in ("lr", "hr"):
        shutil.copytree(dataset / kind, broken / kind, dirs_exist_ok=True)
    run([PSNR, SSIM])
    assert run.upscaled == ["a"], "b was made already"
    whole = Run(dataset, tmp_path / "whole")
    whole([PSNR, SSIM])
    assert run.parquet.read_bytes() == whole.parquet.read_bytes()


def test_a_damaged_stored_image_is_made_again(run: Run) -> None:
    run([PSNR])
    before = run.parquet.read_bytes()
    path = run.images / "b.png"
    path.write_bytes(path.read_bytes()[:100])
    (run.images / "c.png").write_bytes(b"")
    run([PSNR])
    assert run.upscaled == ["b", "c"]
    assert run.parquet.read_bytes() == before


def test_a_crash_of_the_model_keeps_what_was_scored(run: Run) -> None:
    def crash(sr: torch.Tensor, image: str) -> torch.Tensor:
        if image == "c":
            raise RuntimeError("out of luck")
        return sr

    run.workers = 2
    with pytest.raises(RuntimeError, match="out of luck"):
        run([PSNR], crash)
    assert (run.images / "scores.jsonl").read_text().count('"image"') == 2
    run([PSNR])
    assert run.upscaled == ["c"]


def test_evaluate_names_all_pairs_that_cannot_be_scored(dataset: Path, tmp_path: Path) -> None:
    (tmp_path / "empty.png").write_bytes(b"")
    hr, lr = dataset / "hr", dataset / "lr"
    pairs = [(hr / "a.png", hr / "b.png"), (hr / "b.png", lr / "b.png"),
             (tmp_path / "empty.png", hr / "c.png")]  # fmt: skip
    with pytest.raises(DataError, match=r"2 of 3 pairs.*image 'b': .*; image 'empty': .*empty"):
        evaluate(pairs, ["psnr"])
    frame = evaluate(pairs, ["psnr"], strict=False)
    assert list(frame["image"]) == ["a"]
    assert set(frame.attrs["failed"]) == {"b", "empty"}
