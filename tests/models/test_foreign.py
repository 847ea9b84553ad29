"""Checkpoints of other architectures: real ones, small, with local weights; and files to refuse."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tadsr.errors import TadsrError
from tadsr.models.foreign import load_foreign
from tadsr.seeds import torch_generator
from tests.foreign import NETWORKS, built, compact, dncnn, saved, swinir


def picture(height: int = 16, width: int = 24) -> Tensor:
    return torch.rand(1, 3, height, width, generator=torch_generator(0, "picture"))


@pytest.mark.parametrize("suffix", [".pth", ".safetensors", ".ckpt", ".pt"])
@pytest.mark.parametrize("architecture", list(NETWORKS))
def test_a_network_gives_what_it_gave_before_it_was_saved(
    architecture: str, suffix: str, tmp_path: Path
) -> None:
    network = built(NETWORKS[architecture])
    model = load_foreign(saved(network, tmp_path / f"network{suffix}"), 4)
    assert (model.architecture, model.scale) == (architecture, 4)
    assert model.parameters == sum(p.numel() for p in network.parameters())
    lr = picture()
    with torch.no_grad():
        expected = network(lr).clamp(0, 1)
    result = model(lr)
    assert result.shape == (1, 3, 64, 96)
    assert expected.std() > 0.001, "a constant image would prove nothing"
    torch.testing.assert_close(result, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("architecture", list(NETWORKS))
@pytest.mark.parametrize("size", [(1, 1), (7, 13)])
def test_any_size_is_padded_and_cut(
    architecture: str, size: tuple[int, int], tmp_path: Path
) -> None:
    model = load_foreign(saved(built(NETWORKS[architecture]), tmp_path / "network.pth"), 4)
    result = model(picture(*size))
    assert result.shape == (1, 3, 4 * size[0], 4 * size[1])
    assert torch.isfinite(result).all()
    assert 0 <= result.min() <= result.max() <= 1


@pytest.mark.parametrize(
    "wrap",
    [
        lambda state: {"params_ema": state, "params": {k: 0 * v for k, v in state.items()}},
        lambda state: {"state_dict": {f"module.{k}": v for k, v in state.items()}, "epoch": 3},
        lambda state: {k: v.half() for k, v in state.items()},
    ],
    ids=["average", "nested", "half"],
)
def test_usual_ways_of_saving(wrap: Callable[[Any], Any], tmp_path: Path) -> None:
    network = built(compact)
    model = load_foreign(saved(network, tmp_path / "network.pth", wrap), 4)
    assert all(p.dtype == torch.float32 for p in model.network.parameters())
    with torch.no_grad():
        expected = network(picture()).clamp(0, 1)
    torch.testing.assert_close(model(picture()), expected, rtol=0, atol=1e-3)


def test_it_computes_in_single_precision_whatever_surrounds_it(tmp_path: Path) -> None:
    model = load_foreign(saved(built(compact), tmp_path / "network.pth"), 4)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        within = model(picture())
    assert within.dtype == torch.float32
    assert torch.equal(within, model(picture()))


def test_a_restoration_network_stands_where_restoration_is_asked_for(tmp_path: Path) -> None:
    path = saved(built(dncnn), tmp_path / "denoiser.pth")
    assert load_foreign(path, 1)(picture()).shape == (1, 3, 16, 24)
    with pytest.raises(TadsrError, match="DnCNN is for Restoration, not for super-resolution"):
        load_foreign(path, 4)


def network_of_scale_2(path: Path) -> Path:
    return saved(built(lambda: swinir(scale=2)), path)


def grey_network(path: Path) -> Path:
    return saved(built(lambda: compact(channels=1)), path)


def classifier(path: Path) -> Path:
    return saved(nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2)), path)


def lacking_a_key(path: Path) -> Path:
    state = built(swinir).state_dict()
    del state["norm.weight"]
    torch.save(state, path)
    return path


def truncated(path: Path) -> Path:
    whole = saved(built(compact), path).read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    return path


def text(path: Path) -> Path:
    path.write_text("<html>404</html>")
    return path


def whole_network(path: Path) -> Path:
    torch.save(built(compact), path)  # a pickled object, not its tensors
    return path


def a_tensor(path: Path) -> Path:
    torch.save(torch.zeros(3), path)
    return path


def torchscript(path: Path) -> Path:
    torch.jit.save(torch.jit.trace(built(compact), picture()), path)
    return path


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (network_of_scale_2, ["SwinIR enlarges 2 times", "data.scale is 4"]),
        (grey_network, ["Compact maps 1 channels to 1", "RGB"]),
        (classifier, ["no architecture that spandrel", "docs/models.md"]),
        (lacking_a_key, ["norm.weight", "unmodified"]),
        (truncated, ["damaged"]),
        (text, ["not a checkpoint", "damaged"]),
        (whole_network, ["SRVGGNetCompact", "could run code"]),
        (a_tensor, ["no state dict"]),
        (torchscript, ["TorchScript"]),
        (lambda path: path, ["no such file"]),
        (lambda path: path.parent, ["is a folder"]),
    ],
    ids=["scale", "grey", "unknown", "key", "truncated", "text", "object", "tensor", "torchscript",
         "missing", "folder"],
)  # fmt: skip
def test_what_cannot_stand_in_the_table_is_one_line(
    make: Callable[[Path], Path], words: list[str], tmp_path: Path
) -> None:
    path = make(tmp_path / "network.pth")
    with pytest.raises(TadsrError) as info:
        load_foreign(path, 4)
    message = str(info.value)
    assert message.startswith(f"{path}: ")
    assert all(word in message for word in words), message
    assert "\n" not in message
    assert len(message) < 500


class Attack:
    """What runs a command when it is unpickled."""

    def __init__(self, proof: Path) -> None:
        self.proof = proof

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.proof}",)


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
@pytest.mark.parametrize("suffix", [".pth", ".pt", ".ckpt"])
def test_a_pickle_that_runs_code_is_refused_before_it_does(
    suffix: str, zipped: bool, tmp_path: Path
) -> None:
    proof = tmp_path / "ran"
    state = {**built(compact).state_dict(), "extra": Attack(proof)}
    path = tmp_path / f"network{suffix}"
    torch.save(state, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(TadsrError, match="could run code") as info:
        load_foreign(path, 4)
    assert "system" in str(info.value)
    assert not proof.exists()
    torch.load(path, weights_only=False)
    assert proof.exists(), "the attack is real: plain unpickling runs it"
