from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest
import torch

from tadsr.cli import main
from tadsr.commands.loss import require_losses
from tadsr.config import Experiment
from tadsr.config.student import (
    AdversarialSpec,
    CustomLossSpec,
    LossesSpec,
    ScoreDistillationSpec,
    StudentSpec,
)
from tadsr.distillation.contract import check, check_file, made_up_step, part
from tadsr.distillation.losses import build_losses
from tadsr.distillation.losses.custom import load_loss
from tadsr.errors import ConfigError
from tadsr.models.discriminator import LatentDiscriminator
from tests.conftest import REPOSITORY

GOOD = """
from tadsr.config.base import Config

class Loss:
    class Config(Config):
        power: float = 2.0

    def __init__(self, config):
        self.power = config.power

    def __call__(self, step):
        return (step.z_stu - step.z_0).abs().pow(self.power).mean()
"""


def body(code: str) -> str:
    head = "import torch\nclass Loss:\n    def __init__(self, config): self.calls = 0\n"
    return head + f"    def __call__(self, step):\n        {code}\n"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "own.py"
    path.write_text(GOOD)
    return path


def test_the_losses_of_the_method_keep_the_contract() -> None:
    spec = LossesSpec.model_validate(
        {"inverse": {"weight": 1.0}, "ground_truth": {"weight": 1.0}}
    ).model_copy(update={"score_distillation": ScoreDistillationSpec(num_timesteps="wide")})
    discriminator = LatentDiscriminator(made_up_step().teacher.feature_channels)
    losses = build_losses(spec, discriminator)
    assert len(losses) == 5
    for name, loss in losses.items():
        if name != "adversarial":  # whose heads are silent at the start
            assert [clause for clause in check(loss) if clause.broken] == [], name


def test_a_files_loss_with_its_settings(file: Path) -> None:
    assert [clause for clause in check_file(file, {"power": 1.0}) if clause.broken] == []
    step = made_up_step()
    for power in (1.0, 3.0):
        loss = load_loss(CustomLossSpec(file=str(file), settings={"power": power}))
        expected = (step.z_stu - step.z_0).abs().pow(power).mean()
        assert torch.equal(loss(step), expected)


@pytest.mark.parametrize(
    ("code", "clause", "reason"),
    [
        ("return (step.z_stu ** 2).mean((1, 2, 3))", "one finite number", r"shape \(4,\)"),
        ("return 0.5", "one finite number", "float"),
        ("return step.z_stu.mean() / 0", "one finite number", "inf"),
        ("return step.z_stu.detach().mean()", "gradient", "detached"),
        ("return (step.z_stu * 0).mean()", "gradient", "zero"),
        ("self.calls += 1; return step.z_stu.mean() * self.calls", "same number", "then"),
        (
            "return (step.z_stu * torch.randn(step.z_stu.shape)).mean()",
            "global generator",
            "step.draws",
        ),
        ("return (step.z_stu ** 2).sum()", "mean over the images", "halves"),
        ("return step.z_hat.mean()", "one finite number", r"AttributeError.*own.py:5"),
        ("step.z_tch.mul_(2); return (step.z_stu ** 2).mean()", "changes nothing", "z_tch"),
    ],
)
def test_a_broken_clause_is_named(tmp_path: Path, code: str, clause: str, reason: str) -> None:
    path = tmp_path / "own.py"
    path.write_text(body(code))
    broken = [found for found in check_file(path) if found.broken]
    named = [found for found in broken if clause in found.text]
    assert len(named) == 1
    assert re.search(reason, named[0].broken), named[0].broken


def test_the_command_says_what_holds(
    file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["loss", str(file), "--set", "power=1.5e0"]) == 0, "a number as in experiment files"
    assert capsys.readouterr().out.count("ok ") == 6
    bad = tmp_path / "bad.py"
    bad.write_text(body("return (step.z_stu ** 2).sum()"))
    assert main(["loss", str(bad)]) == 1
    shown = capsys.readouterr()
    assert "BROKEN is a mean" in shown.out
    assert "breaks 1 of 6" in shown.err


