"""A worker: claims trials and does them until the search has what was asked for."""

from __future__ import annotations

import math
import time
import traceback
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from statistics import fmean
from typing import Any, Literal, Protocol

import optuna
from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import TrialState

from tadsr.config.sweep import SweepSpec
from tadsr.config.sweep_space import Value
from tadsr.errors import StorageError, TadsrError, listed, storage_error, without_secrets
from tadsr.sweeps.leases import Lease, LeaseLostError, Reaper, Worker
from tadsr.sweeps.samplers import suggest
from tadsr.sweeps.storage import patiently
from tadsr.sweeps.study import DIVERGED, SweepStudy

SCORES, RUN, IMAGES = "scores", "run", "images"
"""Attributes of a trial: its last scores by metric and image, its run's folder, images seen."""

MOST_CRASHES = 3
"""In a row; then something is wrong with more than a trial."""
PAUSE = 1.0
"""Seconds between looks at the others, when nothing is left to claim."""

Scores = Mapping[str, Mapping[str, float]]
"""Metric to image to value."""


@dataclass(frozen=True)
class TrialResult:
    """How a trial ended."""

    status: Literal["done", "diverged", "pruned"]
    message: str = ""
    run: str = ""
    """Name of its run folder."""


class DoTrial(Protocol):
    """Does the work of a trial."""

    def __call__(
        self,
        settings: dict[str, Value],
        look: Callable[[int, Scores], bool],
        progress: Callable[[int, int], None],
    ) -> TrialResult:
        """Carry out a trial; `look` takes images seen and scores, and says whether to end it."""
        ...


@dataclass
class Search:
    """What a worker needs to know of its search."""

    study: SweepStudy
    worker: Worker
    do: DoTrial
    images: int
    """That a whole trial sees."""
    teacher: Mapping[str, float]
    """The teacher's mean on validation images, by metric."""
    lock: Callable[[], Any]
    progress: Callable[[int, int], None] = lambda done, total: None
    pause: float = PAUSE
    crashes: list[str] = field(default_factory=list)


def work(search: Search) -> None:
    """Do trials until none is left, and none is under way whose worker may die.

    Raises:
        TadsrError: naming the trials of this worker that ended in an error.
    """
    study = search.study
    reaper = Reaper(study, search.worker, search.lock)
    in_a_row = 0
    while in_a_row < MOST_CRASHES:
        reaper.reap()
        trial = None if study.spent() else _claim(study)
        if trial is not None:
            crashed = len(search.crashes)
            _do(search, trial)
            in_a_row = in_a_row + 1 if len(search.crashes) > crashed else 0
        elif study.trials(TrialState.RUNNING):
            time.sleep(search.pause)
        elif not study.lost():
            break
    if search.crashes:
        raise TadsrError(f"{len(search.crashes)} trials failed; {listed(search.crashes)}")


def _claim(study: SweepStudy) -> optuna.Trial | None:
    trial = patiently(study.claim)
    if trial is None and study.wanted() is None:
        patiently(lambda: study.add({}))
        trial = patiently(study.claim)
    return trial


def _do(search: Search, trial: optuna.Trial) -> None:
    """One trial, from its settings to its end."""
    study = search.study
    try:
        with Lease(trial, search.worker) as lease:
            settings = patiently(lambda: suggest(trial, study.spec))
            print(f"trial {trial.number}: {_shown(settings)}", flush=True)
            observer = Observer(search, trial, lease)
            result = search.do(settings, observer.look, _progress(search))
            lease.check()
            observer.tell(result)
    except (LeaseLostError, UpdateFinishedTrialError):
        print(f"trial {trial.number}: was taken from this worker; another does it", flush=True)
    except Exception as error:
        if refused := storage_error(error, f"trial {trial.number}"):
            # No fault of the trial's: it is free. On this disk it may not even be possible to say
            # so; then its lease, which dies with this worker, does.
            with suppress(StorageError):
                study.fail(trial.number)
            raise refused from error
        if not isinstance(error, TadsrError):
            traceback.print_exc()
        text = " ".join(without_secrets(str(error)).split())[:500] or type(error).__name__
        print(f"trial {trial.number}: failed: {text}", flush=True)
        search.crashes.append(f"trial {trial.number}: {text}")
        study.fail(trial.number, text)
    except BaseException:  # stopped from outside: the trial is free at once
        study.fail(trial.number)
        raise


