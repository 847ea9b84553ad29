"""Metrics against official calibration values and independent implementations."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from skimage.metrics import peak_signal_noise_ratio

from tadsr.config.metrics import METRICS, MetricSpec, metric_for
from tadsr.config.pyiqa_table import FORMULAS, pyiqa_table
from tadsr.errors import ConfigError, DataError
from tadsr.metrics import (
    Metric,
    Missing,
    NotComputableError,
    load_metric,
    same_identity,
)
from tadsr.metrics.arithmetic import same_draws
from tadsr.metrics.card import is_unverified
from tadsr.seeds import torch_generator


def loaded(spec: MetricSpec, **options: object) -> Metric:
    metric = load_metric(spec, "cpu", **options)  # type: ignore[arg-type]
    assert isinstance(metric, Metric), str(metric)
    return metric


def image(height: int = 96, width: int = 80, name: str = "a") -> torch.Tensor:
    levels = torch.randint(0, 256, (3, height, width), generator=torch_generator(0, name))
    return levels.float() / 255


def luma(image: torch.Tensor) -> np.ndarray:
    """Y of BT.601 in studio range, [16, 235]: Matlab's rgb2ycbcr."""
    red, green, blue = image.double().numpy()
    return 16 + 65.481 * red + 128.553 * green + 24.966 * blue


def test_psnr_is_that_of_luma() -> None:
    sr, hr = image(), (image() * 0.9 + 0.05)
    expected = peak_signal_noise_ratio(luma(hr), luma(sr), data_range=255)
    assert loaded(METRICS["psnr"]).score(sr, hr) == pytest.approx(expected, abs=1e-3)


def test_the_classic_preset_cuts_the_border() -> None:
    sr, hr = image(), image().clone()
    hr[:, :4] = 0
    hr[:, :, -4:] = 1
    hr[:, 50, 50] = 0.5
    inner = (slice(4, -4), slice(4, -4))
    expected = peak_signal_noise_ratio(luma(hr)[inner], luma(sr)[inner], data_range=255)
    metric = loaded(metric_for("psnr", "classic"))
    assert metric.score(sr, hr, grey=False) == pytest.approx(expected, abs=1e-2)
    assert metric.score(sr, hr, grey=False) > loaded(METRICS["psnr"]).score(sr, hr) + 10
    assert "border_crop" in (same_identity(metric.card, loaded(METRICS["psnr"]).card) or "")


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_lpips_agrees_with_the_lpips_package(weights) -> None:
    import lpips

    ours = loaded(METRICS["lpips"])  # and from here on TORCH_HOME is set
    theirs = lpips.LPIPS(net="alex", verbose=False)
    sr, hr = image(64, 64), image(64, 64, "b")
    with torch.no_grad():
        expected = float(theirs(sr[None], hr[None], normalize=True))
    assert ours.score(sr, hr) == pytest.approx(expected, abs=1e-5)


def test_autocast_outside_changes_nothing(weights) -> None:
    metric = loaded(METRICS["lpips"])
    sr, hr = image(64, 64), image(64, 64, "b")
    expected = metric.score(sr, hr)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert metric.score(sr, hr) == expected


def test_pairs_that_cannot_be_compared() -> None:
    metric = loaded(METRICS["psnr"])
    with pytest.raises(DataError, match="80x96 and reference 76x96"):
        metric.score(image(), image()[:, :, :76])
    with pytest.raises(DataError, match="needs a reference"):
        metric.score(image())
    with pytest.raises(DataError, match="NaN"):
        metric.score(image() * float("nan"), image())
    with pytest.raises(DataError, match="outside"):
        metric.score(image() * 255, image())
    with pytest.raises(DataError, match="shape"):
        metric.score(image()[:1], image()[:1])


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_images_on_which_a_metric_is_not_defined(weights) -> None:
    with pytest.raises(NotComputableError, match="needs 96 pixels"):
        loaded(METRICS["niqe"]).score(image(95, 200))
    with pytest.raises(NotComputableError, match="not defined"):
        loaded(METRICS["niqe"]).score(torch.full((3, 200, 200), 0.5))
    with pytest.raises(NotComputableError, match="needs 19 pixels"):
        loaded(METRICS["ssim"].model_copy(update={"border_crop": 4})).score(
            image(18, 40), image(18, 40)
        )


def test_without_weights_a_metric_is_missing(no_weights) -> None:
    for name in ("lpips", "niqe", "musiq", "clipiqa"):
        missing = load_metric(METRICS[name])
        assert isinstance(missing, Missing)
        assert missing.command == "tadsr weights fetch"
        assert "are not here" in missing.reason
    assert isinstance(load_metric(METRICS["psnr"]), Metric)
    assert not no_weights.exists()


def test_weights_that_the_catalogue_does_not_know_are_not_downloaded(no_weights) -> None:
    spec = MetricSpec(
        id="brisque", title="B", pyiqa="brisque", higher_is_better=False, needs_reference=False
    )
    missing = load_metric(spec)
    assert isinstance(missing, Missing)
    assert "https://huggingface.co" in missing.reason
    assert missing.command.startswith("by hand: curl -fL --create-dirs -o ")


def test_a_metric_that_pyiqa_does_not_know() -> None:
    spec = METRICS["psnr"].model_copy(update={"pyiqa": "psnrr"})
    with pytest.raises(ConfigError, match="did you mean 'psnr"):
        load_metric(spec)


