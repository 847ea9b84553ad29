"""Variants that are put together from others."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tadsr.config import Experiment
from tadsr.config.loading import freeze
from tadsr.errors import ConfigError
from tests.conftest import REPOSITORY

DEMO = REPOSITORY / "ablations" / "demo.yaml"
SDS = {
    "student.losses.score_distillation.reference": "noise",
    "student.losses.adversarial.weight": 0,
}


@pytest.fixture
def ablations(tmp_path: Path) -> Path:
    return Path(shutil.copytree(REPOSITORY / "ablations", tmp_path / "ablations"))


def deltas(experiment: Experiment) -> dict[str, dict[str, Any]]:
    return {name: variant.delta for name, variant in experiment.variants.items()}


def test_deltas_are_applied_in_order_and_own_keys_last(ablations: Path) -> None:
    (ablations / "variants" / "both.yaml").write_text(
        "description: two at once\nextends: [sds, vanilla_discriminator]\n"
        "student: {losses: {adversarial: {weight: 0.5}}}\n"
    )
    (ablations / "variants" / "again.yaml").write_text("extends: both\ntargets.pairs: 8\n")
    experiment = Experiment.load(ablations / "demo.yaml", ["variants=[full, both, again]"])
    expected = {**SDS, "student.losses.adversarial.discriminator": "vanilla",
                "student.losses.adversarial.weight": 0.5}  # fmt: skip
    assert deltas(experiment)["both"] == expected
    assert deltas(experiment)["again"] == {**expected, "targets.pairs": 8}
    assert experiment.variants["both"].description == "two at once"
    assert experiment.variants["again"].description == ""
    turned = Experiment.load(
        ablations / "demo.yaml",
        ["variants=[full, {name: a, extends: [no_discriminator, both]},"
         "{name: b, extends: [both, no_discriminator]}]"],
    )  # fmt: skip
    assert turned.cell("a", 0).student.losses.adversarial.weight == 0.5
    assert turned.cell("b", 0).student.losses.adversarial.weight == 0


@pytest.mark.parametrize(
    "variants",
    [
        "[full, {name: b, description: x, extends: a, targets.pairs: 8}, "
        "{name: a, extends: sds, student: {training: {images: 16}}}]",
        "{full: , b: {description: x, extends: [a], targets: {pairs: 8}}, "
        "a: {extends: [sds], student.training.images: 16}}",
    ],
)
def test_inline_variants_extend_files_and_each_other(variants: str, tmp_path: Path) -> None:
    experiment = Experiment.load(DEMO, [f"variants={variants}", "sweeps=[]"])
    assert list(experiment.variants) == (["full", "b", "a"])
    assert deltas(experiment)["b"] == {**SDS, "student.training.images": 16, "targets.pairs": 8}
    assert experiment.variants["b"].description == "x"
    frozen = freeze(experiment)
    assert frozen["variants"]["b"]["description"] == "x"
    assert frozen["variants"]["b"]["delta"] == deltas(experiment)["b"]
    file = tmp_path / "experiment.json"
    file.write_text(json.dumps(frozen))
    assert Experiment.load(file) == experiment


@pytest.mark.parametrize(
    ("file", "variants", "parts"),
    [
        ("extends: sdss\n", "[full, x]", ["x.yaml:1: extends", "'sdss'", "'sds'"]),
        ("extends: x\n", "[full, x]", ["x.yaml:1: extends", "x → x", "circle"]),
        ("extends: y\n", "[full, x]", ["y.yaml:2: extends", "x → y → x", "circle"]),
        ("extends: y\n", "[full, y]", ["x.yaml:1: extends", "y → x → y", "circle"]),
        ("extends: {a: 1}\n", "[full, x]", ["x.yaml:1: extends", "a name or a list"]),
        ("extends: a\n", "[full, x, {name: a}]", ["x.yaml:1: extends", "unknown variant 'a'"]),
        ("name: x\n", "[full, x]", ["x.yaml:1: name", "student or targets"]),
        ("", "[full, {name: a, extends: b}, {name: b, extends: [sds, a]}]", ["a → b → a"]),
        ("", "[full, {name: abc, extends: abd}, {name: abdx}]", ["'abd'", "'abdx'"]),
        ("", "[full, {description: a}]", ["variants.1", "name"]),
        ("", "[full, {name: full}]", ["duplicate variant 'full'"]),
        ("", "[full, {name: A b}]", ["'A b'", "pattern"]),
        ("", "[full, 5]", ["variants.1", "a name or a mapping", "5"]),
        ("", "[full, {name: a, student.losses.adversarail.weight: 1}]",
         ["adversarail", "'adversarial'"]),
    ],
)  # fmt: skip
def test_a_mistake_names_file_and_line(
    ablations: Path, file: str, variants: str, parts: list[str]
) -> None:
    (ablations / "variants" / "x.yaml").write_text(file)
    (ablations / "variants" / "y.yaml").write_text("description: y\nextends: x\n")
    with pytest.raises(ConfigError) as caught:
        Experiment.load(ablations / "demo.yaml", [f"variants={variants}"])
    assert "\n" not in str(caught.value)
    for part in parts:
        assert part in str(caught.value)


def test_a_mistake_in_an_inline_variant_names_its_line(ablations: Path) -> None:
    file = ablations / "demo.yaml"
    text = file.read_text().replace(
        "variants: [full,", "variants:\n  - full\n  - name: x\n    student.trainig.images: 3\n#"
    )
    file.write_text(text)
    line = text.splitlines().index("    student.trainig.images: 3") + 1
    with pytest.raises(ConfigError, match=rf"demo\.yaml:{line}: .*'trainig'.*'training'"):
        Experiment.load(file)


def test_what_is_extended_keeps_its_place(ablations: Path) -> None:
    (ablations / "variants" / "sds.yaml").write_text("# one\nstudent.training.images: many\n")
    with pytest.raises(ConfigError, match=r"sds\.yaml:2: student\.training\.images: 'many'"):
        Experiment.load(ablations / "demo.yaml", ["variants=[full, {name: x, extends: sds}]"])
