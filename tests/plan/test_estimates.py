"""Counts of parameters and operations against torch's own, on networks without memory."""

from __future__ import annotations

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from tadsr.config import Experiment
from tadsr.config.data import DatasetSpec
from tadsr.config.teacher import NETWORKS
from tadsr.models import LatentDiscriminator, SwinUNet2DModel, VQCodec
from tadsr.plan.estimates import VQ_FLOPS, VQ_PARAMETERS, Estimates, told_count
from tadsr.plan.operations import discriminator_cost, network_cost
from tests.conftest import REPOSITORY

PAPER = REPOSITORY / "ablations" / "paper.yaml"


def parameters(module: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.parametrize(("name", "channels", "side"), [("paper", 3, 64), ("tiny", 48, 16)])
def test_the_network_is_counted_as_torch_counts_it(name: str, channels: int, side: int) -> None:
    settings = NETWORKS[name].model_dump()
    with torch.device("meta"), torch.no_grad():
        unet = SwinUNet2DModel(
            in_channels=channels, out_channels=channels, sample_size=side, **settings
        )
        inputs = (
            torch.zeros(1, channels, side, side),
            torch.zeros(1, dtype=torch.int64),
            torch.zeros(1, 3, side, side),
        )
        with FlopCounterMode(display=False) as forward:
            unet(*inputs)
        with FlopCounterMode(display=False) as encoder:
            features = unet.encoder_features(*inputs)
    cost = network_cost(NETWORKS[name], channels, side)
    assert cost.parameters == parameters(unet)
    assert cost.forward == forward.get_total_flops()
    assert cost.encoder == encoder.get_total_flops()
    assert cost.features == tuple((f.shape[1], f.shape[2] * f.shape[3]) for f in features)


@pytest.mark.parametrize("kind", ["time_aware", "vanilla", "multiple"])
def test_the_discriminator_is_counted_as_torch_counts_it(kind: str) -> None:
    cost = network_cost(NETWORKS["paper"], 3, 64)
    with torch.device("meta"), torch.no_grad():
        heads = LatentDiscriminator([channels for channels, _ in cost.features], kind, 15)
        sides = [round(pixels**0.5) for _, pixels in cost.features]
        maps = [
            torch.zeros(1, channels, side, side)
            for (channels, _), side in zip(cost.features, sides, strict=True)
        ]
        with FlopCounterMode(display=False) as counted:
            heads(maps, torch.zeros(1, dtype=torch.int64))
    count, flops = discriminator_cost(cost.features, kind)
    assert count == parameters(heads)
    assert flops == pytest.approx(counted.get_total_flops(), rel=1e-3)


def test_the_codec_is_counted_as_torch_counts_it() -> None:
    with torch.device("meta"), torch.no_grad():
        codec = VQCodec()
        image = torch.zeros(1, 3, 256, 256)
        with FlopCounterMode(display=False) as encode:
            latent = codec.encode(image)
        with FlopCounterMode(display=False) as decode:
            codec.decode(latent, quantise=False)
    assert VQ_PARAMETERS[4] == parameters(codec)
    counted = [mode.get_total_flops() / 256**2 for mode in (encode, decode)]
    assert list(VQ_FLOPS[4]) == pytest.approx(counted, rel=0.01)


def test_a_term_of_weight_0_costs_nothing_and_online_targets_cost_the_chain() -> None:
    experiment = Experiment.load(PAPER)
    estimates = Estimates(experiment)
    forward = estimates.network.forward

    def cost(variant: str, mode: str = "stored") -> float:
        cell = experiment.cell(variant, 0)
        targets = cell.targets.model_copy(update={"mode": mode})
        return estimates.student_image(cell.student, targets)

    assert cost("distill_only") == 3 * forward
    assert cost("sds") == 4 * forward
    assert cost("no_discriminator") == 5 * forward
    answer = cost("full", "online") - cost("full")
    assert answer == pytest.approx(15 * forward + 2 * VQ_FLOPS[4][0] * 256**2)


@pytest.mark.parametrize(
    ("settings", "count"),
    [
        ({"kind": "photos", "split": "test", "degradation": "bicubic"}, 4),
        ({"kind": "lr_only"}, 4),  # the test photographs
        ({"kind": "lr_only", "path": "x"}, None),
        ({"kind": "lr_only", "path": "x", "limit": 3}, 3),
        ({"preset": "set14", "path": "x"}, 14),
        ({"preset": "set14", "path": "x", "limit": 3}, 3),
        ({"kind": "folder", "path": "x", "degradation": "bicubic", "split": "test",
          "holdout": {"val": 2, "test": 5}}, 5),
        ({"kind": "folder", "path": "x", "degradation": "bicubic", "split": "test",
          "holdout": {"val": 0.1, "test": 0.2}}, None),
    ],
)  # fmt: skip
def test_the_number_of_images_is_that_of_the_settings(
    settings: dict[str, object], count: int | None
) -> None:
    assert told_count(DatasetSpec.model_validate(settings)) == count
