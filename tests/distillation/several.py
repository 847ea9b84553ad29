"""Trains a small teacher and a student in `folder`; run by torchrun in a test.

Arguments: root of the images, teacher and pool; folder; settings of the trainings as JSON.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from tadsr.config.data import DataSpec
from tadsr.distillation.pool import Pool
from tadsr.distillation.student import train_student
from tadsr.training.models import load_frozen
from tadsr.training.teacher import train_teacher
from tests.tiny import TEACHER, ignore, student_spec


def train(root: Path, folder: Path, **settings: object) -> None:
    """A teacher of its own, and a student of the teacher that is there."""
    data = DataSpec.model_validate_json((root / "data.json").read_text())
    training = TEACHER.training.model_copy(update=settings)
    train_teacher(
        TEACHER.model_copy(update={"training": training}), root / "train", root / "val", data,
        folder / "teacher", device="cpu", progress=ignore,
    )  # fmt: skip
    every = {"images": 30, "validate_every": 8, "checkpoint_every": 8}
    spec = student_spec(adversarial={"weight": 0.1}, **{**every, **settings})
    train_student(
        spec, 0, load_frozen(root / "teacher" / "model", "cpu"), Pool(root / "pool"),
        folder / "student", device="cpu", progress=ignore,
    )  # fmt: skip


if __name__ == "__main__":
    train(Path(sys.argv[1]), Path(sys.argv[2]), **json.loads(sys.argv[3]))
