"""Searches as they are written: what they stand for, and one line for each mistake."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tadsr.config import Experiment
from tadsr.config.loading import freeze
from tadsr.config.sweep_space import Parameter, grid_points
from tadsr.errors import ConfigError
from tadsr.plan import Plan, recipes
from tests.conftest import REPOSITORY

DEMO = REPOSITORY / "ablations" / "demo.yaml"
KEY = "student.losses.adversarial.weight"
RANGE = f"{KEY}: {{kind: float, low: 0.01, high: 1}}"


def written(folder: Path, sweep: str, more: str = "") -> Path:
    """The demo with one search in a file of its own."""
    (folder / "sweeps").mkdir(exist_ok=True)
    (folder / "sweeps" / "mine.yaml").write_text(sweep)
    shutil.copytree(DEMO.parent / "variants", folder / "variants", dirs_exist_ok=True)
    text = "".join(line for line in DEMO.read_text().splitlines(keepends=True)
                   if not line.startswith("sweeps:"))  # fmt: skip
    (folder / "demo.yaml").write_text(f"{text}\nsweeps: [mine]\n{more}")
    return folder / "demo.yaml"


def sweep(
    space: str = RANGE, objectives: str = "[{metric: psnr}]", more: str = "budget: {trials: 4}"
) -> str:
    return f"space:\n  {space}\nobjectives: {objectives}\n{more}\n"


def load(folder: Path, *arguments: str, more: str = "") -> Experiment:
    return Experiment.load(written(folder, sweep(*arguments), more))


def test_a_winner_is_a_variant_with_the_settings_that_the_search_starts_from(
    tmp_path: Path,
) -> None:
    experiment = load(
        tmp_path, RANGE, "[{metric: psnr}]", "budget: {trials: 4}\nbase: vanilla_discriminator"
    )
    variant = experiment.variants["best-of-mine"]
    assert variant.pick is not None
    assert (variant.pick.sweep, variant.pick.which) == ("mine", "best")
    assert variant.delta == experiment.variants["vanilla_discriminator"].delta
    assert experiment.search_cell("mine").seed == 1000
    assert list(experiment.variants)[-1] == "best-of-mine"


def test_two_objectives_make_three_winners_and_no_pruning(tmp_path: Path) -> None:
    experiment = load(tmp_path, RANGE, "[{metric: psnr}, {metric: lpips}]")
    assert [name for name in experiment.variants if name.startswith("best-of")] == [
        "best-of-mine-knee", "best-of-mine-end1", "best-of-mine-end2"]  # fmt: skip
    assert experiment.sweeps["mine"].pruning.kind == "none"


def test_a_frozen_experiment_says_all_of_it(tmp_path: Path) -> None:
    experiment = load(tmp_path)
    file = tmp_path / "elsewhere" / "experiment.json"
    file.parent.mkdir()
    file.write_text(json.dumps(freeze(experiment)))
    assert Experiment.load(file) == experiment


def test_the_searches_that_are_shipped_are_valid() -> None:
    names = sorted(path.stem for path in (DEMO.parent / "sweeps").glob("*.yaml"))
    experiment = Experiment.load(DEMO, [f"sweeps={names}"])
    assert list(experiment.sweeps) == names
    assert {"adversarial_weight", "loss_weights", "quality_tradeoff"} <= set(names)


def test_budget_and_workers_are_no_part_of_what_a_winner_is(tmp_path: Path) -> None:
    def digests(more: str, space: str = RANGE) -> tuple[str, str]:
        plan = Plan(load(tmp_path, space, "[{metric: psnr}]", more), tmp_path)
        cell = plan.experiment.cell("best-of-mine", 0)
        return recipes.student(plan.experiment, cell).digest, plan.jobs["sweep/mine"].digest

    four = digests("budget: {trials: 4}")
    many = digests("budget: {trials: 40}\nworkers: 3\ndescription: longer")
    assert many[0] == four[0]
    assert many[1] != four[1]
    assert digests("budget: {trials: 4}\nseed: 7")[0] != four[0]
    assert digests("budget: {trials: 4}", RANGE.replace("high: 1", "high: 2"))[0] != four[0]


def test_a_winner_waits_for_its_search_and_other_students_do_not(tmp_path: Path) -> None:
    plan = Plan(
        load(tmp_path, RANGE, "[{metric: psnr}]", "budget: {trials: 4}\nworkers: 2"), tmp_path
    )
    assert "sweep/mine" in plan.jobs["student/best-of-mine"].inputs
    assert not any(name.startswith("sweep") for name in plan.jobs["student/full"].inputs)
    assert plan.jobs["sweep/mine"].inputs == ("sweep/mine--worker-0", "sweep/mine--worker-1")
    assert plan.jobs["sweep/mine--worker-1"].inputs == ("sweep/mine--create",)


def test_weights_of_a_searchs_metrics_are_fetched_too(tmp_path: Path) -> None:
    experiment = load(tmp_path, RANGE, "[{metric: lpips}]", "budget: {trials: 4}")
    plan = Plan(experiment.model_copy(update={"evaluation": experiment.evaluation.model_copy(
        update={"metrics": (experiment.metric("psnr"),)})}), tmp_path)  # fmt: skip
    assert "lpips-alex" in plan.jobs["weights"].cells


@pytest.mark.parametrize(
    ("arguments", "line", "part"),
    [
        ((f"{KEY}: {{kind: float, low: 2, high: 1}}",), 2, "the range from 2 to 1 is empty"),
        ((f"{KEY}: {{kind: float, low: 1, high: 1}}",), 2, "the range from 1 to 1 is empty"),
        ((f"{KEY}: {{kind: float, low: 0, high: 1, log: true}}",), 2, "cannot reach 0"),
        ((f"{KEY}: {{kind: float, low: -1, high: 1, log: true}}",), 2, "cannot reach -1"),
        ((f"{KEY}: {{kind: float, low: -1, high: 1}}",), 2, "greater than or equal to 0"),
        ((f"{KEY}: {{kind: float, low: 1, high: 2, log: true, step: 1}}",), 2, "go with log"),
        ((f"{KEY}: {{kind: int, low: 1, high: 2.5}}",), 2, "an int needs whole numbers"),
        ((f"{KEY}: {{kind: categorical, choices: [0.1]}}",), 2, "at least 2 values"),
        ((f"{KEY}: {{kind: float, low: 1, hihg: 2}}",), 2, "did you mean 'high'?"),
        ((f"{KEY}: {{kind: flaot, low: 1, high: 2}}",), 2, "did you mean 'float'?"),
        (("student.losses.adversarial.wieght: {kind: float, low: 1, high: 2}",), 2,
         "did you mean 'weight'?"),
        (("targets.pairs: {kind: int, low: 8, high: 16}",), 2, "keys below student"),
        (("student.training.images: {kind: int, low: 8, high: 16}",), 2, "same for all trials"),
        (("student.training.batch_size: {kind: float, low: 4.5, high: 8}",), 2, "valid integer"),
        (("student.losses.adversarial: {kind: float, low: 1, high: 2}",), 2, "is a section"),
        ((RANGE, "[{metric: lipps}]"), 3, "did you mean 'lpips'?"),
        ((RANGE, "[{metric: fid}]"), 3, "one number per set"),
        ((RANGE, "[{metric: psnr, dataset: photos-bicubic}]"), 3, "never a test set"),
        ((RANGE, "[{metric: psnr, direction: minimize}]"), 3, "write maximize"),
        ((RANGE, "[{metric: psnr}, {metric: psnr}]"), 3, "duplicate metric 'psnr'"),
        ((RANGE, "[]"), 3, "0 of them; give 1"),
        ((RANGE, "[{metric: psnr}]", "workers: 2"), 1, "say when the search ends"),
        ((RANGE, "[{metric: psnr}]", "budget: {trials: 0}"), 4, "greater than 0"),
        ((RANGE, "[{metric: psnr}]", "budget: {trials: 2}\nseed: 1"), 5, "is a seed of the exp"),
        ((RANGE, "[{metric: psnr}]", "budget: {trials: 2}\nbase: ful"), 5, "did you mean 'full'?"),
        ((RANGE, "[{metric: psnr}]", "sampler: {kind: grid}"), 2, "a grid needs a step"),
        ((RANGE, "[{metric: psnr}]",
          "budget: {trials: 2}\npruner: {kind: wilcoxon, threshold: 0.5}"), 5,
         "end trials by chance"),
        ((RANGE, "[{metric: psnr}, {metric: lpips}]",
          "budget: {trials: 2}\npruner: {kind: hyperband}"), 5, "weighs one objective"),
        ((RANGE, "[{metric: psnr}]",
          "budget: {trials: 2}\nreferences: {off: {student.losses.adversarial.wight: 0}}"), 5,
         "did you mean 'weight'?"),
    ],
)  # fmt: skip
def test_a_mistake_is_one_line_with_its_place(
    tmp_path: Path, arguments: tuple[str, ...], line: int, part: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, *arguments)
    message = str(caught.value)
    assert message.startswith(f"{tmp_path / 'sweeps' / 'mine.yaml'}:{line}: sweeps.mine"), message
    assert part in message
    assert "\n" not in message


@pytest.mark.parametrize(
    ("when", "part"),
    [
        ("{student.losses.adversarial.discriminator: [vanilla]}", "no setting of this space above"),
        (f"{{{KEY}: [0.3]}}", "never is 0.3"),
    ],
)
def test_conditions_name_settings_above_and_their_values(
    tmp_path: Path, when: str, part: str
) -> None:
    space = (
        f"{KEY}: {{kind: categorical, choices: [0, 0.02]}}\n"
        "  student.losses.adversarial.features: {kind: categorical, "
        f"choices: [encoder, encoder_middle], when: {when}}}"
    )
    with pytest.raises(ConfigError, match=part):
        load(tmp_path, space)


@pytest.mark.parametrize(
    ("setting", "part"),
    [
        ("sweeps=[adversarial_wieght]", "did you mean 'adversarial_weight'?"),
        ("sweeps=[{space: {}}]", "a mapping with a name"),
        ("sweeps=[adversarial_weight, adversarial_weight]", "duplicate sweep"),
        ("sweeps=3", "expected a list of names"),
        ("variants=[full, {name: best-of-full}]", "'best-of-full' is reserved"),
        ("execution.sweep_storage=sqlite:///x", "write journal, or postgresql://"),
        ("execution.sweep_storage=postgresql://me:secret@host/db", "~/.pgpass"),
    ],
)
def test_mistakes_around_searches(setting: str, part: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Experiment.load(DEMO, [setting])
    assert part in str(caught.value)


def test_levels_of_a_grid() -> None:
    space = {
        "a": Parameter(kind="float", low=0.1, high=0.5, step=0.2),
        "b": Parameter(kind="int", low=1, high=3),
        "c": Parameter(kind="categorical", choices=("x", "y"), when={"b": (1,)}),
    }
    assert space["a"].levels() == pytest.approx((0.1, 0.3, 0.5))
    points = grid_points(space)
    assert len(points) == 3 * (2 + 1 + 1)
    assert all(("c" in point) == (point["b"] == 1) for point in points)
