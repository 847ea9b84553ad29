"""What is proposed, when trials end early, and that neither depends on who was killed when."""

from __future__ import annotations

import json
import random
from collections import Counter
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState

from tadsr.config.sweep import PrunerSpec
from tadsr.sweeps.guard import closed
from tadsr.sweeps.results import candidate, write_results
from tadsr.sweeps.samplers import looks_of
from tadsr.sweeps.study import SweepStudy
from tadsr.sweeps.worker import TrialResult
from tests.postgresql import PostgreSQL
from tests.sweeps.made_up import SPACE, WEIGHT, do_trial, lock, open_study, run_worker, spec

DISCRIMINATOR = "student.losses.adversarial.discriminator"


def settings(study: SweepStudy) -> list[Any]:
    return [trial.params for trial in study.finished()]


@pytest.mark.parametrize("kind", ["tpe", "random", "gp"])
def test_one_worker_proposes_the_same_whether_or_not_it_is_interrupted(
    tmp_path: Path, kind: str
) -> None:
    asked = spec(sampler={"kind": kind, "startup_trials": 3}, budget={"trials": 7})
    whole = open_study(tmp_path / "whole", asked)
    run_worker(tmp_path / "whole", whole)
    for _ in range(9):  # a process per trial, and one that dies
        study = open_study(tmp_path / "broken", asked)
        if len(study.finished()) == 3 and not study.trials(TrialState.FAIL):
            dying = study.claim()
            assert dying is not None
            study.fail(dying.number)
            with lock(tmp_path / "broken"):
                study.repeat(crashed=False)
        _one_trial(tmp_path / "broken", study)
    assert len(settings(whole)) == 7
    assert sorted(map(str, settings(study))) == sorted(map(str, settings(whole)))


def _one_trial(folder: Path, study: SweepStudy) -> None:
    """What a worker does until it is stopped, at its second trial."""
    calls: list[int] = []

    def do(*arguments: Any) -> TrialResult:
        calls.append(1)
        if len(calls) > 1:
            raise KeyboardInterrupt
        return do_trial(*arguments)

    try:
        run_worker(folder, study, do)
    except KeyboardInterrupt:
        return


def test_another_seed_proposes_something_else(tmp_path: Path) -> None:
    for seed in (1, 2):
        study = open_study(tmp_path / str(seed), spec(seed=seed))
        run_worker(tmp_path / str(seed), study)
    first, second = (settings(open_study(tmp_path / s, spec(seed=int(s)))) for s in "12")
    assert all(one != other for one, other in zip(first, second, strict=True))
    assert len({str(p) for p in first}) == len(first)


def test_tpe_finds_the_best_weight(tmp_path: Path) -> None:
    study = open_study(tmp_path, spec(budget={"trials": 40}))
    run_worker(tmp_path, study)
    best = max((t for t in study.finished()), key=lambda t: t.value)
    assert best.params[WEIGHT] == pytest.approx(0.1, abs=0.02)


def test_more_trials_go_on_with_the_same_search(tmp_path: Path) -> None:
    run_worker(tmp_path, open_study(tmp_path, spec(budget={"trials": 3})))
    study = open_study(tmp_path, spec(budget={"trials": 5}))
    run_worker(tmp_path, study)
    assert len(study.finished()) == 5
    fewer = open_study(tmp_path, spec(budget={"trials": 2}))
    assert fewer.spent()
    assert len(fewer.trials()) == 5


def test_a_grid_is_its_product_with_what_does_not_count_left_out(tmp_path: Path) -> None:
    space = {
        WEIGHT: {"kind": "categorical", "choices": [0, 0.02, 0.2]},
        DISCRIMINATOR: {"kind": "categorical", "choices": ["vanilla", "time_aware"],
                        "when": {WEIGHT: [0.02, 0.2]}},
        "student.training.batch_size": {"kind": "int", "low": 4, "high": 8, "step": 4},
    }  # fmt: skip
    asked = spec(space=space, sampler={"kind": "grid"}, budget={})
    study = open_study(tmp_path, asked)
    dying = study.claim()
    assert dying is not None
    study.fail(dying.number)
    run_worker(tmp_path, study)
    run_worker(tmp_path, open_study(tmp_path, asked))  # nothing is left
    found = Counter(tuple(sorted(map(str, p.items()))) for p in settings(study))
    assert len(found) == 2 + 2 * 2 * 2
    assert set(found.values()) == {1}
    off = [p for p in settings(study) if p[WEIGHT] == 0]
    assert len(off) == 2
    assert not any(DISCRIMINATOR in p for p in off)


