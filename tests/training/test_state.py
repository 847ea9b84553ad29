from __future__ import annotations

import multiprocessing
import signal
import time
from pathlib import Path

import pytest
import torch
from torch import nn

from tadsr.files import remove_leftovers
from tadsr.training.objective import Trainable
from tadsr.training.state import TrainingState, save_tensors


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


def test_a_process_killed_while_it_saves_leaves_nothing_that_stays(tmp_path: Path) -> None:
    """safetensors writes to a file of its own name first."""
    path = tmp_path / "state" / "training.safetensors"
    save_tensors(path, {"a": torch.ones(3)}, {})
    before = path.read_bytes()
    large = {"a": torch.zeros(60_000_000)}
    child = multiprocessing.get_context("fork").Process(target=save_tensors, args=(path, large, {}))
    child.start()
    while child.is_alive() and not list(path.parent.glob(".tmp-*/*")):
        time.sleep(0.001)
    child.kill()
    child.join()
    assert child.exitcode == -signal.SIGKILL
    assert len(list(path.parent.iterdir())) == 2
    remove_leftovers(tmp_path, shared=True)
    assert [p.name for p in path.parent.iterdir()] == [path.name]
    assert path.read_bytes() == before
