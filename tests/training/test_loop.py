from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from tadsr.config.student import TrainingSpec
from tadsr.errors import CorruptionError
from tadsr.runs.curves import read_curves
from tadsr.seeds import torch_generator
from tadsr.training.loop import fit
from tadsr.training.objective import Term, Trainable
from tadsr.training.step import schedule
from tests.tiny import Interrupted, contents, ignore, interrupt_at

STATE = "state/state.safetensors"


class Game:
    """Fit a line; a second network chases the first, in a phase of its own before it."""

    def __init__(self, width: int = 3) -> None:
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.line = nn.Linear(width, 1)
            self.chaser = nn.Linear(width, 1)
        self.width = width
        self.order: list[str] = []
        self.chaser_during_line: list[Tensor] = []

    def trainables(self) -> dict[str, Trainable]:
        return {
            "line": Trainable(self.line, 0.01),
            "chaser": Trainable(self.chaser, 0.02, scheduled=False, averaged=False),
        }

    def batch(self, start: int, count: int) -> Tensor:
        return torch.stack(
            [
                torch.randn(self.width, generator=torch_generator(0, i))
                for i in range(start, start + count)
            ]
        )

    def phases(self, batch: Tensor) -> Iterator[tuple[str, Mapping[str, Term]]]:
        answer = self.line(batch)
        self.order.append("chaser")
        yield "chaser", {"chase": Term(((self.chaser(batch) - answer.detach()) ** 2).mean())}
        self.order.append("line")
        self.chaser_during_line.append(self.chaser.weight.detach().clone())
        gap = ((answer - self.chaser(batch)) ** 2).mean()
        yield "line", {"fit": Term(((answer - 1) ** 2).mean()), "gap": Term(gap, weight=0.5)}

    def validate(self, networks: Mapping[str, nn.Module]) -> dict[str, float]:
        with torch.no_grad():
            return {"val/error": float(((networks["line"](self.batch(1000, 8)) - 1) ** 2).mean())}


def spec(**settings: object) -> TrainingSpec:
    return TrainingSpec.model_validate({"images": 40, "batch_size": 4, "warmup": 0.2, **settings})


def test_fits_and_writes_curves(tmp_path: Path) -> None:
    outcome, _ = fit(Game(), spec(images=2000, ema=0.9), tmp_path, progress=ignore)
    lines = read_curves(tmp_path / "metrics.jsonl")
    assert outcome.status == "done"
    assert outcome.results["val/error"] < 0.1 * lines[0]["val/error"]
    assert [line["images"] for line in lines] == list(range(0, 2001, 20))
    assert lines[-1]["val/error"] == outcome.results["val/error"]
    assert {"loss/fit", "loss/gap", "loss/chase", "grad_norm/line", "learning_rate/chaser"} <= set(
        lines[1]
    )
    assert not any("second" in key for key in lines[1]), "times would differ between equal runs"


def test_phases_are_lazy_and_touch_one_network_each(tmp_path: Path) -> None:
    game = Game()
    before = game.chaser.weight.detach().clone()
    fit(game, spec(images=4), tmp_path, progress=ignore)
    assert game.order == ["chaser", "line"]
    assert not torch.equal(game.chaser_during_line[0], before), "stepped before the second phase"
    assert torch.equal(game.chaser_during_line[0], game.chaser.weight), "and not by it"


def test_one_step_is_adam_on_the_weighted_sum(tmp_path: Path) -> None:
    game, reference = Game(), Game()
    fit(game, spec(images=4, warmup=0.0, ema=0.0), tmp_path, progress=ignore)
    optimiser = torch.optim.AdamW(reference.line.parameters(), lr=0.01, weight_decay=0.0)
    batch = reference.batch(0, 4)
    answer = reference.line(batch)
    loss = ((answer - 1) ** 2).mean() + 0.5 * ((answer - game.chaser(batch)) ** 2).mean()
    loss.backward()
    optimiser.step()
    torch.testing.assert_close(game.line.weight, reference.line.weight, rtol=0, atol=1e-6)


