"""What jobs ask of a scheduler: enough, more at a retry, and what the experiment file says."""

from __future__ import annotations

import inspect
from pathlib import Path

import pytest

from tadsr.config import Experiment
from tadsr.errors import ConfigError
from tadsr.plan import Plan
from tadsr.plan.job import COMPUTING
from tadsr.plan.resources import Resources, rule_resources
from tests.conftest import REPOSITORY

PAPER = REPOSITORY / "ablations" / "paper.yaml"
DEMO = REPOSITORY / "ablations" / "demo.yaml"

# Peak resident memory of the stage commands in MB, measured with wait4 on two CPU cores.
MEASURED = {"data": 800, "teacher": 1200, "targets": 1130, "student": 1200, "evaluate": 1200}


def asked(path: Path, *overrides: str) -> dict[str, Resources]:
    return Plan(Experiment.load(path, list(overrides)), Path("results/x")).resources


def test_every_stage_asks_for_more_than_was_measured_of_the_demo() -> None:
    needs = asked(DEMO, "execution.device=cpu")
    for stage, megabytes in MEASURED.items():
        assert 1.2 * megabytes < needs[stage].mem_mb < 4 * megabytes, stage


def test_only_computing_stages_ask_for_a_gpu_and_none_on_a_cpu() -> None:
    assert {stage for stage, needs in asked(DEMO).items() if needs.gpu} == set(COMPUTING)
    assert not any(needs.gpu for needs in asked(DEMO, "execution.device=cpu").values())


def test_a_longer_training_and_a_larger_batch_ask_for_more() -> None:
    base = asked(PAPER, "execution.device=cpu")["student"]
    batch = asked(PAPER, "execution.device=cpu", "student.training.batch_size=512")["student"]
    assert batch.mem_mb > base.mem_mb
    longer = asked(PAPER, "student.training.images=19200000")["student"]
    assert longer.runtime == pytest.approx(10 * asked(PAPER)["student"].runtime, rel=0.01)


def test_activations_are_not_asked_of_main_memory_when_they_lie_on_a_gpu() -> None:
    assert asked(PAPER)["student"].mem_mb < 20_000
    assert asked(PAPER, "execution.device=cpu")["student"].mem_mb > 80_000


def test_the_experiment_file_has_the_last_word_key_by_key() -> None:
    base = asked(DEMO)
    changed = asked(DEMO, "execution.resources={student: {mem_mb: 64000, gpu: 2}}")
    assert changed["student"] == Resources(64_000, base["student"].runtime, 2)
    without = asked(PAPER, "execution.resources={student: {gpu: 0}}")["student"]
    assert without == asked(PAPER, "execution.device=cpu")["student"]
    del base["student"], changed["student"]
    assert base == changed


@pytest.mark.parametrize(
    ("override", "part"),
    [
        ("{studnet: {gpu: 1}}", "'studnet' is no stage: did you mean 'student'"),
        ("{student: {memory: 1}}", "memory"),
        ("{student: {mem_mb: 0}}", "mem_mb"),
        ("{student: {gpu: -1}}", "gpu"),
    ],
)
def test_a_mistake_in_them_names_itself(override: str, part: str) -> None:
    with pytest.raises(ConfigError, match=part):
        asked(DEMO, f"execution.resources={override}")


def test_a_rule_asks_for_twice_as_much_memory_and_time_at_each_retry() -> None:
    rule = rule_resources(Resources(mem_mb=1000, runtime=20, gpu=1))
    values = [
        {name: ask(*([None, n][: len(inspect.signature(ask).parameters)]))
         for name, ask in rule.items()}
        for n in (1, 2, 3)
    ]  # fmt: skip
    assert values == [
        {"mem_mb": 1000, "runtime": 20, "gpu": 1},
        {"mem_mb": 2000, "runtime": 40, "gpu": 1},
        {"mem_mb": 4000, "runtime": 80, "gpu": 1},
    ]
    assert "gpu" not in rule_resources(Resources(1000, 20, 0))


def test_no_rule_states_a_number_of_its_own() -> None:
    for path in (REPOSITORY / "workflow" / "rules").glob("*.smk"):
        lines = path.read_text().splitlines()
        after = [lines[i + 1].strip() for i, line in enumerate(lines) if line == "    resources:"]
        assert after and all(line.startswith("**NEEDS[") for line in after), path
