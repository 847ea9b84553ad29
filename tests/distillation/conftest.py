from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pytest

from tadsr.config.data import DataSpec
from tadsr.distillation.targets import make_targets
from tadsr.training.teacher import train_teacher
from tests.tiny import TARGETS, TEACHER, ignore, make_data


class World(NamedTuple):
    """Images, a trained teacher and a pool of its answers."""

    root: Path
    data: DataSpec
    results: dict[str, float]

    @property
    def teacher(self) -> Path:
        return self.root / "teacher" / "model"

    @property
    def pool(self) -> Path:
        return self.root / "pool"


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    root = tmp_path_factory.mktemp("world")
    data = make_data(root)
    train, val = root / "train", root / "val"
    train_teacher(TEACHER, train, val, data, root / "teacher", device="cpu", progress=ignore)
    results = make_targets(
        TARGETS, root / "teacher" / "model", train, val, data, root / "pool",
        device="cpu", progress=ignore,
    )  # fmt: skip
    return World(root, data, results)
