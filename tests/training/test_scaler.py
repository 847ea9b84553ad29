"""The scaler of fp16 losses, which works on any device and precision, without the fp16."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
import torch
from torch import Tensor

from tadsr.runs.curves import read_curves
from tadsr.training import loop
from tadsr.training.distributed import Workers
from tadsr.training.loop import fit
from tadsr.training.objective import Term
from tests.tiny import Interrupted, contents, ignore, interrupt_at
from tests.training.test_loop import Game, spec


class Loud(Game):
    """Losses a thousand times as large: gradients too, and with a scale of 2^127 none is finite."""

    def phases(self, batch: Tensor) -> Iterator[tuple[str, Mapping[str, Term]]]:
        for name, terms in super().phases(batch):
            yield name, {key: Term(1000 * value, weight) for key, (value, weight) in terms.items()}


def use_scale(monkeypatch: pytest.MonkeyPatch, scale: float) -> None:
    """Trainings scale their losses by `scale` at first, and double it every third step."""

    def workers(device: torch.device, precision: str) -> Workers:
        made = Workers(device, precision)
        made.scaler = torch.amp.GradScaler("cpu", init_scale=scale, growth_interval=3)
        return made

    monkeypatch.setattr(loop, "Workers", workers)


def test_a_scale_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain, scaled = tmp_path / "plain", tmp_path / "scaled"
    settings = spec(grad_clip=0.1, gradient_accumulation=2)
    fit(Game(), settings, plain, progress=ignore)
    use_scale(monkeypatch, 2.0**16)
    fit(Game(), settings, scaled, progress=ignore)
    assert contents(scaled, "metrics.jsonl") == contents(plain, "metrics.jsonl")


def test_steps_that_overflow_are_left_out_until_the_scale_fits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_scale(monkeypatch, 2.0**127)
    game = Loud()
    start = game.line.weight.detach().clone()
    outcome, state = fit(game, spec(images=200), tmp_path, progress=ignore)
    assert outcome.status == "done"
    assert not torch.equal(game.line.weight, start)
    assert game.line.weight.isfinite().all()
    assert state.scaler is not None
    assert state.scaler.get_scale() < 2.0**127
    assert all(None not in line.values() for line in read_curves(tmp_path / "metrics.jsonl"))


def test_the_scale_is_part_of_what_is_resumed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_scale(monkeypatch, 2.0**127)
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    settings = spec(images=200, checkpoint_every=12)
    fit(Loud(), settings, whole, progress=ignore)
    with pytest.raises(Interrupted):
        fit(Loud(), settings, parts, progress=interrupt_at(80))
    fit(Loud(), settings, parts, progress=ignore)
    assert contents(parts) == contents(whole)