def test_hyperband_ends_bad_trials_at_a_look_and_never_the_best(tmp_path: Path) -> None:
    study = open_study(tmp_path, spec(budget={"trials": 25}, pruner={"kind": "hyperband"}))
    run_worker(tmp_path, study)
    states = Counter(t.state for t in study.finished())
    assert 0 < states[TrialState.PRUNED] < 25
    for trial in study.trials(TrialState.PRUNED):
        assert trial.user_attrs["images"] < 90
    best = min(study.finished(), key=lambda t: abs(t.params[WEIGHT] - 0.1))
    assert best.state == TrialState.COMPLETE


def images_of(weight: float, shift: float) -> dict[str, float]:
    return {f"image-{i}": 25 + i - weight * (5 + i / 10) + shift for i in range(12)}


def test_wilcoxon_looks_once_and_is_strict(tmp_path: Path) -> None:
    asked = spec(pruner={"kind": "wilcoxon", "first": 1 / 3}, sampler={"kind": "random"},
                 budget={"trials": 12})  # fmt: skip
    study = open_study(tmp_path, asked)

    def do(given: Any, look: Any, progress: Any) -> TrialResult:
        for images in (30, 90):
            if look(images, {"psnr": images_of(given[WEIGHT], images / 1000)}):
                return TrialResult("pruned")
        return TrialResult("done")

    run_worker(tmp_path, study, do)
    ended = study.trials(TrialState.PRUNED)
    assert ended
    assert all(trial.user_attrs["images"] == 30 for trial in ended)
    best = max(study.trials(TrialState.COMPLETE), key=lambda t: t.value)
    assert best.params[WEIGHT] == min(t.params[WEIGHT] for t in study.finished())


def test_trainings_that_differ_by_chance_are_not_ended(tmp_path: Path) -> None:
    asked = spec(pruner={"kind": "wilcoxon"}, budget={"trials": 30})
    study = open_study(tmp_path, asked)
    chance = random.Random(3)

    def do(given: Any, look: Any, progress: Any) -> TrialResult:
        noise = {f"image-{i}": 25 + chance.gauss(0, 0.3) for i in range(16)}
        return TrialResult("pruned" if look(10, {"psnr": noise}) else "done")

    run_worker(tmp_path, study, do)
    assert len(study.trials(TrialState.PRUNED)) <= 2


def test_looks_are_fractions_of_the_whole() -> None:
    assert looks_of(PrunerSpec(), 960) == (106, 320, 960)
    assert looks_of(PrunerSpec(), 64) == (7, 21, 64)
    assert looks_of(PrunerSpec(first=1 / 4, factor=2), 960) == (240, 480, 960)
    assert looks_of(PrunerSpec(kind="wilcoxon", first=0.25), 960) == (240, 960)
    assert looks_of(PrunerSpec(kind="none"), 960) == (960,)
    assert looks_of(PrunerSpec(), 2) == (2,)


def test_constraints_and_divergence_reach_the_results(tmp_path: Path) -> None:
    asked = spec(constraints=[{"metric": "psnr", "margin": 0.2}], budget={"trials": 20},
                 sampler={"kind": "random"})  # fmt: skip
    study = open_study(tmp_path, asked)

    def do(given: Any, look: Any, progress: Any) -> TrialResult:
        if given[WEIGHT] > 0.5:
            return TrialResult("diverged", "the loss became nan", "run")
        return do_trial(given, look, progress)

    run_worker(tmp_path, study, do)  # the teacher has 25: within 0.2 means a weight below 0.3
    picked = write_results(study, tmp_path)
    complete = [candidate(t) for t in study.trials(TrialState.COMPLETE)]
    assert {c.feasible for c in complete} == {True, False}
    assert all(c.feasible == (abs(c.settings[WEIGHT] - 0.1) <= 0.2 + 1e-9) for c in complete)
    assert picked["best"].feasible
    records = json.loads((tmp_path / "trials.json").read_text())
    diverged = [r for r in records if r["state"] == "diverged"]
    assert diverged
    assert all(r["message"] == "the loss became nan" and not r["values"] for r in diverged)


