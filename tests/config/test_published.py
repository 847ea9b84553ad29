"""Published teachers and models in experiment files, and the two experiments of the paper."""

from __future__ import annotations

from pathlib import Path

import pytest

from tadsr.config import Experiment
from tadsr.config.loading import freeze
from tadsr.config.published import PUBLISHED
from tadsr.errors import ConfigError
from tadsr.files import write_json
from tadsr.plan import Plan
from tests.conftest import REPOSITORY

PAPER = REPOSITORY / "ablations" / "paper.yaml"
FACE = REPOSITORY / "ablations" / "paper_face.yaml"
DEMO = REPOSITORY / "ablations" / "demo.yaml"


def test_the_papers_setting_is_that_of_the_paper() -> None:
    experiment = Experiment.load(PAPER)
    training, losses = experiment.student.training, experiment.student.losses
    assert training.images / training.batch_size == 30_000
    assert training.batch_size == 64
    assert round(training.warmup * 30_000) == 5_000
    assert (training.learning_rate, training.ema, training.weight_decay) == (5e-5, 0.999, 0)
    assert losses.adversarial.learning_rate == 5e-5
    assert (losses.score_distillation.weight, losses.adversarial.weight) == (1, 0.02)
    schedule = experiment.teacher.schedule
    assert (schedule.num_train_timesteps, schedule.kappa, schedule.power) == (15, 2, 0.3)
    assert (schedule.prediction_type, schedule.prior_noise_scale) == ("sample", 1)
    assert experiment.teacher.codec.weights == "autoencoder-vq-f4"
    assert experiment.teacher.codec.scaling_factor == 1
    assert experiment.data.train.crop == 256
    assert experiment.targets.pairs == training.images, "each pair is met once"


def test_the_face_setting_is_that_of_the_paper() -> None:
    experiment = Experiment.load(FACE)
    losses = experiment.student.losses
    assert (losses.score_distillation.weight, losses.adversarial.weight) == (0.1, 0.2)
    assert experiment.data.scale == 1
    schedule = experiment.teacher.schedule
    assert (schedule.num_train_timesteps, schedule.min_noise_level) == (4, 0.2)
    assert schedule.cap_s0
    assert {"fid", "fid-ffhq"} <= {spec.id for spec in experiment.metrics()}


@pytest.mark.parametrize(
    ("path", "variants", "sets", "pools"),
    [(PAPER, 15, 3, 3), (FACE, 9, 4, 2)],
    ids=["paper", "face"],
)
def test_the_papers_experiments_have_so_many_jobs(
    path: Path, variants: int, sets: int, pools: int
) -> None:
    experiment = Experiment.load(path)
    plan = Plan(experiment, Path("results"))
    assert len(experiment.variants) == variants
    assert len(experiment.data.test) == sets
    counts = {stage: len(plan.stage(stage)) for stage in ("targets", "student", "evaluate")}
    # Deterministic, stochastic and mixed-start targets; a job per cell; one for all other models.
    assert counts == {"targets": pools, "student": 3 * variants, "evaluate": 3 * variants + 1}
    assert len(plan.jobs) == pools + 6 * variants + 1 + 3 + 3


def test_what_the_file_says_of_the_schedule_wins_over_the_published_one() -> None:
    changed = Experiment.load(PAPER, ["teacher.schedule.kappa=1.0"]).teacher.schedule
    assert (changed.kappa, changed.min_noise_level) == (1.0, 0.04)


def test_published_students_stand_beside_the_trained_ones() -> None:
    plan = Plan(Experiment.load(PAPER), Path("results"))
    assert plan.jobs["evaluate/baselines"].cells[-2:] == ("sinsr-v1", "sinsr-v2")
    assert set(plan.model_weights()) == {
        "resshift-realsrx4-s15-v1", "autoencoder-vq-f4", "sinsr-v1", "sinsr-v2",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("teacher.weights=resshift-realsr-s15", ["teacher.weights", "resshift-realsrx4-s15-v"]),
        (
            "teacher={weights: resshift-faceir-s4}",
            ["teacher.weights", "1 times", "data.scale is 4"],
        ),
        ("teacher={weights: sinsr-v1, codec: {kind: pixel_unshuffle}}", ["codec.kind", "'vq'"]),
        ("teacher={weights: sinsr-v1, codec: {weights: a/b}}", ["codec.weights", "autoencoder"]),
        ("teacher={weights: sinsr-v1, network: tiny}", ["teacher.network", "'paper'"]),
        ("teacher.codec={kind: vq}", ["teacher.codec", "autoencoder-vq-f4"]),
        ("teacher.codec.weights=autoencoder-vq-f4", ["teacher.codec", "pixel_unshuffle"]),
        ("evaluation.models=[sinsr]", ["evaluation.models", "sinsr-v"]),
        ("evaluation.models=[tad-faceir]", ["evaluation.models", "tad-faceir"]),
        ("evaluation.pipelines={teacher-x: a/b}", ["pipelines.teacher-x", "taken"]),
        ("evaluation.pipelines={full: a/b}", ["evaluation.pipelines", "variant"]),
    ],
)
def test_mistakes_are_one_line_with_the_key(override: str, words: list[str]) -> None:
    with pytest.raises(ConfigError) as info:
        Experiment.load(DEMO, [override])
    assert all(word in str(info.value) for word in words), str(info.value)
    assert "\n" not in str(info.value)


def test_a_saved_pipeline_may_be_teacher_and_model() -> None:
    experiment = Experiment.load(
        DEMO,
        ["teacher.weights=models/mine", "evaluation.pipelines={tad-sr-released: models/tad-sr}",
         "evaluation.models=[bicubic, tad-sr-released]"],
    )  # fmt: skip
    plan = Plan(experiment, Path("results"))
    assert plan.teacher_weights() == [("pipeline", "models/mine")]
    elsewhere = Experiment.load(DEMO, ["teacher.weights=other/place"])
    there = Experiment.load(DEMO, ["teacher.weights=models/mine"])
    digests = [Plan(e, Path("r")).jobs["teacher"].digest for e in (there, elsewhere)]
    assert digests[0] == digests[1], "a place is no part of a recipe"


def test_a_frozen_experiment_repeats_its_teachers_settings(tmp_path: Path) -> None:
    for path in (PAPER, FACE):
        experiment = Experiment.load(path)
        write_json(tmp_path / "experiment.json", freeze(experiment))
        assert Experiment.load(tmp_path / "experiment.json") == experiment


def test_published_facts_agree_with_the_papers() -> None:
    assert {model.steps for name, model in PUBLISHED.items() if "resshift" not in name} == {1}
    assert {name for name, model in PUBLISHED.items() if model.scale == 1} == {
        "resshift-faceir-s4", "tad-faceir",
    }  # fmt: skip