def test_average_is_warmed_up(tmp_path: Path) -> None:
    weights = []
    for steps in (1, 2):
        game = Game()
        _, state = fit(
            game, spec(images=4 * steps, warmup=0.0), tmp_path / str(steps), progress=ignore
        )
        weights.append((game.line.weight.detach(), state.averages["line"].weight))
    (first, average_1), (second, average_2) = weights
    start = Game().line.weight.detach()
    torch.testing.assert_close(average_1, 2 / 11 * start + 9 / 11 * first)
    torch.testing.assert_close(average_2, 3 / 12 * average_1 + 9 / 12 * second)


def test_gradients_are_clipped(tmp_path: Path) -> None:
    free, bound = tmp_path / "free", tmp_path / "bound"
    fit(Game(), spec(images=4), free, progress=ignore)
    fit(Game(), spec(images=4, grad_clip=1e-3), bound, progress=ignore)
    moments = [load_file(f / STATE)["optimiser/line/0/exp_avg"].norm() for f in (free, bound)]
    assert moments[0] > 1e-3
    assert moments[1] <= 0.1 * 1e-3 * 1.001, "Adam's first moment is a tenth of the gradient"


@pytest.mark.parametrize("limit", [4, 20, 36])
@pytest.mark.parametrize("checkpoint_every", [4, 12])
def test_interrupted_equals_uninterrupted(
    tmp_path: Path, limit: int, checkpoint_every: int
) -> None:
    settings = spec(checkpoint_every=checkpoint_every, validate_every=16, images=42)
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    fit(Game(), settings, whole, progress=ignore)
    with pytest.raises(Interrupted):
        fit(Game(), settings, parts, progress=interrupt_at(limit))
    (parts / "state").mkdir(exist_ok=True)
    (parts / "state" / ".tmp-state-x.safetensors").write_bytes(b"torn")
    fit(Game(), settings, parts, progress=ignore)
    assert contents(parts) == contents(whole)


