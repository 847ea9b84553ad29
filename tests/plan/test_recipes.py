"""What determines what: a change reaches what depends on it, and nothing else."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tadsr.config import Experiment
from tadsr.plan import Plan, recipes
from tadsr.plan.sources import source_stamp
from tests.conftest import REPOSITORY

DEMO = REPOSITORY / "ablations" / "demo.yaml"


def digests(path: Path, *overrides: str) -> dict[str, str]:
    plan = Plan(Experiment.load(path, list(overrides)), Path("results/demo"))
    return {job.id: job.digest for job in plan.jobs.values()}


def changed(before: dict[str, str], after: dict[str, str]) -> set[str]:
    return {job for job in before.keys() | after.keys() if before.get(job) != after.get(job)}


CLOSING = {"compare", "report", "publish"}


def test_a_comment_or_description_of_a_setting_changes_no_digest(tmp_path: Path) -> None:
    folder = Path(shutil.copytree(DEMO.parent, tmp_path / "ablations"))
    variant = folder / "variants" / "no_discriminator.yaml"
    variant.write_text("# a remark\n" + variant.read_text())
    assert changed(digests(DEMO), digests(folder / "demo.yaml")) == set()


def test_a_loss_weight_of_a_variant_reaches_that_variant_alone(tmp_path: Path) -> None:
    folder = Path(shutil.copytree(DEMO.parent, tmp_path / "ablations"))
    variant = folder / "variants" / "no_discriminator.yaml"
    variant.write_text(variant.read_text() + "student.losses.score_distillation.weight: 2.0\n")
    expected = {"student/no_discriminator", "evaluate/no_discriminator"} | CLOSING
    assert changed(digests(DEMO), digests(folder / "demo.yaml")) == expected


def test_settings_of_an_absent_term_do_not_matter() -> None:
    before = digests(DEMO)
    after = digests(DEMO, "student.losses.adversarial.learning_rate=0.5")
    unaffected = {"student/no_discriminator", "student/distill_only", "teacher"}
    assert not changed(before, after) & unaffected
    assert "student/full" in changed(before, after)


def test_variants_of_a_seed_share_their_draw_of_sampling_noise_and_seeds_do_not() -> None:
    experiment = Experiment.load(DEMO, [])
    draws = {cell.name: recipes.noise_draw(cell.name) for cell in experiment.cells()}
    for cell in experiment.cells():
        assert draws[cell.name] == cell.seed
    assert len(set(draws.values())) == len(experiment.seeds) > 1
    assert {recipes.noise_draw(name) for name in experiment.evaluation.models} == {0}


def test_a_seed_changes_students_but_not_teacher_and_targets() -> None:
    moved = changed(digests(DEMO), digests(DEMO, "seeds=[0, 1, 2, 3]"))
    assert {job.split("/")[0] for job in moved} == {"student", "evaluate"} | CLOSING


def test_a_metric_changes_evaluations_but_no_training() -> None:
    moved = changed(digests(DEMO), digests(DEMO, "evaluation.metrics=[psnr, lpips]"))
    assert {job.split("/")[0] for job in moved} == {"weights", "evaluate"} | CLOSING


def test_a_variant_adds_its_own_jobs_alone() -> None:
    before = digests(DEMO, "variants=[full]")
    after = digests(DEMO, "variants=[full, distill_only]")
    assert changed(before, after) == {"student/distill_only", "evaluate/distill_only"} | CLOSING


def test_execution_and_names_are_in_no_digest() -> None:
    watched = digests(DEMO, "student.training.validate_every=80", "name=other",
                      "execution.device=cpu")  # fmt: skip
    # The page shows all settings, so it is written anew; nothing is computed again.
    assert changed(digests(DEMO), watched) == {"report", "publish"}
    assert changed(digests(DEMO), digests(DEMO, "execution.device=cpu")) == set()


def test_what_only_the_page_shows_reaches_the_page() -> None:
    moved = changed(digests(DEMO), digests(DEMO, "evaluation.visual_images=1"))
    assert moved == {"report", "publish"}


def test_threads_of_the_evaluation_measure_again() -> None:
    moved = changed(digests(DEMO), digests(DEMO, "evaluation.threads=2"))
    assert {job.split("/")[0] for job in moved} == {"evaluate"} | CLOSING


def test_the_teacher_reaches_everything_after_it() -> None:
    moved = changed(digests(DEMO), digests(DEMO, "teacher.schedule.kappa=1.0"))
    stages = {job.split("/")[0] for job in moved}
    assert stages == {"teacher", "targets", "sweep", "student", "evaluate"} | CLOSING


def test_cells_per_job_cuts_the_grid_without_changing_recipes() -> None:
    plan = Plan(Experiment.load(DEMO, ["execution.cells_per_job=cell"]), Path("results/demo"))
    assert len(plan.stage("student")) == 6 * 3
    assert {len(job.cells) for job in plan.stage("student")} == {1}


def test_a_variant_may_be_called_like_a_stage() -> None:
    plan = Plan(Experiment.load(DEMO, ["variants={full: {}, student: {}}"]), Path("results/demo"))
    assert {"student/student", "evaluate/student"} <= set(plan.jobs)


def test_a_changed_picture_is_noticed_below_a_home_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "pictures").mkdir()
    before = source_stamp("~/pictures")
    (tmp_path / "pictures" / "a.png").write_bytes(b"new")
    assert source_stamp("~/pictures") != before


def test_every_input_is_a_job_and_the_order_is_a_dag() -> None:
    plan = Plan(Experiment.load(DEMO), Path("results/demo"))
    seen: set[str] = set()
    for job in plan.jobs.values():
        assert set(job.inputs) <= seen
        seen.add(job.id)


def test_what_is_remembered_of_an_experiment_is_no_part_of_its_copies() -> None:
    experiment = Experiment.load(DEMO)
    name = f"no_discriminator/seed-{experiment.seeds[0]}"
    before = recipes.of_cell(experiment, name)
    assert recipes.of_cell(experiment, name) is before
    variants = {**experiment.variants, "no_discriminator": experiment.variants["full"]}
    copy = experiment.model_copy(update={"variants": variants})
    full = recipes.of_cell(experiment, f"full/seed-{experiment.seeds[0]}")
    assert recipes.of_cell(copy, name).digest == full.digest != before.digest
    assert recipes.of_cell(experiment, name) is before
