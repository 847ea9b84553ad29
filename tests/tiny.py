"""The smallest images, networks and settings that training and distillation run on."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from tadsr.config.data import DatasetSpec, DataSpec
from tadsr.config.student import (
    AdversarialSpec,
    LossesSpec,
    ScoreDistillationSpec,
    StudentSpec,
    TargetsSpec,
    TeacherTrainingSpec,
    TrainingSpec,
)
from tadsr.config.teacher import NetworkSpec, TeacherSpec
from tadsr.data.images import write_png
from tadsr.data.manifest import build_dataset

CROP = 32
NETWORK = NetworkSpec(
    model_channels=16, channel_mult=(1,), num_res_blocks=1, attention_resolutions=(),
    num_head_channels=8, swin_depth=1, swin_embed_dim=8, window_size=8, mlp_ratio=1.0,
)  # fmt: skip
TEACHER = TeacherSpec(
    network=NETWORK, training=TeacherTrainingSpec(images=40, batch_size=4, threads=1)
)
TARGETS = TargetsSpec(pairs=10, val_pairs=4, batch_size=4, threads=1)


def make_data(folder: Path) -> DataSpec:
    """Write two smooth random pictures each for training and validation below `folder`."""
    rng = np.random.default_rng(0)
    for role in ("train", "val"):
        for number in range(2):
            coarse = rng.integers(0, 256, (6, 6, 3), dtype=np.uint8)
            picture = np.kron(coarse, np.ones((8, 8, 1), np.uint8))
            write_png(folder / "pictures" / role / f"{number}.png", picture)
    specs = {
        role: DatasetSpec(
            kind="folder", path=str(folder / "pictures" / role), degradation="bicubic", crop=CROP
        )
        for role in ("train", "val")
    }
    for role, spec in specs.items():
        build_dataset(role, spec, folder / role)
    return DataSpec(train=specs["train"], val=specs["val"], test={"test": specs["val"]})


def student_spec(
    *,
    score_distillation: dict[str, Any] | None = None,
    adversarial: dict[str, Any] | None = None,
    **training: Any,
) -> StudentSpec:
    """A student of a few steps."""
    return StudentSpec(
        training=TrainingSpec(**{"images": 24, "batch_size": 4, **training}),
        losses=LossesSpec(
            score_distillation=ScoreDistillationSpec(**(score_distillation or {})),
            adversarial=AdversarialSpec(**(adversarial or {})),
        ),
    )


def ignore(images: int, total: int) -> None:
    """A progress call-back that does nothing."""


class Interrupted(Exception):
    """Raised by `interrupt_at`."""


def interrupt_at(limit: int) -> Callable[[int, int], None]:
    """A progress call-back that raises once `limit` images have been seen."""

    def progress(images: int, total: int) -> None:
        if images >= limit:
            raise Interrupted

    return progress


def killed(train: Callable[[Callable[[int, int], None]], Any], limit: int) -> bool:
    """Run `train(progress)` in a child that SIGKILLs itself at `limit` images; whether it did."""

    def progress(images: int, total: int) -> None:
        if images >= limit:
            os.kill(os.getpid(), signal.SIGKILL)

    child = os.fork()
    if child == 0:
        try:
            train(progress)
        finally:
            os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL


def contents(folder: Path, *names: str) -> dict[str, bytes]:
    """The bytes of all files below `folder`, or of those below the `names` in it."""
    roots = [folder / name for name in names] or [folder]
    paths = [p for root in roots for p in ([root] if root.is_file() else root.rglob("*"))]
    return {str(p.relative_to(folder)): p.read_bytes() for p in paths if p.is_file()}
