"""FID against closed forms and against pyiqa's own arithmetic, on locally made weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from skimage import data

from tadsr.config.metrics import METRICS
from tadsr.data.images import write_png
from tadsr.errors import DataError
from tadsr.evaluation.measure import measure_set
from tadsr.metrics import Missing, SetMetric, load_metric
from tadsr.metrics.sets import frechet_distance


def spd(size: int, seed: int) -> np.ndarray:
    factor = np.random.default_rng(seed).normal(size=(size, size))
    return factor @ factor.T / size + 0.1 * np.eye(size)


def test_distance_of_gaussians_has_its_closed_forms() -> None:
    mean, covariance = np.zeros(6), spd(6, 0)
    assert frechet_distance(mean, covariance, mean, covariance) == pytest.approx(0, abs=1e-9)
    shift = np.arange(6.0)
    assert frechet_distance(mean, covariance, shift, covariance) == pytest.approx(shift @ shift)
    # Commuting covariances: the sum of squared differences of standard deviations.
    assert frechet_distance(mean, np.eye(6), mean, 4 * np.eye(6)) == pytest.approx(6.0)
    other = spd(6, 1)
    there = frechet_distance(mean, covariance, shift, other)
    assert there == pytest.approx(frechet_distance(shift, other, mean, covariance))


def test_distance_is_that_of_pyiqa_also_for_few_samples() -> None:
    from pyiqa.archs.fid_arch import frechet_distance as reference

    rng = np.random.default_rng(2)
    for samples in (400, 12):  # of full rank, and not
        first, second = rng.normal(size=(samples, 20)), 1 + 0.5 * rng.normal(size=(samples, 20))
        moments = [(x.mean(0), np.cov(x, rowvar=False)) for x in (first, second)]
        expected = float(np.real(reference(*moments[0], *moments[1])))
        assert frechet_distance(*moments[0], *moments[1]) == pytest.approx(expected, rel=1e-3)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A weights folder with an Inception network of the real shape and random weights."""
    from pyiqa.archs import inception

    folder = tmp_path_factory.mktemp("weights")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        kept: list[torch.nn.Module] = []
        before = inception.load_pretrained_network
        inception.load_pretrained_network = lambda network, url: kept.append(network)
        try:
            inception.fid_inception_v3()
        finally:
            inception.load_pretrained_network = before
        (network,) = kept
        for layer in network.modules():
            if isinstance(layer, torch.nn.Conv2d):  # else features fade to nothing
                torch.nn.init.kaiming_normal_(layer.weight)
    path = folder / "hub/pyiqa/pt_inception-2015-12-05-6726825d.pth"
    path.parent.mkdir(parents=True)
    torch.save(network.state_dict(), path)
    rng = np.random.default_rng(0)
    features = rng.normal(size=(50, 2048))
    np.savez(
        folder / "hub/pyiqa/ffhq_clean_trainval70k_512.npz",
        mu=features.mean(0), sigma=np.cov(features, rowvar=False),
    )  # fmt: skip
    return folder


def pictures(folder: Path, blur: int) -> list[Path]:
    paths = []
    for number in range(3):
        crop = data.astronaut()[64 * number : 64 * number + 96, 100:196]
        write_png(folder / f"{number}.png", np.ascontiguousarray(np.roll(crop, blur, axis=1)))
        paths.append(folder / f"{number}.png")
    return paths


def load(home: Path, name: str) -> SetMetric:
    files = {
        "inception-fid": home / "hub/pyiqa/pt_inception-2015-12-05-6726825d.pth",
        "ffhq-fid-stats": home / "hub/pyiqa/ffhq_clean_trainval70k_512.npz",
    }
    metric = load_metric(METRICS[name], files=files)
    assert isinstance(metric, SetMetric), str(metric)
    return metric


@pytest.mark.slow
def test_a_set_equals_itself_and_its_card_says_what_it_stands_on(
    home: Path, tmp_path: Path
) -> None:
    images, others = pictures(tmp_path / "a", 0), pictures(tmp_path / "b", 40)
    metric = load(home, "fid")
    assert metric.score(images, images) == pytest.approx(0, abs=1e-3)
    there = metric.score(images, others)
    assert there > 1e-3
    assert there == pytest.approx(metric.score(others, images), rel=1e-3)
    assert metric.card.verified is False, "locally made weights"
    column = measure_set(metric, images, others)
    assert column.values == {"": pytest.approx(there)}
    assert (
        measure_set(metric, images[:1], others[:1]).missing
        == "fid: 1 image(s); a set has two or more"
    )
    faces = load(home, "fid-ffhq")
    assert faces.score(images) > 0
    assert faces.card.tensors != metric.card.tensors, "the reference set is part of the card"
    with pytest.raises(DataError, match="needs reference"):
        metric.score(images)


def test_without_weights_it_is_missing_with_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TADSR_WEIGHTS", str(tmp_path))
    missing = load_metric(METRICS["fid"])
    assert isinstance(missing, Missing)
    assert "tadsr weights fetch" in str(missing)
