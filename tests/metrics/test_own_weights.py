"""MUSIQ and CLIPIQA: their classes and loading, with weights made here of the real shapes."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch

from tadsr.config.metrics import METRICS
from tadsr.metrics import Missing, load_metric
from tests.metrics.test_backends import image, loaded


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
