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
from tadsr.errors import ConfigError, DataError
from tadsr.metrics import (
    Metric,
    Missing,
    NotComputableError,
    is_unverified,
    load_metric,
    same_identity,
)
from tadsr.metrics.card import make_card
from tadsr.metrics.verification import judged, remember_tensors
from tadsr.seeds import torch_generator
from tadsr.weights import Present


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
    assert "by hand" in missing.command


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


def small(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Tensors of the real shapes whose rows overlap in memory, so that files are small.

    Row i begins seven numbers after row i - 1, so rows differ: equal ones would make a network
    that says the same of every image.
    """
    found = {}
    for key, value in state.items():
        found[key] = value
        if value.ndim >= 2:
            inner = value[0].numel()
            pool = value.flatten()[: inner + 7 * (len(value) - 1)]
            if len(pool) == inner + 7 * (len(value) - 1):
                found[key] = pool.clone().as_strided(value.shape, (7, *value.stride()[1:]))
    return found


def as_archive(state: dict[str, torch.Tensor], path: Path) -> None:
    """Store a state dict as a TorchScript archive, the format in which CLIP is published."""
    root = torch.nn.Module()
    for key, value in state.items():
        node = root
        *modules, name = key.split(".")
        for module in modules:
            if module not in dict(node.named_children()):
                node.add_module(module, torch.nn.Module())
            node = node.get_submodule(module)
        node.register_buffer(name, value)
    torch.jit.save(torch.jit.script(root), path)


@pytest.fixture(scope="module")
def musiq_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from pyiqa.archs.musiq_arch import MUSIQ

    path = tmp_path_factory.mktemp("musiq") / "musiq.pth"
    with torch.random.fork_rng():
        torch.manual_seed(0)
        torch.save(small(MUSIQ(pretrained=False).state_dict()), path)
    return path


@pytest.fixture(scope="module")
def clip_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from pyiqa.archs.clip_model import CLIP

    path = tmp_path_factory.mktemp("clip") / "RN50.pt"
    with torch.random.fork_rng():
        torch.manual_seed(0)
        # the sizes of CLIP RN50
        network = CLIP(1024, 224, (3, 4, 6, 3), 64, None, 77, 49408, 512, 8, 12)  # type: ignore[arg-type]
        as_archive(small(network.half().state_dict()), path)
    return path


def test_musiq_with_weights_of_our_own(musiq_file: Path, tmp_path: Path) -> None:
    metric = loaded(METRICS["musiq"], files={"musiq-koniq": musiq_file})
    assert metric.card.verified is False
    assert metric.card.backbone == "MUSIQ transformer, KonIQ-10k"
    assert metric.score(image(100, 130)) == metric.score(image(100, 130))
    (tmp_path / "bad.pth").write_bytes(musiq_file.read_bytes()[:-1000])
    assert isinstance(load_metric(METRICS["musiq"], files={"musiq-koniq": tmp_path / "bad.pth"}),
                      Missing)  # fmt: skip


def test_clipiqa_with_weights_of_our_own(clip_file: Path) -> None:
    metric = loaded(METRICS["clipiqa"], files={"clip-rn50": clip_file})
    assert metric.card.verified is False
    assert metric.card.tensors is not None
    assert "openai_clip" in metric.card.libraries
    assert 0 <= metric.score(image(64, 64)) <= 1


@pytest.mark.parametrize("name", ["musiq", "clipiqa"])
def test_a_batch_of_one_equals_a_batch_of_many(
    name: str, musiq_file: Path, clip_file: Path
) -> None:
    """pyiqa's network on several images at once, against ours on each."""
    files = {"musiq-koniq": musiq_file, "clip-rn50": clip_file}
    metric = loaded(METRICS[name], files=files)
    many = torch.stack([image(96, 128, "a"), image(96, 128, "b") * 0.3, image(96, 128) ** 4])
    with torch.no_grad():
        together = metric._network(many).flatten().tolist()
    alone = [metric.score(one) for one in many]
    assert alone == pytest.approx(together, rel=1e-5, abs=1e-6)
    assert len({round(value, 5) for value in alone}) == 3, "or nothing was compared"


@pytest.mark.parametrize(
    ("name", "file"),
    [("musiq", "hub/pyiqa/musiq_koniq_ckpt-e95806b9.pth"), ("clipiqa", "hub/clip/RN50.pt")],
)
def test_other_weights_under_the_right_name_are_not_used(
    name: str, file: str, musiq_file: Path, clip_file: Path, no_weights: Path
) -> None:
    path = no_weights / file
    path.parent.mkdir(parents=True)
    shutil.copyfile(musiq_file if name == "musiq" else clip_file, path)
    missing = load_metric(METRICS[name])
    assert isinstance(missing, Missing)
    assert "damaged or another file" in missing.reason
    assert missing.command == "tadsr weights fetch"


def test_tensors_that_nobody_vouches_for_are_not_verified() -> None:
    """A metric of pyiqa's that the catalogue does not know, with tensors from wherever."""
    spec = MetricSpec(id="x", pyiqa="dists", higher_is_better=False, needs_reference=True)
    card = make_card(spec, torch.nn.Linear(1, 1), None, "cpu")
    assert judged(card, spec, []).verified is False
    assert is_unverified(judged(card, spec, []).to_dict())
    assert card.tensors is not None
    for digest, known in ((card.tensors, True), ("0" * 64, False)):
        said = spec.model_copy(update={"tensors": digest})
        assert judged(card, said, []).verified is known
    formula = spec.model_copy(update={"pyiqa": "vif"})
    assert judged(card, formula, []).verified is None, "constants are no weights"
    without = make_card(spec, torch.nn.Identity(), None, "cpu")
    assert judged(without, spec, []).verified is None
    assert not is_unverified(without.to_dict())


def test_official_files_are_verified_and_put_the_tensors_on_record(no_weights: Path) -> None:
    spec = METRICS["musiq"]
    no_weights.mkdir()
    first, second = (make_card(spec, torch.nn.Linear(n, 1), None, "cpu") for n in (1, 2))
    here = Present("musiq-koniq", no_weights / "file", verified=True)
    other = Present("musiq-koniq", no_weights / "file", verified=False)
    assert judged(first, spec, [other]).verified is False
    official = judged(first, spec, [here])
    assert official.verified is True
    remember_tensors(official, spec)
    assert judged(first, spec, [other]).verified is True, "the tensors on record"
    assert judged(second, spec, [other]).verified is False
    remember_tensors(judged(second, spec, [other]), spec)
    assert judged(first, spec, [other]).verified is True, "the record stays"
    turned = spec.model_copy(update={"options": {"pretrained": "spaq"}})
    assert judged(first, turned, [here]).verified is False, "options choose other weights"
