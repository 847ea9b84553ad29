"""What proposes settings, and what ends trials: Optuna's, seeded and placed."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.pruners import BasePruner, HyperbandPruner, NopPruner, WilcoxonPruner
from optuna.samplers import BaseSampler, GPSampler, NSGAIISampler, RandomSampler, TPESampler
from optuna.trial import FrozenTrial, TrialState

from tadsr.config.sweep import PrunerSpec, SamplerSpec, SweepSpec
from tadsr.config.sweep_space import Parameter, Value
from tadsr.seeds import derive

ORIGIN = "origin"
"""Attribute of a trial that repeats one whose worker died: the number of the first of them."""


class SeededSampler(BaseSampler):
    """A sampler whose randomness is a function of (seed, trial) alone.

    Optuna's own, seeded, begin their stream anew in each process: a search that goes on would
    propose what it proposed before, and eight workers the same settings eight times. So each trial
    gets a sampler of its own, seeded by its number, or that of the trial that it repeats.
    """

    def __init__(self, seed: int, make: Callable[[int], BaseSampler]) -> None:
        self.seed = seed
        self._make = make
        self._inner = make(seed)

    def before_trial(self, study: optuna.Study, trial: FrozenTrial) -> None:
        """Seed the sampler of this trial."""
        number = trial.user_attrs.get(ORIGIN, trial.number)
        self._inner = self._make(derive(self.seed, "sampler", number) % 2**32)
        self._inner.before_trial(study, trial)

    def infer_relative_search_space(
        self, study: optuna.Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """As the sampler within."""
        space: dict[str, BaseDistribution] = self._inner.infer_relative_search_space(study, trial)
        return space

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """As the sampler within."""
        values: dict[str, Any] = self._inner.sample_relative(study, trial, search_space)
        return values

    def sample_independent(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """As the sampler within."""
        return self._inner.sample_independent(study, trial, param_name, param_distribution)

    def after_trial(
        self, study: optuna.Study, trial: FrozenTrial, state: TrialState, values: Any
    ) -> None:
        """As the sampler within."""
        self._inner.after_trial(study, trial, state, values)


def build_sampler(spec: SamplerSpec, seed: int) -> BaseSampler:
    """The sampler of a search; of a grid, one that is never asked, as all trials are fixed."""
    startup = spec.startup_trials
    makers: dict[str, Callable[[int], BaseSampler]] = {
        "tpe": lambda s: TPESampler(n_startup_trials=startup, seed=s),
        "gp": lambda s: GPSampler(n_startup_trials=startup, seed=s, deterministic_objective=False,
                                  warn_independent_sampling=False),
        "nsga2": lambda s: NSGAIISampler(seed=s),
        "random": lambda s: RandomSampler(seed=s),
        "grid": lambda s: RandomSampler(seed=s),
    }  # fmt: skip
    return SeededSampler(seed, makers[spec.kind])


def looks_of(spec: PrunerSpec, images: int) -> tuple[int, ...]:
    """At how many images seen a trial is looked at; the last look is its result.

    Those of hyperband are the whole divided by powers of `factor`, the first near `first`.
    """
    if spec.kind == "none":
        return (images,)
    if spec.kind == "wilcoxon":
        return (max(1, round(images * spec.first)), images)
    powers = max(1, round(math.log(1 / spec.first, spec.factor)))
    looks = {images // spec.factor**power for power in range(powers + 1)} - {0}
    return tuple(sorted(looks))


def build_pruner(spec: PrunerSpec, images: int) -> BasePruner:
    """The pruner of a search whose trials see so many images."""
    if spec.kind == "hyperband":
        first = looks_of(spec, images)[0]
        return HyperbandPruner(min_resource=first, max_resource=images,
                               reduction_factor=spec.factor)  # fmt: skip
    if spec.kind == "wilcoxon":
        return WilcoxonPruner(p_threshold=spec.threshold)
    return NopPruner()


def suggest(trial: optuna.Trial, spec: SweepSpec) -> dict[str, Value]:
    """The settings of a trial: dotted key to value, of what counts in it."""
    chosen: dict[str, Value] = {}
    for key, parameter in spec.space.items():
        if not parameter.counts(chosen):
            continue
        chosen[key] = _suggest(trial, key, parameter, grid=spec.sampler.kind == "grid")
    return chosen


def _suggest(trial: optuna.Trial, key: str, parameter: Parameter, *, grid: bool) -> Value:
    """In a grid, the levels are choices."""
    value: Value | None
    if parameter.kind == "categorical" or grid:
        value = trial.suggest_categorical(key, parameter.levels() or ())
        assert value is not None  # noqa: S101 (none of the choices is)
        return value
    low, high = parameter.edges()
    if parameter.kind == "int":
        step = 1 if parameter.log else int(parameter.step or 1)
        value = trial.suggest_int(key, int(low), int(high), log=parameter.log, step=step)
    else:
        value = trial.suggest_float(key, float(low), float(high), log=parameter.log,
                                    step=parameter.step)  # fmt: skip
    return value
