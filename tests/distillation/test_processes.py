"""A batch worked on in pieces, by several processes or in another precision."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from tadsr.config.student import TrainingSpec
from tadsr.distillation.pool import Pool
from tadsr.distillation.student import StudentObjective
from tadsr.errors import ConfigError
from tadsr.runs.curves import read_curves
from tadsr.training.batches import Batches
from tadsr.training.models import load_frozen
from tests.conftest import REPOSITORY
from tests.distillation.conftest import World
from tests.distillation.several import train
from tests.tiny import contents, student_spec

MODEL = "model/unet/diffusion_pytorch_model.safetensors"


@pytest.fixture
def root(world: World) -> Path:
    (world.root / "data.json").write_text(world.data.model_dump_json())
    return world.root


def launch(root: Path, folder: Path, processes: int = 2, **settings: Any) -> subprocess.Popen[str]:
    command = [
        sys.executable, "-m", "torch.distributed.run", "--standalone",
        "--nproc_per_node", str(processes), "-m", "tests.distillation.several",
        str(root), str(folder), json.dumps(settings),
    ]  # fmt: skip
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        command, cwd=REPOSITORY, env=environment, text=True, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )  # fmt: skip


def assert_same_training(one: Path, other: Path, tolerance: float = 1e-4) -> None:
    for name in ("teacher", "student"):
        lines = [read_curves(folder / name / "metrics.jsonl") for folder in (one, other)]
        assert len(lines[0]) > 4
        for first, second in zip(*lines, strict=True):
            # Adam turns the rounding of a gradient near 0, as the discriminator's is at first,
            # into a whole step of one sign or the other.
            loose = {k: v for k, v in second.items() if k.startswith(("grad_norm", "loss/adv"))}
            assert first == pytest.approx(second | {key: first[key] for key in loose},
                                          rel=tolerance, abs=tolerance)  # fmt: skip
            found = {key: first[key] for key in loose}
            assert found == pytest.approx(loose, rel=0.2, abs=20 * tolerance)
        weights = [load_file(folder / name / MODEL) for folder in (one, other)]
        for key, value in weights[0].items():
            torch.testing.assert_close(value, weights[1][key], rtol=tolerance, atol=tolerance)


def test_two_processes_train_as_one_does(root: Path, tmp_path: Path) -> None:
    """Uneven slices too: the last batch has two images, and 7 cannot be halved."""
    train(root, tmp_path / "one", batch_size=7)
    train(root, tmp_path / "pieces", batch_size=7, gradient_accumulation=2)
    process = launch(root, tmp_path / "two", batch_size=7)
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 0, output
    assert_same_training(tmp_path / "one", tmp_path / "two")
    # The same sums in the same order: nothing is left to rounding.
    assert_same_training(tmp_path / "pieces", tmp_path / "two", 1e-7)


def test_pieces_of_a_batch_make_the_same_step(root: Path, tmp_path: Path) -> None:
    train(root, tmp_path / "whole", batch_size=6)
    train(root, tmp_path / "pieces", batch_size=6, gradient_accumulation=3)
    assert_same_training(tmp_path / "whole", tmp_path / "pieces")


@pytest.mark.slow
def test_a_signal_to_one_process_stops_both_and_they_go_on(root: Path, tmp_path: Path) -> None:
    # In two pieces: the same sums in the same order, so that 100 steps leave no rounding.
    train(root, tmp_path / "one", images=400, batch_size=4, gradient_accumulation=2)
    process = launch(root, tmp_path / "two", images=400, batch_size=4)
    curves = tmp_path / "two" / "teacher" / "metrics.jsonl"
    for _ in range(1200):
        time.sleep(0.05)
        if curves.is_file() and len(curves.read_text().splitlines()) > 4:
            break
    child = _children(process.pid)[-1]
    os.kill(child, signal.SIGUSR1)
    process.communicate(timeout=120)
    assert process.returncode != 0
    assert not (tmp_path / "two" / "student").exists()
    again = launch(root, tmp_path / "two", images=400, batch_size=4)
    output, _ = again.communicate(timeout=300)
    assert again.returncode == 0, output
    assert_same_training(tmp_path / "one", tmp_path / "two", 1e-7)


def _children(pid: int) -> list[int]:
    found = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [int(child) for child in found]


def test_too_small_a_batch_is_refused(world: World) -> None:
    objective = StudentObjective(
        student_spec(), 0, load_frozen(world.teacher, "cpu"), Pool(world.pool), "cpu"
    )
    good = TrainingSpec(images=8, batch_size=4, gradient_accumulation=2)
    Batches(objective, good, 0, 2)
    for spec in (good.model_copy(update={"images": 9}), good.model_copy(update={"batch_size": 3})):
        with pytest.raises(ConfigError, match=r"batch of . images cannot give each of 2 processes"):
            Batches(objective, spec, 0, 2)


def test_bf16_trains_nearly_alike_and_reports_float32(root: Path, tmp_path: Path) -> None:
    settings = {"images": 200, "learning_rate": 1e-3}
    for precision in ("fp32", "bf16"):
        train(root, tmp_path / precision, precision=precision, **settings)
    for name in ("teacher", "student"):
        ends = []
        for precision in ("fp32", "bf16"):
            folder = tmp_path / precision / name
            weights = load_file(folder / MODEL)
            assert all(w.dtype == torch.float32 for w in weights.values() if w.is_floating_point())
            ends.append(read_curves(folder / "metrics.jsonl")[-1])
        assert ends[0] != ends[1], "bf16 was used"
        error = "val/single_step_mse" if name == "teacher" else "val/target_mse"
        assert ends[1][error] == pytest.approx(ends[0][error], rel=0.1)
    # What is reported is what a float32 evaluation of the saved weights gives.
    stored = json.loads((tmp_path / "bf16" / "student" / "validation.json").read_text())["end"]
    pipeline = load_frozen(tmp_path / "bf16" / "student" / "model", "cpu")
    teacher = load_frozen(root / "teacher" / "model", "cpu")
    objective = StudentObjective(student_spec(), 0, teacher, Pool(root / "pool"), "cpu")
    assert objective.errors(pipeline.unet).tolist() == pytest.approx(stored, rel=1e-6)


def test_fp16_wants_a_gpu(root: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"fp16 needs a GPU.*choose bf16 or fp32"):
        train(root, tmp_path, precision="fp16")


@pytest.mark.slow
def test_killed_and_run_again_it_ends_the_same(root: Path, tmp_path: Path) -> None:
    """SIGKILL at moments that nobody chose; teacher and student with discriminator and average."""
    settings: dict[str, Any] = {"images": 200, "checkpoint_every": 8, "precision": "bf16",
                                "gradient_accumulation": 2, "grad_clip": 0.1}  # fmt: skip
    train_alone(root, tmp_path / "whole", settings).communicate(timeout=300)
    parts, kills = tmp_path / "parts", 0
    for seconds in (5.0, 6.0, 7.0):
        process = train_alone(root, parts, settings)
        try:
            process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            kills += 1
    train_alone(root, parts, settings).communicate(timeout=300)
    assert kills
    for name in ("teacher", "student"):
        wanted = ("model", "state", "metrics.jsonl")
        assert contents(parts / name, *wanted) == contents(tmp_path / "whole" / name, *wanted)


def train_alone(root: Path, folder: Path, settings: dict[str, Any]) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.distillation.several", str(root), str(folder),
               json.dumps(settings)]  # fmt: skip
    return subprocess.Popen(command, cwd=REPOSITORY, text=True)


def test_channels_last_trains_alike(root: Path, tmp_path: Path) -> None:
    train(root, tmp_path / "plain", batch_size=6)
    train(root, tmp_path / "other", batch_size=6, channels_last=True)
    assert_same_training(tmp_path / "plain", tmp_path / "other", 1e-3)


@pytest.mark.parametrize("start", [0, 8, 22])
def test_batches_prepared_ahead_are_those_prepared_in_time(world: World, start: int) -> None:
    objective = StudentObjective(
        student_spec(), 0, load_frozen(world.teacher, "cpu"), Pool(world.pool), "cpu"
    )
    spec = TrainingSpec(images=22, batch_size=4, gradient_accumulation=2)
    batches = Batches(objective, spec, 0, 1)
    found = [list(batches.after(start, ahead=ahead)) for ahead in (False, True)]
    assert len(found[0]) == len(found[1]) == -(-(22 - start) // 4)
    for one, other in zip(*found, strict=True):
        for first, second in zip(one, other, strict=True):
            assert (first.batch[0], first.share) == (second.batch[0], second.share)
            assert torch.equal(first.batch[1]["x_T"], second.batch[1]["x_T"])
