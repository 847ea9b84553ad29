from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close

from tadsr.errors import ConfigError
from tadsr.models import LatentDiscriminator

CHANNELS = [8, 16, 16]
SIDES = [4, 2, 2]


def discriminator(kind: str, **options: int) -> LatentDiscriminator:
    """Small heads whose zero initial convolutions have been given weights."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = LatentDiscriminator(CHANNELS, kind, **options)
        for parameter in model.parameters():
            if not parameter.any():
                nn.init.normal_(parameter, std=0.1)
    return model.eval()


def features(n: int = 3) -> list[Tensor]:
    generator = torch.Generator().manual_seed(1)
    return [
        torch.randn(n, c, s, s, generator=generator) for c, s in zip(CHANNELS, SIDES, strict=True)
    ]


def test_the_published_size_has_about_the_stated_number_of_parameters() -> None:
    with torch.device("meta"):
        model = LatentDiscriminator([160, 320, 320, 640, 640])
    assert sum(p.numel() for p in model.parameters()) / 1e6 == pytest.approx(20.8, abs=0.05)


@pytest.mark.parametrize("kind", ["time_aware", "multiple", "vanilla"])
def test_every_place_of_every_map_has_64_logits(kind: str) -> None:
    logits = discriminator(kind)(features(), torch.tensor([0, 6, 14]))
    assert logits.shape == (3, 64 * sum(side**2 for side in SIDES))


@pytest.mark.parametrize(("kind", "sees"), [("time_aware", True), ("vanilla", False)])
def test_only_the_time_aware_kind_sees_the_time(kind: str, sees: bool) -> None:
    model = discriminator(kind)
    early, late = (model(features(), torch.full((3,), t)) for t in (0, 13))
    assert bool((early - late).abs().max() > 1e-3) == sees


def test_each_noise_level_group_has_heads_of_its_own() -> None:
    model = discriminator("multiple", num_train_timesteps=15, num_groups=3)
    steps = torch.tensor([4, 5, 14])
    logits = model(features(), steps)
    for i, group in enumerate((0, 1, 2)):
        own = model.heads[group](features(), None)
        assert_close(logits[i], own[i])
    assert (model(features(), torch.tensor([0, 9, 10])) - logits).abs().max() == 0
    assert (model(features(), torch.tensor([5, 5, 14])) - logits)[0].abs().max() > 1e-3


def test_a_new_discriminator_is_blind_and_can_learn_to_see() -> None:
    model = LatentDiscriminator(CHANNELS)
    logits = model(features(), torch.zeros(3, dtype=torch.int64))
    assert_close(logits, logits[:1].expand_as(logits))
    logits.square().sum().backward()
    for head in model.heads[0]:
        assert head.conv.weight.grad.abs().max() > 0


@pytest.mark.parametrize("kind", ["time_aware", "multiple", "vanilla"])
def test_all_parameters_and_the_features_receive_gradients(kind: str) -> None:
    model, maps = discriminator(kind), features()
    for feature in maps:
        feature.requires_grad_()
    model(maps, torch.tensor([1, 7, 13])).square().mean().backward()
    assert all(p.grad is not None and bool(p.grad.any()) for p in model.parameters())
    assert all(f.grad is not None and bool(f.grad.any()) for f in maps)


def test_convolutions_are_spectrally_normalised() -> None:
    model = discriminator("vanilla").train()
    for _ in range(50):  # power iteration converges
        model(features(), torch.zeros(3, dtype=torch.int64))
    model.eval()
    for module in model.modules():
        if isinstance(module, nn.Conv1d):
            largest = torch.linalg.matrix_norm(module.weight.detach().flatten(1), ord=2)
            assert float(largest) == pytest.approx(1, abs=1e-2)


def test_an_unknown_kind_is_named() -> None:
    with pytest.raises(ConfigError, match="time_aware"):
        LatentDiscriminator(CHANNELS, "timeaware")