def _progress(search: Search) -> Callable[[int, int], None]:
    """A trial's progress as a share of the search's."""
    done, wanted = len(search.study.finished()), search.study.wanted() or 0
    total = max(wanted, done + 1)

    def progress(images: int, of: int) -> None:
        search.progress(int(1000 * (done + images / max(of, 1))), 1000 * total)

    return progress


class Observer:
    """What is told of a trial while it runs, and in the end."""

    def __init__(self, search: Search, trial: optuna.Trial, lease: Lease) -> None:
        self.search = search
        self.spec: SweepSpec = search.study.spec
        self.trial = trial
        self.lease = lease
        self.scores: Scores = {}
        self.images = 0

    def look(self, images: int, scores: Scores) -> bool:
        """Report scores at so many images seen; whether the trial is to be ended here."""
        self.lease.check()
        self.scores, self.images = scores, images
        goal = self.spec.objectives[0].metric.id
        shown = ", ".join(f"{m} {fmean(v.values()):.4f}" for m, v in scores.items())
        print(f"trial {self.trial.number}: {images} images, {shown}", flush=True)
        if len(self.spec.objectives) > 1:
            return False
        last = images >= self.search.images
        if self.spec.pruning.kind == "wilcoxon":
            return not last and self._against_best(scores[goal])
        self._report(fmean(scores[goal].values()), images)
        return not last and patiently(self.trial.should_prune)

    def _against_best(self, scores: Mapping[str, float]) -> bool:
        """Whether image after image speaks against the trial, at this one look."""
        for index, image in enumerate(sorted(scores)):
            self._report(scores[image], index)
        return patiently(self.trial.should_prune)

    def _report(self, value: float, step: int) -> None:
        patiently(lambda: self.trial.report(value, step))

    def tell(self, result: TrialResult) -> None:
        """Tell how the trial ended. Each call may be repeated: a second one changes nothing."""
        study, trial = self.search.study, self.trial
        for key, value in ((SCORES, self.scores), (RUN, result.run), (IMAGES, self.images)):
            patiently(lambda key=key, value=value: trial.set_user_attr(key, value))  # type: ignore[misc]
        self._set_constraints(result)
        values, state = None, TrialState.COMPLETE
        if result.status == "done":
            values = [fmean(self.scores[g.metric.id].values()) for g in self.spec.objectives]
        elif result.status == "diverged":
            patiently(lambda: trial.set_user_attr(DIVERGED, result.message))
            # The sampler learns from pruned trials, but knows them of one objective alone.
            state = TrialState.FAIL if len(self.spec.objectives) > 1 else TrialState.PRUNED
        else:
            state = TrialState.PRUNED
        patiently(lambda: study.study.tell(trial, values, state=state, skip_if_finished=True))
        shown = "" if values is None else f" {values}"
        print(f"trial {trial.number}: {result.status}{shown} {result.message}", flush=True)

    def _set_constraints(self, result: TrialResult) -> None:
        for constraint in self.spec.constraints:
            metric = constraint.metric.id
            violation = math.inf
            if result.status != "diverged" and metric in self.scores:
                mean = fmean(self.scores[metric].values())
                violation = constraint.violation(mean, self.search.teacher[metric])
            name = constraint.name
            if name not in patiently(lambda: self.trial.constraints):
                patiently(lambda n=name, v=violation: self.trial.set_constraint(n, v))  # type: ignore[misc]


def _shown(settings: Mapping[str, Value]) -> str:
    return ", ".join(
        f"{key} = {value:.4g}" if isinstance(value, float) else f"{key} = {value}"
        for key, value in settings.items()
    )