def test_a_finished_training_is_not_trained_again(tmp_path: Path) -> None:
    first, _ = fit(Game(), spec(), tmp_path, progress=ignore)
    before = contents(tmp_path)
    game = Game()
    second, _ = fit(game, spec(), tmp_path, progress=ignore)
    assert game.order == []
    assert contents(tmp_path) == before
    assert second.results["val/error"] == first.results["val/error"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
def test_a_signal_saves_and_leaves(tmp_path: Path, number: signal.Signals) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    fit(Game(), spec(), whole, progress=ignore)

    def stop(images: int, total: int) -> None:
        if images == 20:
            os.kill(os.getpid(), number)

    with pytest.raises(SystemExit) as leaving:
        fit(Game(), spec(), parts, progress=stop)
    assert leaving.value.code == 128 + number
    assert (parts / STATE).is_file()
    assert signal.getsignal(number) == signal.SIG_DFL
    resumed = Game()
    fit(resumed, spec(), parts, progress=ignore)
    assert resumed.order == ["chaser", "line"] * 5
    assert contents(parts) == contents(whole)


def test_a_signal_in_the_last_step_leaves_too(tmp_path: Path) -> None:
    """What follows, the next seed of the job perhaps, is not begun."""

    def stop(images: int, total: int) -> None:
        if images == total:
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(SystemExit):
        fit(Game(), spec(), tmp_path, progress=stop)
    outcome, _ = fit(Game(), spec(), tmp_path, progress=ignore)
    assert outcome.status == "done"


class Broken(Game):
    """Goes wrong from the fourth step on, with `factor` times the loss."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def phases(self, batch: Tensor) -> Iterator[tuple[str, Mapping[str, Term]]]:
        for name, terms in super().phases(batch):
            factor = self.factor if len(self.order) > 6 else 1.0
            yield (
                name,
                {key: Term(value * factor, weight) for key, (value, weight) in terms.items()},
            )


@pytest.mark.parametrize("factor", [float("nan"), float("inf"), 1e9])
@pytest.mark.parametrize("images", [40, 800])
def test_divergence_is_a_result_and_keeps_the_last_good_state(
    tmp_path: Path, factor: float, images: int
) -> None:
    """However late it is noticed: of 800 images, at the first line of the curves."""
    saves = {"checkpoint_every": 4} if images == 40 else {}
    broken = spec(images=images, **saves)
    outcome, _ = fit(Broken(factor), broken, tmp_path, progress=ignore)
    assert outcome.status == "diverged"
    assert "at image 12 (step 4)" in outcome.message
    assert outcome.results["images"] == 12
    if saves:
        saved = load_file(tmp_path / STATE)
        assert all(tensor.isfinite().all() for tensor in saved.values())
    healthy, _ = fit(Game(), spec(), tmp_path, progress=ignore)
    assert healthy.results["images"] == 40


def test_an_exploding_validation_is_divergence(tmp_path: Path) -> None:
    class Worse(Game):
        def validate(self, networks: Mapping[str, nn.Module]) -> dict[str, float]:
            return {"val/error": 1.0 if not self.order else 101.0}

    outcome, _ = fit(Worse(), spec(validate_every=20), tmp_path, progress=ignore)
    assert outcome.status == "diverged"
    assert "val/error" in outcome.message


def test_compiled_networks_train_alike_and_keep_their_names(tmp_path: Path) -> None:
    if shutil.which("g++") is None:
        pytest.skip("torch.compile needs a C++ compiler on a CPU")
    plain, compiled = tmp_path / "plain", tmp_path / "compiled"
    fit(Game(), spec(), plain, progress=ignore)
    fit(Game(), spec(compile=True), compiled, progress=ignore)
    states = [load_file(folder / STATE) for folder in (plain, compiled)]
    assert states[0].keys() == states[1].keys()
    for key, value in states[0].items():
        torch.testing.assert_close(states[1][key], value, rtol=1e-3, atol=1e-4)


def test_raw_weights_are_validated_on_the_way_and_the_average_at_the_end(tmp_path: Path) -> None:
    lines = {}
    for kind in ("average", "raw"):
        settings = spec(validate_every=8, ema=0.99, validated_weights=kind)
        fit(Game(), settings, tmp_path / kind, progress=ignore)
        found = read_curves(tmp_path / kind / "metrics.jsonl")
        lines[kind] = [line["val/error"] for line in found if "val/error" in line]
    assert lines["raw"][-1] == lines["average"][-1]
    assert all(a != b for a, b in zip(lines["raw"][1:-1], lines["average"][1:-1], strict=True))


def test_the_first_step_may_be_taken_at_the_peak(tmp_path: Path) -> None:
    for first in (False, True):
        folder = tmp_path / str(first)
        fit(Game(), spec(first_step_at_peak=first), folder, progress=ignore)
    rates = [
        [line["learning_rate/line"] for line in read_curves(tmp_path / name / "metrics.jsonl")[1:]]
        for name in ("False", "True")
    ]
    assert rates[0][:3] == pytest.approx([0.005, 0.01, 0.01])
    assert rates[1][:3] == pytest.approx([0.01, 0.01, 0.01])


def test_a_state_of_other_networks_is_refused(tmp_path: Path) -> None:
    fit(Game(), spec(), tmp_path, progress=ignore)
    with pytest.raises(CorruptionError, match="other networks"):
        fit(Game(width=4), spec(), tmp_path, progress=ignore)
    (tmp_path / STATE).write_bytes(b"not tensors")
    with pytest.raises(CorruptionError, match=r"state\.safetensors"):
        fit(Game(), spec(), tmp_path, progress=ignore)


def test_schedule() -> None:
    rising = [schedule(step, 100, 0.1, "constant") for step in range(12)]
    assert rising == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.0, 1.0])
    assert schedule(0, 100, 0.0, "constant") == 1.0
    assert schedule(50, 100, 0.0, "cosine") == pytest.approx(0.5)
    assert 0 < schedule(99, 100, 0.0, "cosine") < 0.001
