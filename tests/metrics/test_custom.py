"""Metrics of one's own: the contract, the file's digest in card and job, mistakes in one line."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from tadsr.cli import main
from tadsr.commands.metric import require_metrics
from tadsr.config import Experiment
from tadsr.config.metrics import MetricSpec
from tadsr.errors import ConfigError
from tadsr.metrics import Metric, NotComputableError, load_metric, same_identity, still_holds
from tadsr.metrics.contract import check_file, made_up_image
from tadsr.plan import Plan
from tests.conftest import REPOSITORY

SHARPNESS = """
class Metric:
    def __call__(self, sr, hr):
        return float(sr.diff(dim=1).abs().mean() + sr.diff(dim=2).abs().mean())
"""

POWER = """
from tadsr.config.base import Config

class Metric:
    class Config(Config):
        power: float = 2.0

    def __init__(self, config):
        self.power = config.power

    def __call__(self, sr, hr):
        return (sr - hr).abs().pow(self.power).mean()
"""


def body(code: str) -> str:
    head = "import numpy as np\nimport torch\nclass Metric:\n    calls = 0\n"
    return head + f"    def __call__(self, sr, hr):\n        {code}\n"


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def experiment(path: Path, *metrics: str) -> Path:
    """An experiment file that asks for metrics, each an entry in YAML."""
    test = "{a: {kind: photos, split: test, degradation: bicubic}}"
    listed = "".join(f"    - {metric}\n" for metric in metrics)
    head = f"name: own\nvariants: {{full: {{}}}}\ndata: {{test: {test}}}\n"
    return write(path, f"{head}evaluation:\n  metrics:\n{listed}")


def spec(path: Path, **changes: object) -> MetricSpec:
    asked = {"id": "own", "file": str(path), "needs_reference": False, "higher_is_better": True}
    return MetricSpec.model_validate({**asked, **changes})


def loaded(path: Path, **changes: object) -> Metric:
    metric = load_metric(spec(path, **changes))
    assert isinstance(metric, Metric), str(metric)
    return metric


def broken(path: Path, reference: bool = False, higher: bool = True) -> dict[str, str]:
    clauses = check_file(path, needs_reference=reference, higher_is_better=higher)
    return {clause.text: clause.broken for clause in clauses if clause.broken}


def test_a_good_metric_keeps_the_contract_and_gives_its_number(tmp_path: Path) -> None:
    path = write(tmp_path / "sharpness.py", SHARPNESS)
    assert broken(path) == {}
    sr = made_up_image(40, 50)
    levels = sr.numpy()
    expected = np.abs(np.diff(levels, axis=1)).mean() + np.abs(np.diff(levels, axis=2)).mean()
    assert loaded(path).score(sr) == pytest.approx(expected, abs=1e-6)
    inner = sr[:, 3:-3, 3:-3]
    assert loaded(path, border_crop=3).score(sr) == loaded(path).score(inner)


def test_options_are_held_by_the_files_config(tmp_path: Path) -> None:
    path = write(tmp_path / "power.py", POWER)
    assert broken(path, reference=True, higher=False) == {}
    sr, hr = made_up_image(20, 20), made_up_image(20, 20, "b")
    changes = {"needs_reference": True, "higher_is_better": False}
    for power in (1.0, 3.0):
        metric = loaded(path, options={"power": power}, **changes)
        assert metric.score(sr, hr) == float((sr - hr).abs().pow(power).mean())
    with pytest.raises(
        ConfigError, match=r"power.py: settings: pwoer: unknown key: did you mean .power"
    ):
        loaded(path, options={"pwoer": 1.0}, **changes)


@pytest.mark.parametrize(
    ("code", "reference", "clause", "reason"),
    [
        ("return sr", False, "one finite number", r"array of shape \(3, 128, 128\)"),
        ("return None", False, "one finite number", "NoneType; return one number"),
        ("return float('nan')", False, "one finite number", "gives nan"),
        ("return sr.moon()", False, "one finite number", r"AttributeError.*own.py:6"),
        ("return hr.mean()", False, "one finite number", "NoneType"),
        (
            "return sr.reshape(3, 64, 2, -1, 2).std() if sr.shape[1] == 128 else sr.view(3, 64)",
            False, "odd sizes", "131x97",
        ),
        ("self.calls += 1; return sr.mean() + self.calls", False, "same number", "then"),
        ("return sr.mean() + torch.rand(())", False, "same number", "then"),
        ("return float(sr.mean()) + np.random.rand()", False, "same number", "then"),
        ("sr.mul_(2); return sr.mean()", False, "changes no image", "sr was changed"),
        ("hr -= sr; return hr.abs().mean()", True, "changes no image", "hr was changed"),
        ("return 1.0", False, "tells images apart", "1 for every image"),
        (
            "return sr.mean() if sr.shape[1] > 10 else 0.0",
            False, "small images", "0 for every image of 8x8",
        ),
        ("return sr.std()", True, "looks at the reference", "another reference"),
        ("return (sr - hr).abs().mean()", True, "better than the reference", "is lower better?"),
        ("return sr.std() / hr.std()", True, "better than the reference", "noise gives"),
    ],
)  # fmt: skip
def test_a_broken_clause_is_named(
    tmp_path: Path, code: str, reference: bool, clause: str, reason: str
) -> None:
    found = broken(write(tmp_path / "own.py", body(code)), reference)
    named = [text for text in found if clause in text]
    assert len(named) == 1, found
    assert re.search(reason, found[named[0]]), found[named[0]]


def test_an_error_or_nan_on_small_images_is_no_breach(tmp_path: Path) -> None:
    for answer in ("raise ValueError('too small')", "return float('nan')"):
        code = f"if sr.shape[1] < 16: {answer}\n        return sr.std()"
        assert broken(write(tmp_path / f"{len(answer)}.py", body(code))) == {}


def test_the_command_says_what_holds_and_gives_the_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path / "power.py", POWER)
    arguments = ["metric", str(path), "--reference", "--set", "power=1.5e0", "--better"]
    assert main([*arguments, "lower"]) == 0
    shown = capsys.readouterr().out
    assert shown.count("ok ") == 8
    line = shown.strip().splitlines()[-1].strip()
    asked = Experiment.load(experiment(tmp_path / "e.yaml", line.removeprefix("- ")))
    assert asked.metric("power").options == {"power": 1.5}
    assert main([*arguments, "higher"]) == 1
    shown_again = capsys.readouterr()
    assert "BROKEN no distorted image is better" in shown_again.out
    assert "breaks 1 of 8" in shown_again.err
    assert main(["metric", str(tmp_path / "none.py"), "--better", "lower"]) == 2
    assert "no such file" in capsys.readouterr().err


def test_the_file_is_part_of_the_card_and_its_place_is_not(tmp_path: Path) -> None:
    first = loaded(write(tmp_path / "a.py", SHARPNESS))
    moved = loaded(write(tmp_path / "elsewhere" / "b.py", SHARPNESS))
    other = loaded(write(tmp_path / "c.py", SHARPNESS + "\n# another\n"))
    assert same_identity(first.card, moved.card) is None
    assert "code differs" in (same_identity(first.card, other.card) or "")
    assert first.card.code == first.spec.digest
    assert first.card.verified is None
    assert still_holds(first.card, first.spec)
    assert not still_holds(first.card, other.spec)


HOLDER = """
import torch
from scipy.ndimage import laplace
import numpy as np