def test_two_objectives_give_a_front_with_knee_and_ends(tmp_path: Path) -> None:
    asked = spec(objectives=[{"metric": "psnr"}, {"metric": "lpips"}], pruner=None,
                 budget={"trials": 20}, sampler={"kind": "random"})  # fmt: skip
    study = open_study(tmp_path, asked)

    def do(given: Any, look: Any, progress: Any) -> TrialResult:
        weight = given[WEIGHT]
        look(90, {"psnr": {"a": 30 - weight**2}, "lpips": {"a": 0.5 - 0.3 * weight**0.5}})
        return TrialResult("done")

    run_worker(tmp_path, study, do)
    picked = write_results(study, tmp_path)
    weights = {which: c.settings[WEIGHT] for which, c in picked.items()}
    tried = [t.params[WEIGHT] for t in study.finished()]
    assert weights["end1"] == min(tried)
    assert weights["end2"] == max(tried)
    assert weights["end1"] < weights["knee"] < weights["end2"]


def test_equal_trials_give_equal_bytes(tmp_path: Path) -> None:
    names = ("trials.json", "importances.json", "best.yaml")
    found = []
    for place in ("one", "two"):
        study = open_study(tmp_path / place, spec(budget={"trials": 8}))
        run_worker(tmp_path / place, study)
        write_results(study, tmp_path / place)
        found.append([(tmp_path / place / name).read_bytes() for name in names])
    assert found[0] == found[1]


def test_importances_tell_the_setting_that_matters(tmp_path: Path) -> None:
    other = "student.training.ema"
    space = {**SPACE, other: {"kind": "float", "low": 0.5, "high": 0.99}}
    study = open_study(tmp_path, spec(space=space, budget={"trials": 30},
                                      sampler={"kind": "random"}))  # fmt: skip
    run_worker(tmp_path, study)
    write_results(study, tmp_path)
    found = json.loads((tmp_path / "importances.json").read_text())["psnr"]
    for method in ("fanova", "ped_anova"):
        assert sum(found[method].values()) == pytest.approx(1)
        assert found[method][WEIGHT] > found[method][other]


def test_what_is_closed_cannot_be_opened_by_any_library(tmp_path: Path) -> None:
    from PIL import Image

    picture = tmp_path / "test set" / "a.png"
    picture.parent.mkdir()
    Image.new("RGB", (2, 2)).save(picture)
    (tmp_path / "test set more.txt").write_text("another folder")
    with closed([tmp_path / "test set"]):
        (tmp_path / "test set more.txt").read_text()
        for read in (lambda: Image.open(picture), picture.read_bytes, lambda: open(str(picture))):  # noqa: SIM115, PTH123
            with pytest.raises(Exception, match="a search wanted to read a test set"):
                read()
    Image.open(picture)


def test_optuna_opens_the_study_by_its_file(tmp_path: Path) -> None:
    run_worker(tmp_path, open_study(tmp_path, spec()))
    backend = optuna.storages.journal.JournalFileBackend(str(tmp_path / "journal.log"))
    study = optuna.load_study(study_name=None, storage=optuna.storages.JournalStorage(backend))
    assert study.study_name == "made up/search"
    assert len(study.trials) == 6


@pytest.mark.slow
def test_a_database_gives_the_same_results_as_the_journal(
    tmp_path: Path, database: PostgreSQL
) -> None:
    asked = spec(constraints=[{"metric": "psnr", "margin": 0.2}], budget={"trials": 8},
                 pruner={"kind": "hyperband"})  # fmt: skip

    def do(given: Any, look: Any, progress: Any) -> TrialResult:
        if given[WEIGHT] > 0.5:
            return TrialResult("diverged", "the loss became nan", "run")
        return do_trial(given, look, progress)

    found = []
    for place, where in (("journal", "journal"), ("database", database.url)):
        study = open_study(tmp_path / place, asked, where)
        run_worker(tmp_path / place, study, do)
        write_results(study, tmp_path / place)
        found.append((tmp_path / place / "trials.json").read_text())
    assert found[0] == found[1]
    assert '"violations": {\n   "psnr against the teacher": null' in found[0]  # a diverged one