def test_other_tensors_are_not_verified(weights, tmp_path, monkeypatch) -> None:
    from scipy.io import loadmat, savemat

    source = weights / "hub" / "pyiqa" / "niqe_modelparameters.mat"
    values = loadmat(source)
    official = loaded(METRICS["niqe"]).card
    for change, same in ((0.0, True), (1e-9, False)):
        target = tmp_path / f"{change}" / "hub" / "pyiqa" / "niqe_modelparameters.mat"
        target.parent.mkdir(parents=True)
        changed = {k: values[k] for k in ("mu_prisparam", "cov_prisparam")}
        changed["mu_prisparam"] = changed["mu_prisparam"] + change
        savemat(target, changed)
        monkeypatch.setenv("TADSR_WEIGHTS", str(tmp_path / f"{change}"))
        card = loaded(METRICS["niqe"]).card
        assert card.verified is same
        assert (same_identity(card, official) is None) is same


class Evil:
    """Would make a folder when unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.marker),)


def test_unusable_files_are_missing_with_the_reason(weights, tmp_path, monkeypatch) -> None:
    home = tmp_path / "home"
    shutil.copytree(weights, home)
    monkeypatch.setenv("TADSR_WEIGHTS", str(home))
    musiq = home / "hub" / "pyiqa" / "musiq_koniq_ckpt-e95806b9.pth"
    musiq.write_bytes(b"not the file")
    missing = load_metric(METRICS["musiq"])
    assert isinstance(missing, Missing)
    assert "damaged or another file" in missing.reason
    (home / "hub" / "pyiqa" / "niqe_modelparameters.mat").write_bytes(b"not the file")
    missing = load_metric(METRICS["niqe"])
    assert isinstance(missing, Missing)
    assert "cannot be loaded" in missing.reason
    marker = tmp_path / "unpickled"
    torch.save(Evil(marker), home / "hub" / "checkpoints" / "alexnet-owt-7be5be79.pth")
    missing = load_metric(METRICS["lpips"])
    assert isinstance(missing, Missing)
    assert "cannot be loaded" in missing.reason
    assert not marker.exists()


def of_pyiqa(name: str, **changes: object) -> MetricSpec:
    asked = {"id": "asked", "pyiqa": name, "needs_reference": True, "higher_is_better": True}
    return MetricSpec.model_validate({**asked, **changes})


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (of_pyiqa("gmsd"), "metric 'asked': higher_is_better: .*'gmsd' is better when it is lower"),
        (of_pyiqa("vif", needs_reference=False), "needs_reference: .*'vif' needs a reference"),
        (of_pyiqa("entropy"), "needs_reference: .*'entropy' takes no reference"),
        (of_pyiqa("sfid", needs_reference=False), "one number per set of images"),
        (of_pyiqa("vif", per_set=True), "one number per image, not per set"),
        (of_pyiqa("vif", options={"no_such": 1}), "metric 'asked': options: .*no_such"),
    ],
)
def test_what_contradicts_pyiqa_is_refused(spec: MetricSpec, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_metric(spec)


def test_a_metric_in_rgb_is_that_of_the_three_channels() -> None:
    sr, hr = image(), (image() * 0.9 + 0.05)
    metric = loaded(of_pyiqa("psnr"))
    expected = peak_signal_noise_ratio(hr.double().numpy(), sr.double().numpy(), data_range=1)
    assert metric.score(sr, hr) == pytest.approx(expected, abs=1e-3)
    assert metric.card.color_space == "RGB"


@pytest.mark.parametrize("name", [*FORMULAS])
def test_formulas_need_no_file_and_are_not_called_unverified(no_weights, name: str) -> None:
    table = pyiqa_table()[name]
    metric = loaded(of_pyiqa(
        name, needs_reference=table["metric_mode"] == "FR",
        higher_is_better=not table.get("lower_better", False),
    ))  # fmt: skip
    assert not is_unverified(metric.card.to_dict())
    assert not no_weights.exists()


def test_an_image_too_small_for_a_metric_of_pyiqas_is_told() -> None:
    with pytest.raises(
        NotComputableError, match=r"asked: fails on an image of 64x64 .RuntimeError"
    ):
        loaded(of_pyiqa("ms_ssim")).score(image(64, 64), image(64, 64, "b"))


@pytest.mark.parametrize("name", ["dists", "nima", "clipiqa+"])
def test_weights_that_only_a_download_would_give(no_weights, name: str) -> None:
    higher, full = name != "dists", name == "dists"
    missing = load_metric(of_pyiqa(name, higher_is_better=higher, needs_reference=full))
    assert isinstance(missing, Missing)
    assert str(no_weights) in missing.command, "where it belongs"
    assert "curl -fL" in missing.command or "where there is a network" in missing.command


def test_tensors_that_a_user_vouches_for(weights) -> None:
    tensors = loaded(METRICS["lpips"]).card.tensors
    asked = METRICS["lpips"].model_copy(update={"id": "lpips-own", "tensors": tensors})
    assert loaded(asked).card.verified is True
    assert loaded(asked.model_copy(update={"tensors": "0" * 64})).card.verified is False


def test_metrics_that_look_at_random_patches_repeat_themselves() -> None:
    before = torch.random.get_rng_state(), np.random.get_state()[1].copy()
    with same_draws(True):
        first = float(torch.rand(())), np.random.rand()
    with same_draws(True):
        second = float(torch.rand(())), np.random.rand()
    assert first == second
    assert torch.equal(before[0], torch.random.get_rng_state())
    assert (before[1] == np.random.get_state()[1]).all()
