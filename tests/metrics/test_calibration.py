"""Metrics against numbers that nobody here computed.

`iqa_calibration` holds five pairs of TID2013 and what the metrics' official implementations give
for them (the table of IQA-PyTorch, `ResultsCalibra/`). Tolerances are stated where they are more
than the rounding of that table; docs/metrics.md shows the deviations measured.
"""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
import torch

from tadsr.config.metrics import METRICS, MetricSpec
from tadsr.data.images import read_rgb, to_tensor
from tadsr.metrics import Metric, load_metric
from tadsr.weights import CATALOG, Missing, status
from tests.metrics.conftest import OWN_HOME

STEMS = ("I03", "I04", "I06", "I08", "I19")


def of(name: str, **changes: object) -> MetricSpec:
    return METRICS[name].model_copy(update=changes)


PIQE = MetricSpec(
    id="piqe", title="PIQE", pyiqa="piqe", higher_is_better=False, needs_reference=False
)


def official(shared: Path, name: str) -> list[float]:
    """A row of the official column, in the order of `STEMS`."""
    with (shared / "data" / "iqa_calibration" / "results_official.csv").open() as stream:
        rows = {row["Method"]: row for row in csv.DictReader(stream)}
    return [float(rows[name][f"{stem}.bmp"]) for stem in STEMS]


def loaded(spec: MetricSpec) -> Metric:
    metric = load_metric(spec)
    assert isinstance(metric, Metric), str(metric)
    return metric


def scores(shared: Path, metric: Metric) -> list[float]:
    folder = shared / "data" / "iqa_calibration"
    found = []
    for stem in STEMS:
        dist, ref = (to_tensor(read_rgb(folder / k / f"{stem}.bmp")) for k in ("dist", "ref"))
        found.append(metric.score(dist, ref if metric.spec.needs_reference else None))
    return found


@pytest.mark.parametrize(
    ("spec", "tolerances"),
    [
        # The table's PSNR is of RGB and its SSIM of YIQ's Y; ours differ from them by options
        # alone, and are held against scikit-image in test_properties.py.
        (of("psnr", options={}), [0.006] * 5),
        (of("ssim", options={}), [6e-4] * 5),
        (of("lpips"), [6e-5] * 5),
        # NIQE in Python differs from Matlab's in resizing; I03 and I19 are nearly all noise.
        (of("niqe"), [0.11, 0.01, 0.01, 0.01, 0.45]),
        (PIQE, [0.006] * 5),
    ],
    ids=lambda value: getattr(value, "id", ""),
)
def test_official_values(shared, weights, spec: MetricSpec, tolerances: list[float]) -> None:
    metric = loaded(spec)
    assert metric.card.verified is (True if spec.weights else None)
    found = scores(shared, metric)
    for stem, value, expected, tolerance in zip(
        STEMS, found, official(shared, spec.id), tolerances, strict=True
    ):
        assert value == pytest.approx(expected, abs=tolerance), stem


def test_niqe_is_that_of_the_published_table_of_this_implementation(shared, weights) -> None:
    # calibration_summary.csv, "niqe(ours)"; on noise the last digits depend on the processor
    expected = [15.6538, 3.6549, 3.2342, 3.1921, 9.0722]
    assert scores(shared, loaded(METRICS["niqe"])) == pytest.approx(expected, abs=6e-3)


def test_the_example_of_lpips(shared, weights) -> None:
    folder = shared / "data" / "lpips_example"
    metric = loaded(METRICS["lpips"])
    reference = to_tensor(read_rgb(folder / "ex_ref.png"))
    for name, expected in (("ex_p0", 0.7219), ("ex_p1", 0.1376)):
        image = to_tensor(read_rgb(folder / f"{name}.png"))
        assert metric.score(image, reference) == pytest.approx(expected, abs=6e-5)


@pytest.fixture
def own_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    """The weights folder of whoever runs the tests."""
    monkeypatch.setenv("TADSR_WEIGHTS", str(OWN_HOME))


def real(name: str) -> Metric:
    """A metric with its published weights, or a skip that says how to get them."""
    for file in METRICS[name].weights:
        if isinstance(found := status(file), Missing):
            pytest.skip(
                f"{found.reason}: {CATALOG[file].file_name} belongs at {CATALOG[file].path} of "
                f"the weights folder; tadsr weights fetch {name}"
            )
    metric = loaded(METRICS[name])
    assert metric.card.verified is True
    return metric


@pytest.mark.slow
def test_musiq_with_its_published_weights(shared, own_weights) -> None:
    # The official numbers are TensorFlow's. The table's own column for this implementation is
    # 12.4773, 75.7764, 73.7459, 75.4604, 38.0248: up to 1.09 away, on I19.
    found = scores(shared, real("musiq"))
    assert found == pytest.approx(official(shared, "musiq"), abs=1.2)


@pytest.mark.slow
def test_clipiqa_with_its_published_weights(shared, own_weights) -> None:
    """No official numbers of it on these images are known: pyiqa's own way of loading is held."""
    import pyiqa

    metric = real("clipiqa")
    theirs = pyiqa.create_metric("clipiqa", device="cpu")
    folder = shared / "data" / "iqa_calibration" / "dist"
    for stem, value in zip(STEMS, scores(shared, metric), strict=True):
        with torch.no_grad():
            expected = float(theirs(to_tensor(read_rgb(folder / f"{stem}.bmp"))[None]))
        assert value == pytest.approx(expected, abs=1e-6)
        assert 0 <= value <= 1
