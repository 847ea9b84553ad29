"""Experiment files: what a user's mistake looks like, and what deltas and overrides do."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tadsr.config import Experiment
from tadsr.config.loading import freeze
from tadsr.errors import ConfigError
from tadsr.files import write_text
from tests.conftest import REPOSITORY

DEMO = REPOSITORY / "ablations" / "demo.yaml"


@pytest.fixture
def ablations(tmp_path: Path) -> Path:
    return Path(shutil.copytree(REPOSITORY / "ablations", tmp_path / "ablations"))


@pytest.mark.parametrize(
    ("override", "parts"),
    [
        ("student.losses.regresion.weight=1", ["regresion", "regression"]),
        ("student.losses.perceptual.weight=1", ["perceptual", "unknown key"]),
        ("seeds=[0,0]", ["seeds", "duplicate seed 0"]),
        ("seeds=[0,x]", ["seeds.1", "'x'", "integer"]),
        ("student.training.gradient_accumulation=9", ["gradient_accumulation", "9", "8 images"]),
        ("student.training.images=abc", ["student.training.images", "'abc'", "integer"]),
        ("student.training.learning_rate=-1", ["learning_rate", "-1", "greater than 0"]),
        ("student.losses.regression.weight=.inf", ["regression.weight"]),
        ("teacher.network=tinny", ["teacher.network", "tinny", "'tiny'"]),
        ("evaluation.metrics=[psnr,lpisp]", ["evaluation.metrics", "lpisp", "'lpips'"]),
        ("reference=ful", ["reference", "'ful'", "'full'"]),
        ("primary=[{dataset: photos-bicubc, metric: lpips}]", ["primary", "'photos-bicubic'"]),
        ("variants=[full,no_discrimnator]", ["no_discrimnator", "'no_discriminator'"]),
        ("variants=[full,full]", ["variants", "duplicate variant 'full'"]),
        ("evaluation.models=[teacher-4]", ["evaluation.models", "teacher-4", "[1, 15]"]),
        ("data.train.kind=photo", ["data.train.kind", "'photo'", "'photos'"]),
        ("data.test.x={kind: folder, degradation: bicubic}", ["data.test.x", "path"]),
        ("student.losses.adversarial.discriminator=vanila", ["'vanila'", "'vanilla'"]),
        ("name=../up", ["name"]),
        ("nonsense", ["--set nonsense", "key=value"]),
        ("seeds.0=4", ["--set seeds.0=4", "seeds is a list"]),
        ("student.training.images.x=4", ["--set", "student.training.images is 960, with nothing"]),
        ("data.scale=3", ["data.scale: 3: input should be 1 or 4"]),
        ("variants.full.student.training.images=8", ["variants is a list", "variants=[...]"]),
        ("variants={full: {1: 2}}", ["1", "student or targets"]),
        ("variants={teacher-x: {}}", ["variants", "'teacher-x' is reserved"]),
        ("variants={bicubic: {}}", ["variants", "'bicubic' is reserved"]),
        ("variants={baselines: {}}", ["variants", "'baselines' is reserved"]),
        ("data.train.path=pictures", ["data.train", "'photos' takes no 'path'", "'folder'"]),
        ("data.test={}", ["data.test", "at least 1"]),
        ("evaluation.metrics=[]", ["evaluation.metrics", "at least 1"]),
        (
            "student.losses={regression: {weight: 0}, score_distillation: {weight: 0}, "
            "adversarial: {weight: 0}}",
            ["student.losses", "weight 0"],
        ),
        ("data.test={real: {kind: lr_only}}", ["primary"]),
    ],
)
def test_a_mistake_is_one_line_that_names_key_value_and_remedy(
    override: str, parts: list[str]
) -> None:
    with pytest.raises(ConfigError) as caught:
        Experiment.load(DEMO, [override])
    message = str(caught.value)
    assert "\n" not in message
    for part in parts:
        assert part in message


def test_a_typo_in_a_variant_file_names_file_and_line(ablations: Path) -> None:
    file = ablations / "variants" / "no_discriminator.yaml"
    file.write_text("description: x\nstudent.losses.adversarail.weight: 0\n")
    with pytest.raises(ConfigError, match=r"no_discriminator\.yaml:2: .*adversarail.*adversarial"):
        Experiment.load(ablations / "demo.yaml")


def test_a_variant_may_not_change_the_teacher(ablations: Path) -> None:
    file = ablations / "variants" / "no_discriminator.yaml"
    file.write_text("teacher.schedule.kappa: 1.0\n")
    with pytest.raises(ConfigError, match=r"no_discriminator\.yaml:1: teacher\.schedule\.kappa"):
        Experiment.load(ablations / "demo.yaml")


@pytest.mark.parametrize(
    "text",
    [b"a: [1", b"- 1\n", b"name: a\nname: b\n", b"\x00", b"", b"# all a remark\n", b"caf\xe9: 1\n",
     b"a: &a [*a]\n", b"variants: {full: 5}\n"],
)  # fmt: skip
def test_broken_yaml_is_one_line_with_the_file(tmp_path: Path, text: bytes) -> None:
    file = tmp_path / "broken.yaml"
    file.write_bytes(text)
    with pytest.raises(ConfigError, match=r"broken\.yaml") as caught:
        Experiment.load(file)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b'"\xe9"', b'{"name": 1}'])
def test_a_broken_frozen_experiment_is_one_line_with_the_file(tmp_path: Path, text: bytes) -> None:
    file = tmp_path / "experiment.json"
    file.write_bytes(text)
    with pytest.raises(ConfigError, match=r"experiment\.json") as caught:
        Experiment.load(file)
    assert "\n" not in str(caught.value)


def test_a_broken_delta_in_a_frozen_experiment_is_one_line(tmp_path: Path) -> None:
    settings = freeze(Experiment.load(DEMO))
    settings["variants"]["full"]["delta"] = {"student.training.images": "many"}
    file = tmp_path / "experiment.json"
    file.write_text(json.dumps(settings))
    with pytest.raises(ConfigError, match=r"experiment\.json.*student\.training\.images.*'many'"):
        Experiment.load(file)


def test_a_folder_is_no_experiment_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is a folder"):
        Experiment.load(tmp_path)


def test_a_primary_metric_that_cannot_be_computed_is_a_mistake() -> None:
    with pytest.raises(ConfigError, match="lpips cannot be computed: 'real' has no HR"):
        Experiment.load(
            DEMO,
            ["data.test.real={kind: lr_only}", "primary=[{dataset: real, metric: lpips}]"],
        )
    with pytest.raises(ConfigError, match="none can be computed: no test set has HR"):
        Experiment.load(
            DEMO,
            ["data.test={real: {kind: lr_only}}", "primary=[]", "evaluation.metrics=[psnr]"],
        )


def test_a_variant_without_a_body_is_the_base() -> None:
    experiment = Experiment.load(DEMO, ["variants={full: }"])
    assert experiment.cell("full", 0).student == experiment.student


def test_a_missing_file_offers_the_nearest(ablations: Path) -> None:
    with pytest.raises(ConfigError, match=r"demoo\.yaml: no such file; did you mean '.*demo\.yaml"):
        Experiment.load(ablations / "demoo.yaml")


def test_delta_changes_only_what_it_names() -> None:
    experiment = Experiment.load(DEMO)
    full, without = experiment.cell("full", 1), experiment.cell("no_discriminator", 1)
    assert without.student.losses.adversarial.weight == 0
    assert without.student.losses.regression == full.student.losses.regression
    assert without.student.training == full.student.training
    assert without.targets == full.targets
    assert "adversarial" not in without.student.normalised()["losses"]


def test_exponents_without_a_point_are_numbers() -> None:
    experiment = Experiment.load(DEMO, ["student.training.learning_rate=1e-4"])
    assert experiment.student.training.learning_rate == 1e-4


def test_frozen_experiment_is_the_same_without_the_files(tmp_path: Path) -> None:
    experiment = Experiment.load(DEMO, ["seeds=[5, 7]"])
    file = tmp_path / "experiment.json"
    file.write_text(json.dumps(freeze(experiment)))
    assert Experiment.load(file) == experiment


def test_extends_takes_the_base_and_changes_a_part(ablations: Path) -> None:
    child = ablations / "child.yaml"
    child.write_text("extends: demo.yaml\nname: child\nstudent: {training: {images: 80}}\n")
    experiment = Experiment.load(child)
    assert experiment.student.training.images == 80
    assert (
        experiment.student.training.batch_size == Experiment.load(DEMO).student.training.batch_size
    )
    child.write_text("extends: child.yaml\n")
    with pytest.raises(ConfigError, match="circle"):
        Experiment.load(child)


def test_exit_code_two_no_traceback_nothing_started(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tadsr", "run", str(DEMO), "--set", "sedes=[1]"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "did you mean 'seeds'" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_files_of_custom_losses_are_pinned_wherever_they_are_named(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / f"{name}.py").write_text(f"# {name}\nclass Loss: ...\n")
    base = f"student.losses.custom.own={{file: {tmp_path}/a.py}}"
    variants = (
        f"variants={{full: {{}}, other: {{student.losses.custom.own.file: {tmp_path}/b.py}}}}"
    )
    experiment = Experiment.load(DEMO, [base, variants])
    digests = [experiment.cell(v, 0).student.losses.custom["own"].digest for v in ("full", "other")]
    assert len(set(digests)) == 2
    (tmp_path / "b.py").write_text("# other\n")
    frozen = tmp_path / "experiment.json"
    frozen.write_text(json.dumps(freeze(experiment)))
    again = Experiment.load(frozen)
    assert again == experiment, "a frozen experiment stands for the files as they were"
    (tmp_path / "b.py").rename(tmp_path / "c.py")
    assert Experiment.load(frozen) == experiment, "wherever they are now"
    (tmp_path / "c.py").rename(tmp_path / "b.py")
    assert Experiment.load(DEMO, [base, variants]) != experiment
    with pytest.raises(ConfigError, match=r"nowhere\.py: no such file"):
        Experiment.load(DEMO, ["student.losses.custom.own={file: nowhere.py}"])
    with pytest.raises(ConfigError, match=r"nowhere\.py: no such file"):
        Experiment.load(DEMO, ["variants={full: {student.losses.custom.own.file: nowhere.py}}"])
    write_text(tmp_path / "variants" / "mine.yaml",
               "description: ours\nstudent.losses.custom.own.file: nowhere.py\n")  # fmt: skip
    write_text(
        tmp_path / "mine.yaml", f"extends: {DEMO}\nreference: mine\nvariants: [mine]\nsweeps: []\n"
    )
    with pytest.raises(
        ConfigError, match=r"variants/mine\.yaml:2: .*custom\.own\.file: nowhere\.py"
    ):
        Experiment.load(tmp_path / "mine.yaml")


def test_each_seed_has_a_pool_of_its_own_if_asked() -> None:
    shared, own = (
        Experiment.load(DEMO, [f"targets.per_seed={value}"]) for value in ("false", "true")
    )
    assert len({shared.cell("full", seed).targets.seed for seed in shared.seeds}) == 1
    assert len({own.cell("full", seed).targets.seed for seed in own.seeds}) == 3
    assert own.cell("full", 1).targets == own.cell("distill_only", 1).targets, "paired by seed"


def test_a_start_outside_the_chain_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"start_timesteps is \[3, 15\].*0 to 14"):
        Experiment.load(DEMO, ["targets.start_timesteps=[3,15]"])
    steps = "student.losses.score_distillation.num_timesteps=16"
    with pytest.raises(ConfigError, match="num_timesteps is 16; this teacher has 15 steps"):
        Experiment.load(DEMO, [steps])
    Experiment.load(DEMO, [steps, "student.losses.score_distillation.weight=0"])


@pytest.mark.parametrize(
    ("written", "line"),
    [
        ("grid: {axes: {targets.start_timesteps: [[], [0, 99]]}}\n", 1),
        ("\ntargets: {start_timesteps: [0, 99]}\n", 2),
    ],
)
def test_a_start_outside_the_chain_has_a_place(tmp_path: Path, written: str, line: int) -> None:
    file = tmp_path / "demo.yaml"
    text = re.sub(r"(?m)^(variants|targets|sweeps):.*\n", "", DEMO.read_text())
    text = re.sub(r"(?m)^primary:.*\n  - .*\n", "", text)  # points of a grid get no verdict
    file.write_text(text + "variants: {full: {}}\n" + written)
    with pytest.raises(ConfigError) as caught:
        Experiment.load(file)
    at = len(text.splitlines()) + 1 + line
    assert str(caught.value).startswith(f"{file}:{at}: variant '")


def test_a_start_outside_the_chain_names_the_variant_s_file(tmp_path: Path) -> None:
    (tmp_path / "variants").mkdir()
    far = tmp_path / "variants" / "far.yaml"
    far.write_text("description: far\ntargets.start_timesteps: [0, 99]\n")
    (tmp_path / "demo.yaml").write_text(re.sub(r"(?m)^sweeps:.*\n", "", DEMO.read_text()))
    with pytest.raises(ConfigError, match=rf"{far}:2: variant 'far'.* 0 to 14"):
        Experiment.load(tmp_path / "demo.yaml", ["variants=[{name: full}, far]"])
