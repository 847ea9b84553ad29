"""`evaluation.models`: names of the user's own, what they stand for, and mistakes in them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tadsr.config import Experiment
from tadsr.config.loading import freeze
from tadsr.config.models import image_place
from tadsr.errors import ConfigError
from tadsr.files import write_json
from tests.conftest import REPOSITORY

DEMO = REPOSITORY / "ablations" / "demo.yaml"
OWN = [
    "evaluation.pipelines={mine: models/mine, four: {path: models/four, steps: 4}}",
    "evaluation.checkpoints={swinir: weights/swinir.pth}",
    'evaluation.images={other: "other/{dataset}/{image}_x4.png"}',
    "evaluation.models=[bicubic, teacher-15, sinsr-v1, mine, four, swinir, other]",
]


def test_kinds_steps_and_places() -> None:
    models = Experiment.load(DEMO, OWN).evaluation
    assert {name: (models.kind(name), models.steps(name)) for name in models.models} == {
        "bicubic": ("bicubic", 0), "teacher-15": ("teacher", 15), "sinsr-v1": ("published", 1),
        "mine": ("pipeline", 1), "four": ("pipeline", 4), "swinir": ("checkpoint", 1),
        "other": ("images", 0),
    }  # fmt: skip
    assert models.kind("full/seed-0") == "student"
    assert [models.source(name) for name in ("four", "swinir", "other", "bicubic")] == [
        "models/four", "weights/swinir.pth", "other/{dataset}/{image}_x4.png", None,
    ]  # fmt: skip


def test_images_of_some_test_sets_alone() -> None:
    some = "evaluation.images={a: {path: 'b/{image}.png', datasets: [photos-real]}}"
    experiment = Experiment.load(DEMO, [some, "evaluation.models=[bicubic, a]"])
    sets = list(experiment.data.test)
    assert len(sets) > 1
    assert experiment.evaluation.test_sets("a", sets) == ("photos-real",)
    assert experiment.evaluation.test_sets("bicubic", sets) == tuple(sets)


def test_a_frozen_experiment_keeps_them(tmp_path: Path) -> None:
    experiment = Experiment.load(DEMO, OWN)
    write_json(tmp_path / "experiment.json", freeze(experiment))
    assert Experiment.load(tmp_path / "experiment.json") == experiment


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["evaluation.checkpoints={bicubic: a.pth}"], ["checkpoints.bicubic", "taken"]),
        (["evaluation.images={sinsr-v1: a}"], ["images.sinsr-v1", "taken"]),
        (["evaluation.images={full: a}"], ["images.full", "variant"]),
        (["evaluation.checkpoints={a: b.pth}", "evaluation.images={a: c}"],
         ["evaluation.images.a", "in checkpoints too"]),
        ([*OWN, "evaluation.models=[swin]"], ["evaluation.models", "'swin'", "'swinir'"]),
        (['evaluation.images={a: "b/{set}/{image}.png"}'], ["{set}", "{dataset}", "{image}"]),
        (['evaluation.images={a: "{image}/{dataset}.png"}'], ["last part"]),
        (['evaluation.images={a: "b/{image}.png"}', "evaluation.models=[a]"],
         ["evaluation.images.a", "test sets", "{dataset}"]),
        (["evaluation.images={a: {path: b, datasets: [photos-reel]}}"],
         ["evaluation.images.a.datasets", "'photos-reel'", "'photos-real'"]),
        (["evaluation.images={a: {path: b, datasets: []}}"], ["evaluation.images.a.datasets"]),
        (["evaluation.checkpoints={a: {path: b.pth}}"], ["evaluation.checkpoints.a"]),
        (['evaluation.images={a: ""}'], ["evaluation.images.a"]),
        (["evaluation.pipelines={a: {path: b, step: 4}}"], ["pipelines.a", "'steps'"]),
        (["evaluation.pipelines={a: {path: b, steps: 0}}"], ["pipelines.a.steps"]),
        (["evaluation.checkpoints={A B: b.pth}"], ["checkpoints"]),
    ],
)  # fmt: skip
def test_mistakes_are_one_line_with_the_key(overrides: list[str], words: list[str]) -> None:
    with pytest.raises(ConfigError) as info:
        Experiment.load(DEMO, overrides)
    assert all(word in str(info.value) for word in words), str(info.value)
    assert "\n" not in str(info.value)


@pytest.mark.parametrize(
    ("pattern", "folder", "file"),
    [
        ("other", "other/set5", "baby.png"),
        ("other/", "other/set5", "baby.JPG"),
        ("other/{dataset}/sr", "other/set5/sr", "baby.png"),
        ("other/{dataset}/{image}_x4.png", "other/set5", "baby_x4.png"),
        ("other/{dataset}/{image}_x4", "other/set5", "baby_x4.webp"),
        ("other/{dataset}-x4/{dataset}_{image}.png", "other/set5-x4", "set5_baby.png"),
        ("{image}.png", ".", "baby.png"),
    ],
)
def test_patterns(pattern: str, folder: str, file: str) -> None:
    place = image_place(pattern, "set5")
    assert place.folder == Path(folder)
    assert place.image(file) == "baby"


@pytest.mark.parametrize("file", ["baby.png", "baby_x4.jpg", "_x4.png", "notes.txt", ".a_x4.png"])
def test_other_files_are_no_image_of_a_pattern(file: str) -> None:
    assert image_place("other/{dataset}/{image}_x4.png", "set5").image(file) is None
