"""Input that means harm: it becomes one line of error, and nothing outside the results folder."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml

from tadsr.cli import main
from tadsr.config import Experiment
from tadsr.errors import ConfigError, TadsrError
from tadsr.models.checkpoints import read_checkpoint
from tests.conftest import REPOSITORY

MINI = REPOSITORY / "tests" / "integration" / "mini.yaml"
NAMES = [
    "../up", "/etc/passwd", "a/b", "..", ".", "a;touch pwned", "$(touch pwned)", "`touch pwned`",
    "a b", "a\nb", "a\n", "-rf", "a" * 65, "", "A", "ä", "a\x00b", "<script>", "a|b", "*", "~root",
]  # fmt: skip
SEARCH = {"space": {"student.losses.adversarial.weight": {"kind": "float", "low": 0.1, "high": 1}},
          "objectives": [{"metric": "psnr"}], "budget": {"trials": 3}}  # fmt: skip
PLACES = {
    "the experiment": lambda name: {"name": name},
    "a variant": lambda name: {"variants": {name: {}, "full": {}}},
    "a test set": lambda name: {"primary": [], "data": {"test": {name: {
        "kind": "photos", "split": "test", "degradation": "bicubic"}}}},
    "a pipeline": lambda name: {"evaluation": {"pipelines": {name: "x"}, "models": [name]}},
    "a checkpoint": lambda name: {"evaluation": {"checkpoints": {name: "x"}, "models": [name]}},
    "images": lambda name: {"evaluation": {"images": {name: "x"}, "models": [name]}},
    "the reference": lambda name: {"reference": name},
    "a search": lambda name: {"sweeps": {name: SEARCH}},
    "a reference of a search": lambda name: {"sweeps": {"x": {
        **SEARCH, "references": {name: {"student.losses.adversarial.weight": 0}}}}},
    "a metric": lambda name: {"primary": [], "evaluation": {"metrics": [
        {"id": name, "pyiqa": "dists", "needs_reference": True, "higher_is_better": False}]}},
    "a loss": lambda name: {"student": {"losses": {"custom": {name: {"file": __file__}}}}},
}  # fmt: skip


def experiment_with(tmp_path: Path, changes: dict[str, object]) -> Path:
    values = yaml.safe_load(MINI.read_text())
    for key, value in changes.items():
        values[key] = {**values.get(key, {}), **value} if isinstance(value, dict) else value
    path = tmp_path / "mini.yaml"
    path.write_text(yaml.safe_dump(values, allow_unicode=True))
    return path


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("place", PLACES)
def test_names_that_could_leave_the_folder_or_reach_a_shell_are_refused(
    tmp_path: Path, place: str, name: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        Experiment.load(experiment_with(tmp_path, PLACES[place](name)))
    assert len(str(caught.value)) < 2000


@pytest.mark.parametrize("place", PLACES)
def test_these_places_take_a_good_name(tmp_path: Path, place: str) -> None:
    """So that the test above is about names."""
    name = "full" if place == "the reference" else "good-name_1"
    Experiment.load(experiment_with(tmp_path, PLACES[place](name)))


@pytest.mark.parametrize("name", NAMES)
def test_labels_of_a_grid_become_names_that_are_safe_or_are_refused(
    tmp_path: Path, name: str
) -> None:
    """Variants, and so folders, are called after what is written there."""
    axis = {name: 0.5, "other": 0.1}
    changes = {"grid": {"axes": {"student.losses.adversarial.weight": axis}}}
    try:
        found = Experiment.load(experiment_with(tmp_path, changes)).variants
    except ConfigError as error:
        assert len(str(error)) < 2000
    else:
        assert all(re.fullmatch(r"[a-z0-9][a-z0-9_-]{,63}", variant) for variant in found)
        assert len(found) > 2


def test_aliases_that_stand_for_billions_are_refused(tmp_path: Path) -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 10)]
    (tmp_path / "bomb.yaml").write_text("\n".join(lines))
    with pytest.raises(ConfigError, match="aliases"):
        Experiment.load(tmp_path / "bomb.yaml")


@pytest.mark.parametrize("text", ["a: " + "[" * 5000, "a: " + "[" * 3000 + "]" * 3000])
def test_brackets_without_end_are_one_line(
    tmp_path: Path, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "deep.yaml").write_text(text)
    assert main(["plan", str(tmp_path / "deep.yaml")]) == 2
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize("tag", ["!!python/object/apply:os.system ['touch pwned']",
                                 "!!python/name:os.system", "!!python/module:os"])  # fmt: skip
def test_yaml_makes_no_objects(tmp_path: Path, tag: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "object.yaml").write_text(f"name: {tag}\n")
    with pytest.raises(ConfigError):
        Experiment.load(tmp_path / "object.yaml")
    assert not (tmp_path / "pwned").exists()


class Harmful:
    """What a pickle may hold: a call of anything."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[object, ...]:
        return os.system, (f"touch {self.marker}",)


@pytest.mark.parametrize("zipped", [True, False])
def test_a_checkpoint_runs_no_code(tmp_path: Path, zipped: bool) -> None:
    marker = tmp_path / "pwned"
    torch.save({"state_dict": Harmful(marker)}, tmp_path / "x.pth",
               _use_new_zipfile_serialization=zipped)  # fmt: skip
    with pytest.raises(TadsrError):
        read_checkpoint(tmp_path / "x.pth")
    assert not marker.exists()


def _calls(path: Path) -> list[ast.Call]:
    return [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]


def _keyword(call: ast.Call, name: str) -> object:
    found = next((k.value for k in call.keywords if k.arg == name), None)
    return found.value if isinstance(found, ast.Constant) else None


@pytest.mark.parametrize("path", sorted((REPOSITORY / "tadsr").rglob("*.py")),
                         ids=lambda p: p.relative_to(REPOSITORY).as_posix())  # fmt: skip
def test_nothing_in_the_package_could_run_what_it_reads(path: Path) -> None:
    for call in _calls(path):
        name = ast.unparse(call.func)
        assert name not in ("eval", "exec", "os.system", "os.popen", "yaml.load", "pickle.load",
                            "pickle.loads", "joblib.load", "dill.load"), name  # fmt: skip
        if name == "torch.load":
            assert _keyword(call, "weights_only") is True
        if name == "np.load":
            assert _keyword(call, "allow_pickle") is False
        assert _keyword(call, "shell") is not True


@pytest.mark.parametrize("name", ["{x}", "<b>", "a*", "a?", "[a]"])
def test_what_snakemake_takes_for_a_pattern_is_refused(
    tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", str(MINI), "--offline", "--results", str(tmp_path / name)]) == 2
    assert "Snakemake takes for patterns" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.integration
def test_a_results_folder_with_a_command_in_its_name_is_a_folder(tmp_path: Path) -> None:
    folder = tmp_path / "it's; touch pwned $(touch pwned) & `touch pwned`"
    done = subprocess.run(
        [sys.executable, "-m", "tadsr", "run", str(MINI), "--offline", "--results", str(folder),
         "--until", "data"],
        cwd=tmp_path, capture_output=True, text=True, timeout=300,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY), "TADSR_WEIGHTS": str(tmp_path / "w")},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert (folder / "mini" / "jobs" / "data.json").is_file()
    assert not list(tmp_path.rglob("pwned"))