class Metric{base}:
    def __init__(self):
        {start}
        self.own = torch.nn.Linear(1, 1)
        self.own.weight.data.fill_({value})
        self.own.bias.data.zero_()

    def __call__(self, sr, hr):
        return float(np.abs(laplace(sr[0])).mean())
"""


@pytest.mark.parametrize(("base", "start"), [("", ""), ("(torch.nn.Module)", "super().__init__()")])
def test_what_a_file_imports_and_holds_stands_in_the_card(
    tmp_path: Path, base: str, start: str
) -> None:
    cards = []
    for number, value in enumerate((1, 1.0, 2)):
        text = HOLDER.format(base=base, start=start, value=value)
        cards.append(loaded(write(tmp_path / f"{number}.py", text)).card)
    assert all(set(card.libraries) == {"numpy", "scipy"} for card in cards)
    first, same, other = (card.tensors for card in cards)
    assert first == same
    assert first not in (None, other)
    assert [card.verified for card in cards] == [False] * 3, "until the metric's line vouches"
    text = HOLDER.format(base=base, start=start, value=1)
    vouched = loaded(write(tmp_path / "1.py", text), tensors=first)
    assert vouched.card.verified is True


def test_a_file_that_changes_under_a_running_experiment_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "own.py", SHARPNESS)
    asked = spec(path)
    path.write_text(SHARPNESS + "# changed")
    with pytest.raises(ConfigError, match=r"has changed since the experiment was read"):
        load_metric(asked)
    path.unlink()
    with pytest.raises(ConfigError, match=r"own.py: no such file"):
        load_metric(asked)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x = 1", "no class 'Metric'"),
        ("import nothing_of_this_name", "cannot be imported .ModuleNotFoundError"),
        ("class Metric:\n    def __init__(self): 1 / 0", "fails .ZeroDivisionError"),
        ("class Metric:\n    class Config: pass", "no settings class"),
        ("class Metric: pass", "cannot be called"),
    ],
)
def test_mistakes_in_a_file_are_one_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as error:
        load_metric(spec(write(tmp_path / "own.py", text)))
    assert "\n" not in str(error.value)
    assert str(tmp_path / "own.py") in str(error.value)


def test_an_image_that_the_file_cannot_take_is_told_with_the_place(tmp_path: Path) -> None:
    path = write(tmp_path / "own.py", body("raise ValueError('no sky in it')"))
    with pytest.raises(NotComputableError, match=r"50x40 .ValueError: no sky in it, own.py:6"):
        loaded(path).score(made_up_image(40, 50))
    kept = made_up_image(9, 9)
    given = kept.clone()
    loaded(write(tmp_path / "rude.py", body("sr.zero_(); return 0.5"))).score(given)
    assert torch.equal(given, kept), "the next metric sees the image as it was"


def test_paths_start_from_the_experiment_file_and_content_makes_the_job(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "lab" / "metrics" / "own.py", SHARPNESS)
    entry = "{id: own, file: metrics/own.py, needs_reference: false, higher_is_better: true}"
    base = experiment(tmp_path / "lab" / "base.yaml", "psnr", entry)
    top = write(tmp_path / "top.yaml", "extends: lab/base.yaml\nname: top\n")
    monkeypatch.chdir(tmp_path)
    for file in (base, top, Path("lab/base.yaml")):
        asked = Experiment.load(file).metric("own")
        assert Path(str(asked.file)).read_text() == SHARPNESS
    assert asked.file == "lab/metrics/own.py", "as it lies from the current folder"
    here = f"evaluation.metrics=[{entry.replace('metrics/own', 'lab/metrics/own')}]"
    assert Experiment.load(top, [here]).metric("own").digest == asked.digest
    require_metrics(Experiment.load(top))

    def digests() -> set[str]:
        return {Plan.load(top).jobs["evaluate/full"].digest}

    before = digests()
    (tmp_path / "lab" / "metrics").rename(tmp_path / "lab" / "moved")
    base.write_text(base.read_text().replace("metrics/own", "moved/own"))
    assert digests() == before, "where the file lies does not matter"
    write(tmp_path / "lab" / "moved" / "own.py", SHARPNESS + "# changed\n")
    assert digests() != before, "what is in it does"
    write(tmp_path / "lab" / "moved" / "own.py", "x = 1")
    with pytest.raises(ConfigError, match=r"metric 'own': .*own.py: defines no class 'Metric'"):
        require_metrics(Experiment.load(top))


def test_the_example_of_the_documentation_keeps_the_contract(tmp_path: Path) -> None:
    page = (REPOSITORY / "docs" / "metrics.md").read_text()
    example = re.search(r"```python\n(\"\"\"Loss of texture.*?)```", page, flags=re.S)
    assert example is not None
    assert broken(write(tmp_path / "texture.py", example[1]), reference=True, higher=False) == {}


def test_schema_and_plan_with_a_metric_of_ones_own_import_no_torch(tmp_path: Path) -> None:
    entry = "{id: own, file: own.py, needs_reference: false, higher_is_better: true}"
    write(tmp_path / "own.py", "import torch\n" + SHARPNESS)
    vif = "{id: v, pyiqa: vif, needs_reference: true, higher_is_better: true}"
    file = experiment(tmp_path / "e.yaml", entry, vif)
    code = (
        f"import sys\nfrom tadsr.cli import main\nmain(['plan', {str(file)!r}])\n"
        "assert not {'torch', 'pyiqa'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path, capture_output=True)
