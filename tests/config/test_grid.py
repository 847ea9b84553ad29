"""Grids: from axes to cells, and what a mistake looks like."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from tadsr.config import Experiment
from tadsr.config.grid import Level, product_points
from tadsr.config.grid_names import label_of, name_points, short_keys, slug
from tadsr.config.loading import freeze
from tadsr.errors import ConfigError
from tadsr.plan import Plan, recipes
from tests.conftest import REPOSITORY

SCORE = "student.losses.score_distillation.weight"
ADVERSARIAL = "student.losses.adversarial.weight"
KIND = "student.losses.adversarial.discriminator"
NONE = "variants=[]"
TWO_BY_TWO = {"axes": {SCORE: [0, 1], KIND: {"plain": "vanilla", "aware": "time_aware"}}}
FIRST = "reference=score_distillation-0_discriminator-plain"


@pytest.fixture
def ablations(tmp_path: Path) -> Path:
    return Path(shutil.copytree(REPOSITORY / "ablations", tmp_path / "ablations"))


def with_grid(ablations: Path, grid: dict[str, Any], *overrides: str) -> Experiment:
    file = ablations / "demo.yaml"
    base = (REPOSITORY / "ablations" / "demo.yaml").read_text()
    base = re.sub(r"(?m)^primary:.*\n  - .*\n", "primary: []\n\n", base)  # points get no verdict
    base = re.sub(r"(?m)^sweeps:.*\n", "", base)
    file.write_text(base + yaml.safe_dump({"grid": grid}, sort_keys=False))
    return Experiment.load(file, overrides)


def settings(experiment: Experiment, variant: str) -> tuple[float, str]:
    losses = experiment.cell(variant, 0).student.losses
    return losses.score_distillation.weight, losses.adversarial.discriminator


def test_the_product_in_order(ablations: Path) -> None:
    experiment = with_grid(ablations, TWO_BY_TWO, NONE, FIRST)
    assert {name: settings(experiment, name) for name in experiment.variants} == {
        "score_distillation-0_discriminator-plain": (0, "vanilla"),
        "score_distillation-0_discriminator-aware": (0, "time_aware"),
        "score_distillation-1_discriminator-plain": (1, "vanilla"),
        "score_distillation-1_discriminator-aware": (1, "time_aware"),
    }
    assert list(experiment.variants)[1] == "score_distillation-0_discriminator-aware"
    text = experiment.variants["score_distillation-1_discriminator-plain"].description
    assert text == f"grid: {SCORE} = 1, {KIND} = vanilla"
    assert len(experiment.cells()) == 4 * 3


def test_exclude_takes_out_all_that_match_and_include_adds(ablations: Path) -> None:
    grid = {**TWO_BY_TWO, "exclude": [{SCORE: 0.0}],
            "include": [{SCORE: 3}, {"student": {"training": {"images": 16}}}]}  # fmt: skip
    reference = "reference=score_distillation-3"
    experiment = with_grid(ablations, grid, NONE, reference)
    assert [settings(experiment, name) for name in experiment.variants] == [
        (1, "vanilla"), (1, "time_aware"), (3, "time_aware"), (0.3, "time_aware"),
    ]  # fmt: skip
    assert list(experiment.variants)[2:] == ["score_distillation-3", "images-16"]
    assert experiment.cell("images-16", 0).student.training.images == 16
    assert experiment.grid is not None
    assert [point.levels for point in experiment.grid.points] == [
        {SCORE: "1", KIND: "plain"}, {SCORE: "1", KIND: "aware"}, {SCORE: "3", KIND: "aware"}, {},
    ]  # fmt: skip


def test_a_point_that_is_a_named_variant_takes_its_name(ablations: Path) -> None:
    grid = {"axes": {SCORE: [0, 0.3], KIND: ["vanilla", "time_aware"]}}
    experiment = with_grid(ablations, grid)
    assert experiment.grid is not None
    assert [point.variant for point in experiment.grid.points] == [
        "score_distillation-0_discriminator-vanilla", "no_score_distillation",
        "vanilla_discriminator", "full",
    ]  # fmt: skip
    assert len(experiment.variants) == 5 + 1
    assert "time-aware discriminator" in experiment.variants["full"].description


def test_of_equal_named_variants_the_first_one_s_name_is_taken(ablations: Path) -> None:
    named = "variants=[{name: one}, {name: two}]"
    experiment = with_grid(ablations, {"axes": {SCORE: [0, 0.3]}}, named, "reference=one")
    assert list(experiment.variants) == ["one", "two", "score_distillation-0"]
    assert experiment.grid is not None
    assert experiment.grid.points[1].variant == "one"


def test_points_that_are_one_student_are_one_cell_with_the_first_name(ablations: Path) -> None:
    grid = {"axes": {ADVERSARIAL: [0, 0.02], KIND: ["vanilla", "multiple", "time_aware"]}}
    experiment = with_grid(ablations, grid, NONE, "reference=adversarial-0_discriminator-vanilla")
    assert experiment.grid is not None
    names = [point.variant for point in experiment.grid.points]
    assert names[:3] == ["adversarial-0_discriminator-vanilla"] * 3
    assert len(set(names)) == len(experiment.variants) == 4
    targets = {"axes": {ADVERSARIAL: [0, 1], "targets.pairs": [64, 128]}}
    assert (
        len(with_grid(ablations, targets, NONE, "reference=adversarial-0_pairs-64").variants) == 4
    )


def test_frozen_it_is_the_same_without_the_files(ablations: Path, tmp_path: Path) -> None:
    grid = {**TWO_BY_TWO, "include": [{SCORE: 3, "targets.pairs": 64}]}
    experiment = with_grid(ablations, grid)
    file = tmp_path / "experiment.json"
    file.write_text(json.dumps(freeze(experiment)))
    again = Experiment.load(file)
    assert again == experiment
    assert again.cells() == experiment.cells()
    frozen = freeze(experiment)["grid"]
    assert frozen["axes"] == {SCORE: {"0": 0, "1": 1}, KIND: TWO_BY_TWO["axes"][KIND]}
    assert frozen["points"][1] == {"variant": "no_score_distillation",
                                   "levels": {SCORE: "0", KIND: "aware"}}  # fmt: skip
    with pytest.raises(ConfigError, match="the grid's points; set it with the YAML"):
        Experiment.load(file, [f"grid.axes.{SCORE}=[0, 2]"])
    frozen["points"][1]["variant"] = "ful"
    file.write_text(json.dumps({**freeze(experiment), "grid": frozen}))
    with pytest.raises(ConfigError, match="'ful' is no variant: did you mean 'full'"):
        Experiment.load(file)


def test_set_and_extends_change_an_axis(ablations: Path) -> None:
    changed = with_grid(ablations, TWO_BY_TWO, NONE, f"grid.axes.{SCORE}=[0.5, 2, 4]",
                        "reference=score_distillation-2_discriminator-plain")  # fmt: skip
    assert changed.grid is not None
    assert list(changed.grid.axes) == [SCORE, KIND]
    assert changed.grid.axes[SCORE] == {"0.5": 0.5, "2": 2, "4": 4}
    labels = with_grid(ablations, TWO_BY_TWO, f"grid.axes.{KIND}={{one: multiple, two: vanilla}}")
    assert labels.grid is not None
    assert labels.grid.axes[KIND] == {"one": "multiple", "two": "vanilla"}
    child = ablations / "child.yaml"
    child.write_text(f"extends: demo.yaml\ngrid: {{axes: {{{SCORE}: [0, 9]}}}}\n")
    grid = Experiment.load(child).grid
    assert grid is not None
    assert grid.axes == {SCORE: {"0": 0, "9": 9}, KIND: TWO_BY_TWO["axes"][KIND]}
    assert with_grid(ablations, TWO_BY_TWO, "grid=").grid is None


def test_nested_and_dotted_mean_the_same(ablations: Path) -> None:
    nested = {"axes": {"student": {"losses": {
        "score_distillation": {"weight": [0, 1]},
        "adversarial.discriminator": TWO_BY_TWO["axes"][KIND],
    }}}}  # fmt: skip
    assert with_grid(ablations, nested) == with_grid(ablations, TWO_BY_TWO)


def test_students_are_their_settings_whatever_the_grid(ablations: Path, tmp_path: Path) -> None:
    plain = with_grid(ablations, TWO_BY_TWO, "grid=")
    grid = with_grid(ablations, TWO_BY_TWO)
    for name in plain.variants:
        one, two = (recipes.student(e, e.cell(name, 0)).digest for e in (plain, grid))
        assert one == two
    # Equal cells, other axes: the same students, another question.
    file = tmp_path / "experiment.json"
    frozen = freeze(grid)
    frozen["grid"]["points"] = frozen["grid"]["points"][1:]
    file.write_text(json.dumps(frozen))
    jobs, others = (Plan(e, tmp_path).jobs for e in (grid, Experiment.load(file)))
    assert [i for i in jobs if jobs[i].digest != others[i].digest] == [
        "compare",
        "report",
        "publish",
    ]


@pytest.mark.parametrize(
    ("grid", "line", "parts"),
    [
        ("  axes: {}\n", 2, ["grid.axes", "at least one axis", "{}"]),
        ("  include: []\n", 1, ["grid.axes", "at least one axis"]),
        ("  axs: {}\n", 2, ["unknown key 'axs'", "'axes'"]),
        (f"  axes:\n    {SCORE}: [1]\n", 3, [SCORE, "two values", "[1]"]),
        (f"  axes:\n    {SCORE}: 1\n", 3, [SCORE, "list of values", "1"]),
        (f"  axes:\n    {SCORE}: [1, 2, 1.0]\n", 3, [SCORE, "duplicate value 1.0"]),
        (f"  axes:\n    {SCORE}: [1, much]\n", 3, [SCORE, "'much'", "number", "-much"]),
        (f"  axes:\n    {SCORE}: {{A b: 1, c: 2}}\n", 3, ["label 'A b'", "a-z"]),
        (f"  axes:\n    {SCORE}:\n      - 1\n      - -2\n", 5, [SCORE, "-2", "greater than"]),
        ("  axes:\n    student.losses.adversarail.weight: [1, 2]\n", 3,
         ["unknown key 'adversarail'", "'adversarial'"]),
        ("  axes:\n    student:\n      trainig: {images: [1, 2]}\n", 4,
         ["unknown key 'trainig'", "'training'"]),
        ("  axes:\n    student.training: [1, 2]\n", 3, ["student.training is a section"]),
        ("  axes:\n    teacher.schedule.kappa: [1, 2]\n", 3, ["below student or targets"]),
        (f"  axes:\n    {SCORE}: [1, 2]\n  exclude: [{{{SCORE}: 3}}]\n", 4,
         ["grid.exclude", "value 3", "1, 2"]),
        (f"  axes:\n    {SCORE}: [1, 2]\n  exclude: [{{{KIND}: vanilla}}]\n", 4,
         ["grid.exclude", f"'{KIND}' is no axis", SCORE]),
        (f"  axes:\n    {SCORE}: [1, 2]\n  exclude:\n  - {{}}\n", 5, ["grid.exclude", "{}"]),
        (f"  axes:\n    {SCORE}: [1, 2]\n  exclude: [{{{SCORE}: 1}}, {{{SCORE}: 2}}]\n", 1,
         ["every point is excluded"]),
        (f"  axes:\n    {SCORE}: [1, 2]\n  include:\n  - student.training.imges: 1\n", 5,
         ["unknown key 'imges'", "'images'"]),
        (f"  axes:\n    {SCORE}: [1, 2]\n  include: [{{data.scale: 1}}]\n", 4,
         ["data.scale", "student or targets"]),
        (f"  axes:\n    {SCORE}: [0, 1]\n    student.losses.regression.weight: [0, 1]\n"
         f"    {ADVERSARIAL}: [0, 1]\n", 3,
         ["every loss has weight 0", "'score_distillation-0_regression-0_adversarial-0'"]),
        ("  axes:\n    student.training.learning_rate: [0.1, 1.0e-1]\n", 3, ["duplicate"]),
        ("  axes:\n    student.training.images: [2, 2.5]\n", 3, ["2.5", "integer"]),
    ],
)  # fmt: skip
def test_a_mistake_is_one_line_with_its_place(
    ablations: Path, grid: str, line: int, parts: list[str]
) -> None:
    file = ablations / "demo.yaml"
    text = file.read_text()
    file.write_text(f"{text}grid:\n{grid}")
    with pytest.raises(ConfigError) as caught:
        Experiment.load(file)
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith(f"{file}:{len(text.splitlines()) + line}: ")
    for part in parts:
        assert part in message


def test_without_named_variants_the_reference_is_a_cell(ablations: Path) -> None:
    file = ablations / "demo.yaml"
    with_grid(ablations, TWO_BY_TWO)
    file.write_text(re.sub(r"(?m)^variants:.*\n", "", file.read_text()))
    declared = "primary=[{dataset: photos-bicubic, metric: lpips}]"
    with pytest.raises(ConfigError, match=r"primary: there is nothing to judge: points of a grid"):
        Experiment.load(file, [FIRST, declared])
    assert Experiment.load(file, [FIRST, declared, "grid=", "reference=full"]).primary
    found = Experiment.load(file, [FIRST])
    assert len(found.variants) == 4
    assert found.grid is not None
    assert found.grid.added == tuple(found.variants)
    with pytest.raises(ConfigError, match=r"demo\.yaml:4: reference: 'full' is no variant"):
        Experiment.load(file)


def test_points_that_are_listed_too_are_judged(ablations: Path, tmp_path: Path) -> None:
    found = with_grid(ablations, TWO_BY_TWO)
    assert found.grid is not None
    listed = [name for name in found.variants if name not in found.grid.added]
    assert listed == ["full", "no_score_distillation", "no_discriminator",
                      "vanilla_discriminator", "distill_only"]  # fmt: skip
    assert set(found.grid.added) < {point.variant for point in found.grid.points}
    file = tmp_path / "experiment.json"
    file.write_text(json.dumps(freeze(found)))
    assert Experiment.load(file).grid == found.grid


def test_a_named_variant_with_a_point_s_name_and_other_settings(ablations: Path) -> None:
    named = "{name: score_distillation-0_discriminator-plain, targets.pairs: 9}"
    with pytest.raises(ConfigError, match="score_distillation-0_discriminator-plain'; rename"):
        with_grid(ablations, TWO_BY_TWO, f"variants=[full, {named}]")


def test_short_keys_are_the_shortest_that_differ() -> None:
    rates = ["student.training.learning_rate", "student.losses.adversarial.learning_rate"]
    assert short_keys([SCORE, KIND, *rates, ADVERSARIAL]) == {
        SCORE: "score_distillation",
        KIND: "discriminator",
        rates[0]: "training.learning_rate",
        rates[1]: "adversarial.learning_rate",
        ADVERSARIAL: "adversarial",
    }
    assert short_keys(rates[:1]) == {rates[0]: "learning_rate"}
    assert short_keys(rates[:1], among=rates[1:]) == {rates[0]: "training.learning_rate"}


@pytest.mark.parametrize(
    ("value", "expected"),
    [(0.3, "0p3"), (1e-5, "1e-05"), (-1, "m1"), (True, "true"), (None, "null"), ("Wide", "wide"),
     ([0, 7], "0-7"), ([], "empty")],
)  # fmt: skip
def test_slugs(value: Any, expected: str) -> None:
    assert slug(label_of(value)) == expected


def test_names_are_short_unique_and_stable() -> None:
    def axis(*values: Any) -> list[Level]:
        return [Level(label_of(value), value) for value in values]

    axes = {SCORE: axis(0.25, 0.5), KIND: axis("vanilla", "time_aware")}
    names = [point.name for point in product_points(axes)]
    more = [p.name for p in product_points({SCORE: axis(0.25, 1, 0.5), KIND: axes[KIND]})]
    assert set(names) < set(more)  # another value renames nothing
    long = {**axes, ADVERSARIAL: axis(0.125, 0.0625),
            "student.training.learning_rate": axis(1e-4, 2e-4)}  # fmt: skip
    cut = [point.name for point in product_points(long)]
    assert len(set(cut)) == 16
    assert all(re.fullmatch(r"[a-z0-9][a-z0-9_-]{,63}", name) for name in cut)
    assert cut[0] == "score_disti-0p25_discr-vanilla_adver-0p125_learn_rate-0p0001"
    words = ["a" * 40, "a" * 39 + "b"]
    endless = name_points([(("x", words[0]), ("y", words[0])), (("x", words[0]), ("y", words[1]))])
    assert len(set(endless.values())) == 2
    assert all(len(name) == 64 for name in endless.values())


def test_an_included_key_renames_no_point_of_the_product(ablations: Path) -> None:
    axes = {"axes": {"student.training.learning_rate": [0.1, 0.2]}}
    grid = {**axes, "include": [{"student.losses.adversarial.learning_rate": 0.1},
                                {"student.training.learning_rate": 0.3}]}  # fmt: skip
    one, two = (set(with_grid(ablations, g).variants) for g in (axes, grid))
    assert two - one == {"adversarial-learning_rate-0p1", "learning_rate-0p3"}
    assert "learning_rate-0p1" in one


def test_schema_and_defaults_show_the_grid(capsys: pytest.CaptureFixture[str]) -> None:
    from tadsr.cli import main

    main(["schema"])
    schema = json.loads(capsys.readouterr().out)
    assert {"axes", "exclude", "include"} <= set(schema["$defs"]["GridSpec"]["properties"])
    assert "extends" in schema["properties"]["variants"]["description"]
    main(["schema", "--defaults"])
    assert "\ngrid: null" in capsys.readouterr().out
