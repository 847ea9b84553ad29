from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from tadsr.training.objective import Trainable
from tadsr.training.state import TrainingState


def make(memory_format: torch.memory_format) -> TrainingState:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = nn.Conv2d(3, 4, 3).to(memory_format=memory_format)
    return TrainingState({"net": Trainable(network, 0.01)}, 0.0)


def step(state: TrainingState) -> None:
    x = torch.randn(2, 3, 5, 5, generator=torch.Generator().manual_seed(1))
    state.optimisers["net"].zero_grad()
    (state.networks["net"](x) - 1).square().mean().backward()
    state.optimisers["net"].step()


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_a_restored_optimiser_takes_the_same_step(
    tmp_path: Path, memory_format: torch.memory_format
) -> None:
    state = make(memory_format)
    for _ in range(3):
        step(state)
    state.save(tmp_path / "state.safetensors")
    again = make(memory_format)
    again.load(tmp_path / "state.safetensors")
    step(state)
    step(again)
    assert torch.equal(again.networks["net"].weight, state.networks["net"].weight)
