from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from tadsr.config.data import DataSpec
from tadsr.config.student import TeacherTrainingSpec
from tadsr.config.teacher import TeacherSpec
from tadsr.data.dataset import TrainingCrops
from tadsr.errors import ConfigError
from tadsr.pipeline import TADSRPipeline
from tadsr.runs.curves import read_curves
from tadsr.training import TrainingOutcome
from tadsr.training.teacher import build_codec, build_scheduler, import_teacher, train_teacher
from tests.tiny import (
    CROP,
    NETWORK,
    TEACHER,
    Interrupted,
    contents,
    ignore,
    interrupt_at,
    make_data,
)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, DataSpec]:
    folder = tmp_path_factory.mktemp("data")
    return folder, make_data(folder)


def train(
    data: tuple[Path, DataSpec], folder: Path, spec: TeacherSpec = TEACHER, progress=ignore
) -> TrainingOutcome:
    root, settings = data
    return train_teacher(
        spec, root / "train", root / "val", settings, folder, device="cpu", progress=progress
    )


@pytest.fixture(scope="module")
def trained(
    data: tuple[Path, DataSpec], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, TrainingOutcome]:
    folder = tmp_path_factory.mktemp("teacher")
    return folder, train(data, folder)


def test_writes_a_pipeline_that_loads(trained: tuple[Path, TrainingOutcome]) -> None:
    folder, outcome = trained
    assert outcome.status == "done"
    assert not list(folder.rglob("*.bin")), "safetensors alone"
    pipeline = TADSRPipeline.from_pretrained(folder / "model")
    output = pipeline(torch.rand(3, 8, 8), num_inference_steps=1, output_type="pt").images[0]
    assert output.shape == (3, 32, 32)


def test_sigma_r_is_the_spread_of_the_residual(
    data: tuple[Path, DataSpec], trained: tuple[Path, TrainingOutcome]
) -> None:
    folder, outcome = trained
    crops = TrainingCrops(data[0] / "train", CROP, "bicubic", seed=0).batch(0, 256)
    # Latents are the pixels in [-1, 1], rearranged and scaled by 4.
    enlarged = torch.nn.functional.interpolate(crops.lq, scale_factor=4, mode="bicubic")
    assert outcome.results["sigma_r"] == pytest.approx(4 * float((crops.hr - enlarged).std()), 0.1)
    scheduler = TADSRPipeline.from_pretrained(folder / "model").scheduler
    assert scheduler.config.sigma_r == outcome.results["sigma_r"]


def test_sigma_r_does_not_depend_on_the_threads_around_it(data: tuple[Path, DataSpec]) -> None:
    crops = TrainingCrops(data[0] / "train", CROP, "bicubic", seed=0)
    codec = build_codec(TEACHER.codec, "cpu")
    before = torch.get_num_threads()
    found = []
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            found.append(build_scheduler(TEACHER, codec, crops).sigma_r)
    finally:
        torch.set_num_threads(before)
    assert len(set(found)) == 1


def test_training_lowers_the_denoising_error(data: tuple[Path, DataSpec], tmp_path: Path) -> None:
    training = TeacherTrainingSpec(images=800, batch_size=8, learning_rate=3e-3, threads=1)
    train(data, tmp_path, TeacherSpec(network=NETWORK, training=training))
    losses = [line["loss/denoising"] for line in read_curves(tmp_path / "metrics.jsonl")[1:]]
    assert np.mean(losses[-10:]) < 0.85 * np.mean(losses[:10])


@pytest.mark.parametrize("limit", [12, 28])
def test_interrupted_equals_uninterrupted(
    data: tuple[Path, DataSpec], trained: tuple[Path, TrainingOutcome], tmp_path: Path, limit: int
) -> None:
    training = TEACHER.training.model_copy(update={"checkpoint_every": 8})
    spec = TEACHER.model_copy(update={"training": training})
    with pytest.raises(Interrupted):
        train(data, tmp_path, spec, interrupt_at(limit))
    assert not (tmp_path / "model").exists()
    train(data, tmp_path, spec)
    assert contents(tmp_path) == contents(trained[0])


def test_a_huge_learning_rate_is_reported_as_divergence(
    data: tuple[Path, DataSpec], tmp_path: Path
) -> None:
    training = TEACHER.training.model_copy(update={"learning_rate": 1e6})
    outcome = train(data, tmp_path, TEACHER.model_copy(update={"training": training}))
    assert outcome.status == "diverged"
    assert "image" in outcome.message
    assert not (tmp_path / "model").exists()


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"schedule": {"kappa": 1.0}}, "schedule.kappa is 1.0, and .* has 2.0"),
        ({"schedule": {"prior_noise_scale": 0.9}}, "schedule.prior_noise_scale is 0.9"),
        ({"codec": {"scaling_factor": 8.0}}, "codec.scaling_factor is 8.0"),
    ],
)
def test_a_setting_that_a_saved_teacher_would_not_take_is_refused(
    data: tuple[Path, DataSpec], trained: tuple[Path, TrainingOutcome], tmp_path: Path,
    settings: dict[str, dict[str, float]], words: str,
) -> None:  # fmt: skip
    (root, spec), weights = data, str(trained[0] / "model")
    import_teacher(TeacherSpec(weights=weights), root / "val", spec, tmp_path, device="cpu")
    with pytest.raises(ConfigError, match=words):
        import_teacher(TeacherSpec.model_validate({"weights": weights, **settings}), root / "val",
                       spec, tmp_path, device="cpu")  # fmt: skip
