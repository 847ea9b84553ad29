from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from tadsr.config.student import LossesSpec, StudentSpec
from tadsr.diffusion import predict_x0
from tadsr.distillation.losses import ScoreDistillationLoss
from tadsr.distillation.pool import Pool
from tadsr.distillation.student import StudentObjective, train_student
from tadsr.distillation.targets import make_targets
from tadsr.pipeline import TADSRPipeline
from tadsr.runs.curves import read_curves
from tadsr.training import TrainingOutcome
from tadsr.training.models import load_frozen
from tests.distillation.conftest import World
from tests.tiny import TARGETS, Interrupted, contents, ignore, interrupt_at, killed, student_spec

ARTEFACTS = ("model", "state", "metrics.jsonl", "validation.json")


def train(
    world: World,
    folder: Path,
    spec: StudentSpec,
    seed: int = 0,
    progress: Callable[[int, int], None] = ignore,
) -> TrainingOutcome:
    teacher = load_frozen(world.teacher, "cpu")
    return train_student(
        spec, seed, teacher, Pool(world.pool), folder, device="cpu", progress=progress
    )


def test_learns_the_targets_and_reports_it(world: World, tmp_path: Path) -> None:
    spec = student_spec(
        images=400, learning_rate=2e-3, ema=0.9, validate_every=100,
        score_distillation={"weight": 0.01}, adversarial={"weight": 0.001},
    )  # fmt: skip
    # A few random pictures teach nothing about others: validate on the pairs that are learnt.
    (tmp_path / "pool").mkdir()
    for name in ("train-00000.safetensors", "val.safetensors"):
        shutil.copy(world.pool / "train-00000.safetensors", tmp_path / "pool" / name)
    outcome = train_student(
        spec, 0, load_frozen(world.teacher, "cpu"), Pool(tmp_path / "pool"), tmp_path,
        device="cpu", progress=ignore,
    )  # fmt: skip
    results = outcome.results
    assert outcome.status == "done"
    assert results["val_target_mse"] < 0.8 * results["val_start_mse"]
    stored = json.loads((tmp_path / "validation.json").read_text())
    assert results["val_target_mse_reduction"] == pytest.approx(
        1 - np.mean(stored["end"]) / np.mean(stored["start"])
    )
    assert len(stored["start"]) == len(stored["end"]) == 10
    curve = [line for line in read_curves(tmp_path / "metrics.jsonl") if "val/target_mse" in line]
    assert [line["images"] for line in curve] == [0, 100, 200, 300, 400]
    assert curve[-1]["val/target_mse"] == pytest.approx(results["val_target_mse"])
    images = TADSRPipeline.from_pretrained(tmp_path / "model")(
        np.zeros((8, 8, 3), np.uint8), num_inference_steps=1
    ).images
    assert images[0].size == (32, 32)


def test_starts_where_the_teachers_single_step_is(world: World, tmp_path: Path) -> None:
    outcome = train(world, tmp_path, student_spec(images=4))
    start = read_curves(tmp_path / "metrics.jsonl")[0]["val/target_mse"]
    assert start == pytest.approx(world.results["val_teacher1_mse"], rel=1e-5)
    assert outcome.results["val_start_mse"] == pytest.approx(start, rel=1e-5)


@pytest.mark.parametrize("limit", [8, 20])
def test_interrupted_equals_uninterrupted_with_a_discriminator(
    world: World, tmp_path: Path, limit: int
) -> None:
    spec = student_spec(checkpoint_every=8)
    train(world, tmp_path / "whole", spec)
    with pytest.raises(Interrupted):
        train(world, tmp_path / "parts", spec, progress=interrupt_at(limit))
    train(world, tmp_path / "parts", spec)
    whole = contents(tmp_path / "whole")
    assert any(
        "discriminator" in key for key in load_file(tmp_path / "whole/state/state.safetensors")
    )
    assert contents(tmp_path / "parts") == whole


def test_killed_at_any_moment_it_ends_the_same(world: World, tmp_path: Path) -> None:
    spec = student_spec(checkpoint_every=8)
    train(world, tmp_path / "whole", spec)
    for limit in (12, 20):
        assert killed(lambda progress: train(world, tmp_path / "parts", spec, 0, progress), limit)
    train(world, tmp_path / "parts", spec)
    assert contents(tmp_path / "parts", *ARTEFACTS) == contents(tmp_path / "whole", *ARTEFACTS)


def test_a_term_of_weight_zero_leaves_no_trace(world: World, tmp_path: Path) -> None:
    """Whatever the other settings of the switched-off terms, the run is the same to the bit."""
    off = {"weight": 0.0}
    for name, spec in {
        "plain": student_spec(score_distillation=off, adversarial=off),
        "other": student_spec(
            score_distillation={**off, "reference": "noise", "num_timesteps": 14},
            adversarial={**off, "discriminator": "vanilla", "learning_rate": 1.0},
        ),
    }.items():
        train(world, tmp_path / name, spec)
    assert contents(tmp_path / "plain") == contents(tmp_path / "other")
    line = read_curves(tmp_path / "plain" / "metrics.jsonl")[-1]
    assert {key for key in line if key.startswith("loss/")} == {"loss/regression"}