@pytest.mark.parametrize(
    ("text", "settings", "message"),
    [
        ("x = 1", {}, "no class 'Loss'"),
        ("import nothing_of_this_name", {}, "cannot be imported .ModuleNotFoundError"),
        (GOOD, {"powr": 1.0}, "settings: powr"),
        (GOOD, {"power": "much"}, "settings: power"),
        (body("return step.z_stu.mean()"), {"power": 1.0}, "settings: power"),
        (GOOD.replace("class Config(Config)", "class Config"), {}, "no settings class"),
        (GOOD.replace("config.power", "config.pow"), {}, r"Loss.config. fails .AttributeError"),
    ],
)
def test_what_cannot_be_loaded_is_one_line(
    tmp_path: Path, text: str, settings: dict[str, object], message: str
) -> None:
    path = tmp_path / "own.py"
    path.write_text(text)
    with pytest.raises(ConfigError, match=message):
        check_file(path, settings)


def test_a_changed_file_is_noticed_and_makes_another_student(file: Path, tmp_path: Path) -> None:
    def spec(path: Path) -> StudentSpec:
        losses = {"custom": {"own": {"file": str(path)}}}
        return StudentSpec(losses=LossesSpec.model_validate(losses))

    before = spec(file)
    moved = tmp_path / "moved.py"
    moved.write_text(GOOD)
    assert spec(moved).normalised() == before.normalised(), "where it lies does not matter"
    file.write_text(GOOD.replace("2.0", "3.0"))
    assert spec(file).normalised() != before.normalised()
    with pytest.raises(ConfigError, match="has changed since the experiment was read"):
        load_loss(before.losses.custom["own"])
    with pytest.raises(ValueError, match="no such file"):
        spec(tmp_path / "missing.py")


def test_a_custom_loss_may_not_take_a_name_of_the_method(file: Path) -> None:
    with pytest.raises(ValueError, match="'inverse' is a loss of the method"):
        LossesSpec.model_validate({"custom": {"inverse": {"file": str(file)}}})


def test_hr_without_the_way_back_is_refused() -> None:
    with pytest.raises(ValueError, match="means nothing"):
        LossesSpec.model_validate({"ground_truth": {"weight": 1.0}})


def test_a_run_begins_with_losses_that_load(tmp_path: Path) -> None:
    path = tmp_path / "own.py"
    path.write_text(GOOD)
    value = f"student.losses.custom.own={{file: {path}, settings: {{powr: 1}}}}"
    experiment = Experiment.load(REPOSITORY / "ablations" / "demo.yaml", [value])
    with pytest.raises(ConfigError, match=r"variant 'full': loss 'own': .*own\.py: settings: powr"):
        require_losses(experiment)


def test_part_of_a_step_has_its_images_alone() -> None:
    step = made_up_step()
    half = part(step, slice(2, None))
    assert torch.equal(half.z_tch, step.z_tch[2:])
    like = torch.empty(4, 3)
    assert torch.equal(half.draws.gaussian("a", like[2:]), step.draws.gaussian("a", like)[2:])
    assert dataclasses.replace(step).shared is step.shared is not half.shared


def test_the_documented_example_keeps_the_contract(tmp_path: Path) -> None:
    text = (REPOSITORY / "docs" / "losses.md").read_text()
    example = text.split("```python\n")[1].split("```")[0]
    path = tmp_path / "example.py"
    path.write_text(example)
    assert [clause for clause in check_file(path) if clause.broken] == []


def test_a_weight_costs_nothing_when_zero(file: Path) -> None:
    custom = {"own": CustomLossSpec(file=str(file), weight=0.0)}
    spec = LossesSpec(custom=custom, adversarial=AdversarialSpec(weight=0.0))
    assert list(build_losses(spec, None)) == ["regression", "score_distillation"]
