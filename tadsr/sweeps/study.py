"""A search in its storage: made once, filled with the trials that are asked for, claimed by one.

Trials are not asked of Optuna one by one: with several workers that gives more or fewer than were
wanted. All of a search's trials stand in the storage as waiting from the beginning (their settings
are proposed when they start, unless it is a grid), and a worker claims one. So their number is
right whoever dies when.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

import optuna
from optuna.exceptions import UpdateFinishedTrialError
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, TrialState, create_trial

from tadsr.config.sweep import SweepSpec
from tadsr.errors import TadsrError
from tadsr.files import canonical_json
from tadsr.sweeps.samplers import ORIGIN, build_pruner, build_sampler
from tadsr.sweeps.storage import PATIENCE, open_storage, patiently

KEY = "tadsr_key"
"""Attribute of a study: the key of the run that it belongs to."""
RETRY_OF = "retry_of"
"""Attribute of a trial that repeats another: that one's number."""
DIVERGED, CRASHED = "diverged", "crashed"
"""Attributes of a trial that ended so: how."""

FIXED = "fixed_params"
"""Where Optuna keeps the settings of a trial that is not to be sampled."""


class SweepStudy:
    """The study of one search.

    Attributes:
        study: Optuna's.

    Args:
        patience: seconds that looking at the trials waits for a storage that is away.
    """

    def __init__(
        self, spec: SweepSpec, study: optuna.Study, storage: BaseStorage,
        patience: float = PATIENCE,
    ) -> None:  # fmt: skip
        self.spec = spec
        self.patience = patience
        self.study = study
        self.storage = storage

    @classmethod
    def open(
        cls, spec: SweepSpec, name: str, key: str, *, where: str, folder: Path, images: int
    ) -> SweepStudy:
        """The study `name`, made if it is not there; call it under the search's lock.

        Args:
            key: of the run; a study with another one is another search.
            where: `journal`, for a file in `folder`, or a URL.
            images: that a trial sees.

        Raises:
            TadsrError: the storage holds a search with other settings by this name.
        """
        storage = open_storage(where, folder)
        study = patiently(lambda: optuna.create_study(
            study_name=name,
            storage=storage,
            directions=[goal.optimised for goal in spec.objectives],
            sampler=build_sampler(spec.sampler, spec.seed),
            pruner=build_pruner(spec.pruning, images),
            load_if_exists=True,
        ))  # fmt: skip
        if patiently(lambda: _owner(study, spec, key)) != key:
            place = folder if where == "journal" else "execution.sweep_storage"
            raise TadsrError(
                f"{place}: holds a search '{name}' with another space, other objectives, or "
                "another teacher; give this one another name, or delete that one "
                "(optuna delete-study)"
            )
        return cls(spec, study, storage)

    def trials(self, *states: TrialState) -> list[FrozenTrial]:
        """The trials in these states (all if none is named), by number."""
        wanted = states or None
        found: list[FrozenTrial] = patiently(
            lambda: self.study.get_trials(deepcopy=False, states=wanted), self.patience
        )
        return found

    def fill(self) -> None:
        """Add the waiting trials that are not there yet; call it under the search's lock."""
        patiently(self._fill)  # as a whole: a single addition may have happened, and not be known

    def _fill(self) -> None:
        originals = [t for t in self.trials() if ORIGIN not in t.user_attrs]
        missing: list[dict[str, Any]]
        if self.spec.sampler.kind == "grid":
            there = {canonical_json(trial.system_attrs.get(FIXED, {})) for trial in originals}
            missing = [dict(p) for p in self.spec.points() if canonical_json(p) not in there]
        else:
            missing = [{} for _ in range((self.spec.budget.trials or 0) - len(originals))]
        for point in missing:
            self.add(point)

    def add(self, settings: dict[str, Any], **attributes: Any) -> None:
        """Add a waiting trial; settings that are not given are proposed when it starts."""
        trial = create_trial(
            state=TrialState.WAITING, system_attrs={FIXED: settings}, user_attrs=attributes
        )
        self.study.add_trial(trial)

    def repeat(self, *, crashed: bool) -> None:
        """Add a waiting trial for each that failed without a result and has none yet.

        Call it under the search's lock; when it is cut short, the next call does the rest.

        Args:
            crashed: also for those that ended in an error, which are tried again when a user
                starts the search again.
        """
        patiently(lambda: self._repeat(crashed))

    def _repeat(self, crashed: bool) -> None:
        for trial in self.lost() + (self.crashed() if crashed else []):
            settings = {**trial.system_attrs.get(FIXED, {}), **trial.params}
            origin = trial.user_attrs.get(ORIGIN, trial.number)
            self.add(settings, **{RETRY_OF: trial.number, ORIGIN: origin})

    def claim(self) -> optuna.Trial | None:
        """A waiting trial that is now ours, or None. What was begun before goes first."""
        waiting = self.trials(TrialState.WAITING)
        for trial in sorted(waiting, key=lambda t: (t.user_attrs.get(ORIGIN, t.number), t.number)):
            try:
                ours = self.storage.set_trial_state_values(trial._trial_id, TrialState.RUNNING)
            except UpdateFinishedTrialError:
                continue
            if ours:
                return optuna.Trial(self.study, trial._trial_id)
        return None

    def fail(self, number: int, crash: str = "") -> None:
        """End a trial without a result, unless it has ended already.

        Args:
            crash: the error that it ended in; without one its worker is gone, and it is repeated.
        """
        trial_id = self.trials()[number]._trial_id
        try:
            if crash:
                patiently(lambda: self.storage.set_trial_user_attr(trial_id, CRASHED, crash))
            patiently(lambda: self.study.tell(number, state=TrialState.FAIL, skip_if_finished=True))
        except UpdateFinishedTrialError:  # in this very moment
            return

    def finished(self) -> list[FrozenTrial]:
        """The trials with a result: complete, pruned or diverged."""
        return [t for t in self.trials() if has_result(t)]

    def lost(self) -> list[FrozenTrial]:
        """The trials whose worker died, and that are not repeated yet."""
        return [trial for trial in self._unrepeated() if CRASHED not in trial.user_attrs]

    def crashed(self) -> list[FrozenTrial]:
        """The trials that ended in an error, and that are not repeated yet."""
        return [trial for trial in self._unrepeated() if CRASHED in trial.user_attrs]

    def _unrepeated(self) -> list[FrozenTrial]:
        trials = self.trials()
        repeated = {trial.user_attrs.get(RETRY_OF) for trial in trials}
        failed = [trial for trial in trials if trial.state == TrialState.FAIL]
        return [t for t in failed if t.number not in repeated and DIVERGED not in t.user_attrs]

    def wanted(self) -> int | None:
        """How many trials are asked for; None where hours alone end the search."""
        if self.spec.sampler.kind == "grid":
            return len(self.spec.points())
        return self.spec.budget.trials

    def spent(self) -> bool:
        """Whether no further trial is to be started."""
        wanted, hours = self.wanted(), self.spec.budget.hours
        enough = wanted is not None and len(self.finished()) >= wanted
        return enough or (hours is not None and self.hours() >= hours)

    def hours(self) -> float:
        """Hours that trials have taken, those under way included."""
        return sum(map(_seconds, self.trials())) / 3600


def _owner(study: optuna.Study, spec: SweepSpec, key: str) -> str | None:
    """The key of the search that a study belongs to: this one's, if it is of nobody yet."""
    found: str | None = study.user_attrs.get(KEY)
    if found is None and not study.trials:
        study.set_metric_names([goal.metric.id for goal in spec.objectives])
        study.set_user_attr(KEY, key)
        return key
    return found


def has_result(trial: FrozenTrial) -> bool:
    """Whether a trial counts: it is complete, pruned or diverged."""
    ended = trial.state in (TrialState.COMPLETE, TrialState.PRUNED)
    return ended or (trial.state == TrialState.FAIL and DIVERGED in trial.user_attrs)


def _seconds(trial: FrozenTrial) -> float:
    if trial.datetime_start is None:
        return 0.0
    end = trial.datetime_complete or datetime.now()
    return max(0.0, (end - trial.datetime_start).total_seconds())