def test_an_image_meets_the_same_in_any_batch(world: World) -> None:
    """Pairs, answers, noise and t: so pieces of a batch may be worked on anywhere."""
    spec = student_spec(score_distillation={"num_timesteps": 14})
    teacher = load_frozen(world.teacher, "cpu")
    objective = StudentObjective(spec, 0, teacher, Pool(world.pool), "cpu")
    whole, part = (objective.step(objective.batch(*place)) for place in ((8, 8), (12, 4)))
    for key in ("x_T", "z_tch", "lq"):
        assert torch.equal(getattr(part, key), getattr(whole, key)[4:])
    torch.testing.assert_close(part.z_stu, whole.z_stu[4:])
    loss = ScoreDistillationLoss(spec.losses.score_distillation)
    torch.testing.assert_close(loss.gradient(part), loss.gradient(whole)[4:], rtol=1e-3, atol=1e-4)


def test_from_a_mixed_start_the_student_begins_within_the_chain(
    world: World, tmp_path: Path
) -> None:
    targets = TARGETS.model_copy(update={"start_timesteps": (3, 14)})
    train_folder, val = world.root / "train", world.root / "val"
    make_targets(targets, world.teacher, train_folder, val, world.data, tmp_path,
                 device="cpu", progress=ignore)  # fmt: skip
    teacher = load_frozen(world.teacher, "cpu")
    objective = StudentObjective(student_spec(), 0, teacher, Pool(tmp_path), "cpu")
    begun = {3: 0, 14: 0}
    for start in range(0, 40, 8):
        start, pairs = objective.batch(start, 8)
        step = objective.step((start, pairs))
        for row in range(8):
            one = {key: value[row : row + 1] for key, value in pairs.items()}
            answers = {
                t: predict_x0(teacher.unet, teacher.scheduler, one["x_start"][:, column], t,
                              one["z_y"], one["lq"])
                for column, t in enumerate((3, 14))
            }  # fmt: skip
            t = min(
                answers, key=lambda t: float((answers[t] - step.z_stu[row]).detach().abs().max())
            )
            torch.testing.assert_close(step.z_stu[row : row + 1], answers[t], rtol=1e-4, atol=1e-4)
            begun[t] += 1
    assert min(begun.values()) > 8, "each of the two is drawn about every other time"


def test_all_losses_of_sinsr_and_one_of_a_users_own_train(world: World, tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(
        "class Loss:\n"
        "    def __init__(self, config):\n"
        "        pass\n"
        "    def __call__(self, step):\n"
        "        return (step.z_stu - step.z_0).abs().mean()\n"
    )
    off = {"weight": 0.0}
    losses = LossesSpec.model_validate({
        "score_distillation": off, "adversarial": off, "inverse": {"weight": 1.0},
        "ground_truth": {"weight": 1.0},
        "custom": {"l1": {"file": str(tmp_path / "own.py"), "weight": 0.5}},
    })  # fmt: skip
    spec = student_spec(images=8).model_copy(update={"losses": losses})
    assert train(world, tmp_path, spec).status == "done"
    line = read_curves(tmp_path / "metrics.jsonl")[-1]
    names = {key for key in line if key.startswith("loss/")}
    assert names == {"loss/regression", "loss/inverse", "loss/ground_truth", "loss/l1"}


def test_variants_of_a_seed_see_the_same_pairs(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: dict[str, list[list[int]]] = {}
    current = ""
    original = Pool.pairs

    def record(pool: Pool, numbers: list[int]) -> object:
        seen.setdefault(current, []).append(numbers)
        return original(pool, numbers)

    monkeypatch.setattr(Pool, "pairs", record)
    for name, spec, seed in [
        ("full", student_spec(), 0),
        ("regression", student_spec(score_distillation={"weight": 0.0}), 0),
        ("other seed", student_spec(), 1),
    ]:
        current = name
        train(world, tmp_path / name, spec, seed)
    assert seen["full"] == seen["regression"]
    assert seen["full"] != seen["other seed"]


def test_seeds_and_variants_end_apart(world: World, tmp_path: Path) -> None:
    weights = "model/unet/diffusion_pytorch_model.safetensors"
    train(world, tmp_path / "a", student_spec(), 0)
    train(world, tmp_path / "b", student_spec(), 1)
    train(world, tmp_path / "c", student_spec(score_distillation={"weight": 0.0}), 0)
    assert len({(tmp_path / name / weights).read_bytes() for name in "abc"}) == 3


def test_a_huge_learning_rate_diverges_and_leaves_no_model(world: World, tmp_path: Path) -> None:
    outcome = train(world, tmp_path, student_spec(learning_rate=1e6, warmup=0.0))
    assert outcome.status == "diverged"
    assert "image" in outcome.message
    assert not (tmp_path / "model").exists()
