"""Checkpoints of other architectures as upscalers: whole images, and tiles of large ones."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tadsr.evaluation import CheckpointUpscaler
from tadsr.evaluation.foreign import OVERLAP, TILE
from tadsr.pipeline.foreign import in_tiles
from tadsr.seeds import torch_generator
from tests.foreign import built, compact, saved, swinir


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved(built(compact), tmp_path_factory.mktemp("weights") / "compact.safetensors")


def test_an_upscaler_with_its_network_and_facts(path: Path) -> None:
    upscaler = CheckpointUpscaler(path, 4, "cpu")
    lr = torch.rand(3, 10, 13, generator=torch_generator(0, "lr"))
    sr = upscaler.upscale(lr, "a")
    assert sr.shape == (3, 40, 52)
    assert torch.equal(sr, upscaler.upscale(lr, "another name"))
    facts = upscaler.facts()
    assert facts["architecture"] == "RealESRGAN Compact"
    (network,) = upscaler.networks.values()
    assert facts["parameters"] == sum(p.numel() for p in network.parameters()) > 0


def test_tiles_give_the_same_where_the_network_sees_less_than_the_overlap(path: Path) -> None:
    model = CheckpointUpscaler(path, 4, "cpu").model
    lr = torch.rand(1, 3, 80, 150, generator=torch_generator(1, "lr"))
    torch.testing.assert_close(in_tiles(model, lr, 64, OVERLAP), model(lr), rtol=0, atol=1e-6)


def test_only_images_larger_than_a_tile_are_cut(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    upscaler = CheckpointUpscaler(path, 4, "cpu")
    seen: list[tuple[int, int]] = []
    upscaler.model.network.register_forward_pre_hook(
        lambda module, given: seen.append(tuple(given[0].shape[-2:]))
    )
    upscaler.upscale(torch.zeros(3, 4, TILE), "a")
    assert seen == [(4, TILE)]
    seen.clear()
    upscaler.upscale(torch.zeros(3, 4, TILE + 1), "a")
    assert seen == [(4, TILE), (4, TILE)]
    assert 0 < OVERLAP < TILE


def test_a_network_that_sees_far_is_tiled_without_seams(tmp_path: Path) -> None:
    model = CheckpointUpscaler(saved(built(swinir), tmp_path / "swinir.pth"), 4, "cpu").model
    lr = torch.rand(1, 3, 40, 100, generator=torch_generator(2, "lr"))
    whole = model(lr)
    assert whole.std() > 10 / 255
    assert (in_tiles(model, lr, 64, OVERLAP) - whole).abs().mean() < 1 / 255
