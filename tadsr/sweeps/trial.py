"""A trial is an ordinary student run, with its own card, looked at on validation images."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

from tadsr.config.deltas import changed
from tadsr.config.experiment import Cell
from tadsr.config.sweep_space import Value
from tadsr.files import read_json, write_json
from tadsr.plan import Plan, recipes
from tadsr.plan.artefacts import pool_content, trial_content
from tadsr.plan.receipts import student_upstream
from tadsr.runs import Run
from tadsr.runs.folder import verify_run
from tadsr.sweeps.samplers import looks_of
from tadsr.sweeps.worker import Scores, TrialResult

if TYPE_CHECKING:
    from tadsr.pipeline import TADSRPipeline
    from tadsr.training.loop import TrainingOutcome

LOOKS = "looks.json"
"""In a trial's folder: images seen to the scores there."""


class _EndedEarly(Exception):  # noqa: N818 - a result of the trial, not an error
    """A look said that the trial is to be ended."""


class Validation:
    """Scores a student, or the teacher, on the validation images; metrics are loaded once."""

    def __init__(self, plan: Plan, sweep: str, device: str) -> None:
        from tadsr.evaluation.measure import MetricLoader
        from tadsr.evaluation.validation import ValidationScorer

        experiment = plan.experiment
        self.device = device
        self.scorer = ValidationScorer(
            plan.dataset("val"), experiment.search_metrics(sweep), MetricLoader(device),
            scale=experiment.data.scale, threads=experiment.evaluation.threads,
        )  # fmt: skip

    def __call__(self, model: Path | TADSRPipeline, steps: int = 1) -> Scores:
        """Metric to image to value."""
        from tadsr.evaluation.upscalers import PipelineUpscaler

        return self.scorer(PipelineUpscaler(model, steps, self.device))


class TrialRunner:
    """Does the trials of one search, with one teacher, one pool and one set of metrics for all.

    Args:
        images: that a whole trial sees.
    """

    def __init__(self, plan: Plan, sweep: str, device: str) -> None:
        from tadsr.distillation.targets import open_pool
        from tadsr.training.models import load_frozen

        self.plan = plan
        self.folder = plan.sweep(sweep) / "trials"
        self.cell = plan.experiment.search_cell(sweep)
        self.device = device
        self.images = self.cell.student.training.images
        self.looks = looks_of(plan.experiment.sweeps[sweep].pruning, self.images)
        self.upstream = student_upstream(plan, self.cell)
        verify_run(plan.pool(self.cell), pool_content)
        self.teacher = load_frozen(plan.teacher / "model", device)
        self.pool = open_pool(self.cell.targets, plan.pool(self.cell), self.teacher,
                              plan.dataset("train"), plan.experiment.data, device)  # fmt: skip
        self.validation = Validation(plan, sweep, device)

    def __call__(
        self,
        settings: Mapping[str, Value],
        look: Callable[[int, Scores], bool],
        progress: Callable[[int, int], None],
    ) -> TrialResult:
        """Train a student with these settings, or go on with it, or find it finished.

        Its folder is named after its recipe: a trial that is repeated because its worker died
        goes on where that one was. Scores on the way that are known are shown to `look` again.
        Model and state are removed in the end: a winner is trained anew, with other seeds.
        """
        student, _ = changed(self.cell.student, self.cell.targets, dict(settings))
        cell = self.cell._replace(student=student, pick=None)
        recipe = recipes.student(self.plan.experiment, cell)
        folder = self.folder / recipe.digest[:16]
        with Run.open(folder, recipe.as_dict(), self.upstream, root=self.plan.root,
                      content=trial_content) as run:  # fmt: skip
            try:
                known = self._replay(folder, look)
                if not run.finished:
                    outcome = self._train(cell, folder, known, look, run.timed(progress))
                    run.finish(outcome.status, trial_content(folder), results=outcome.results,
                               message=outcome.message)  # fmt: skip
            except _EndedEarly:
                if not run.finished:
                    run.finish("pruned", trial_content(folder))
                _remove(folder)
                return TrialResult("pruned", run=folder.name)
            _remove(folder)
            return TrialResult(run.card["status"], run.card["message"], folder.name)

    def _replay(self, folder: Path, look: Callable[[int, Scores], bool]) -> dict[str, Scores]:
        path = folder / LOOKS
        known: dict[str, Scores] = read_json(path) if path.is_file() else {}
        for point in sorted(map(int, known)):
            if look(point, known[str(point)]):
                raise _EndedEarly
        return known

    def _train(
        self, cell: Cell, folder: Path, known: dict[str, Scores],
        look: Callable[[int, Scores], bool], progress: Callable[[int, int], None],
    ) -> TrainingOutcome:  # fmt: skip
        from tadsr.distillation.student import Looks, train_student

        def note(point: int, student: TADSRPipeline) -> None:
            known[str(point)] = self.validation(student)
            write_json(folder / LOOKS, known)
            if look(point, known[str(point)]):
                raise _EndedEarly

        open_points = tuple(point for point in self.looks if str(point) not in known)
        return train_student(
            cell.student, cell.seed, self.teacher, self.pool, folder, device=self.device,
            progress=progress, looks=Looks(open_points, note),
        )  # fmt: skip


def means(scores: Scores) -> dict[str, float]:
    """Metric to its mean over the images."""
    return {metric: fmean(values.values()) for metric, values in scores.items()}


def _remove(folder: Path) -> None:
    for name in ("model", "state"):
        shutil.rmtree(folder / name, ignore_errors=True)


def scores_of(folder: Path) -> dict[str, Any]:
    """The last scores of a trial's folder."""
    looks = read_json(folder / LOOKS)
    last: dict[str, Any] = looks[max(looks, key=int)]
    return last
