"""What a finished search leaves as plain data, for the report and whoever reads it."""

from __future__ import annotations

import math
import warnings
from pathlib import Path
from typing import Any

import optuna
import yaml
from optuna.importance import (
    BaseImportanceEvaluator,
    FanovaImportanceEvaluator,
    PedAnovaImportanceEvaluator,
)
from optuna.trial import FrozenTrial, TrialState

from tadsr.config.sweep import Goal, SweepSpec
from tadsr.files import write_json, write_text
from tadsr.seeds import derive
from tadsr.sweeps import BEST
from tadsr.sweeps.samplers import ORIGIN
from tadsr.sweeps.selection import Candidate, pareto_front, pick
from tadsr.sweeps.study import DIVERGED, RETRY_OF, SweepStudy
from tadsr.sweeps.worker import IMAGES, RUN, SCORES

FEWEST = 4
"""Complete trials below which importances say nothing."""


def write_results(study: SweepStudy, folder: Path) -> dict[str, Candidate]:
    """Write trials.json, importances.json and best.yaml; returns what was picked.

    No times, no hosts: the same trials give the same bytes.

    Raises:
        TadsrError: there is nothing to pick.
    """
    spec = study.spec
    trials = study.trials()
    write_json(folder / "trials.json", [trial_record(trial, spec) for trial in trials])
    write_json(folder / "importances.json", importances(study))
    candidates = [candidate(trial) for trial in trials if trial.state == TrialState.COMPLETE]
    directions = [goal.optimised for goal in spec.objectives]
    picked = pick(candidates, directions)
    front = [c for c in candidates if c.feasible]
    numbers = [c.number for c in pareto_front(front, directions)] if len(directions) > 1 else []
    found = {
        "picks": {which: _pick_record(chosen, spec) for which, chosen in picked.items()},
        "front": numbers,
    }
    write_text(folder / BEST, yaml.safe_dump(found, sort_keys=False, allow_unicode=True))
    return picked


def candidate(trial: FrozenTrial) -> Candidate:
    """A complete trial, as selection takes it."""
    return Candidate(trial.number, dict(trial.params), tuple(trial.values or ()), trial.constraints)


def trial_record(trial: FrozenTrial, spec: SweepSpec) -> dict[str, Any]:
    """One trial as JSON: `state` is complete, pruned, diverged, failed (its worker died, or it
    crashed), or waiting. `intermediate` has the first objective's mean by images seen, or, with
    wilcoxon, nothing but the single look's scores by image number.
    """
    attributes = trial.user_attrs
    state = "diverged" if DIVERGED in attributes else trial.state.name.lower()
    names = [goal.metric.id for goal in spec.objectives]
    values = trial.values if trial.state == TrialState.COMPLETE else None
    return {
        "number": trial.number,
        "state": state.replace("fail", "failed"),
        "message": attributes.get(DIVERGED, ""),
        "origin": attributes.get(ORIGIN),
        "retry_of": attributes.get(RETRY_OF),
        "settings": dict(trial.params),
        "values": dict(zip(names, values, strict=True)) if values else {},
        "violations": {k: v if math.isfinite(v) else None for k, v in trial.constraints.items()},
        "intermediate": {str(step): v for step, v in sorted(trial.intermediate_values.items())},
        "images": attributes.get(IMAGES, 0),
        "scores": attributes.get(SCORES, {}),
        "run": attributes.get(RUN, ""),
    }


def importances(study: SweepStudy) -> dict[str, dict[str, dict[str, float]]]:
    """Objective to method (`fanova`, `ped_anova`) to setting to its share; sums to 1.

    Empty for a method that has no basis: too few complete trials, or all of them equal. Settings
    that do not count in every trial are known to PED-ANOVA alone.
    """
    spec = study.spec
    complete = study.trials(TrialState.COMPLETE)
    found: dict[str, dict[str, dict[str, float]]] = {}
    for index, goal in enumerate(spec.objectives):
        values = [(trial.values or [])[index] for trial in complete]
        usable = len(complete) >= FEWEST and len(set(values)) > 1
        seed = derive(spec.seed, "importance") % 2**32
        evaluators = {
            "fanova": FanovaImportanceEvaluator(seed=seed),
            "ped_anova": PedAnovaImportanceEvaluator(target_quantile=0.25),
        }
        found[goal.metric.id] = {
            name: _importance(study.study, evaluator, index, goal) if usable else {}
            for name, evaluator in evaluators.items()
        }
    return found


def _importance(
    study: optuna.Study, evaluator: BaseImportanceEvaluator, index: int, goal: Goal
) -> dict[str, float]:
    sign = -1.0 if goal.optimised == "maximize" else 1.0  # PED-ANOVA takes lower for better

    def target(trial: FrozenTrial) -> float:
        return sign * float((trial.values or [])[index])

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that PED-ANOVA takes lower for better, which it gets
        shares = optuna.importance.get_param_importances(study, evaluator=evaluator, target=target)
    return {name: float(share) for name, share in sorted(shares.items())}


def _pick_record(chosen: Candidate, spec: SweepSpec) -> dict[str, Any]:
    names = [goal.metric.id for goal in spec.objectives]
    return {
        "trial": chosen.number,
        "delta": chosen.settings,
        "values": dict(zip(names, chosen.values, strict=True)),
    }
