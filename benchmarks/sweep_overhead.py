"""What a trial of a search costs beside its training: set-up, and looks at validation images.

    python benchmarks/sweep_overhead.py ablations/demo.yaml [--trials 3]

The experiment names a sweep; its data, teacher and targets must be there (`tadsr run ... --until
targets`). Trials with the same settings as a search's own are done in one process by the worker of
`tadsr sweep`, on a journal in a temporary folder, and by a bare `train_student`. Times are CPU
seconds of the process, so that other work on the machine does not count.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import tempfile
import time
from pathlib import Path
from typing import Any

from tadsr.config.deltas import changed
from tadsr.config.sweep import PrunerSpec
from tadsr.distillation.student import train_student
from tadsr.locks import Lock
from tadsr.plan import Plan
from tadsr.sweeps.leases import Worker
from tadsr.sweeps.study import SweepStudy
from tadsr.sweeps.trial import TrialRunner
from tadsr.sweeps.worker import Search, work


def main() -> None:
    as_written = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=as_written)
    parser.add_argument("experiment")
    parser.add_argument("--results", default="results")
    parser.add_argument("--trials", type=int, default=3)
    args = parser.parse_args()
    plan = Plan.load(args.experiment, results=args.results)
    [name, *_] = plan.experiment.sweeps
    plan.experiment.sweeps[name] = plan.experiment.sweeps[name].model_copy(
        update={"budget": plan.experiment.sweeps[name].budget.model_copy(
            update={"trials": args.trials}), "constraints": ()}
    )  # fmt: skip
    runner = TrialRunner(plan, name, "cpu")
    with tempfile.TemporaryDirectory() as place:
        searched, looks, settings = search(plan, name, runner, Path(place))
        bare = sum(train(runner, chosen, Path(place) / f"bare-{index}")
                   for index, chosen in enumerate(settings))  # fmt: skip
    rest = searched - looks - bare
    count = len(settings)
    print(f"{count} trials of {runner.images} images, CPU seconds each:")
    print(
        f"all {searched / count:.2f}, bare training {bare / count:.2f}, looks {looks / count:.2f}"
    )
    print(f"set-up {rest / count:.2f}, {rest / searched:.1%} of the trial (wanted: under 10 %)")


def search(
    plan: Plan, name: str, runner: TrialRunner, folder: Path
) -> tuple[float, float, list[dict[str, Any]]]:
    """CPU seconds of the search, and of its looks; the settings that were tried to the end."""
    runner.folder = folder / "trials"
    spent = [0.0]
    validation = runner.validation

    def timed(*arguments: Any) -> Any:
        begun = time.process_time()
        scores = validation(*arguments)
        spent[0] += time.process_time() - begun
        return scores

    runner.validation = timed  # type: ignore[assignment]
    spec = plan.experiment.sweeps[name].model_copy(update={"pruner": PrunerSpec(kind="none")})
    begun = time.process_time()
    with contextlib.redirect_stdout(io.StringIO()):
        study = SweepStudy.open(spec, "benchmark", "key", where="journal", folder=folder,
                                images=runner.images)  # fmt: skip
        study.fill()
        with Worker(folder) as worker:
            work(Search(study, worker, runner, runner.images, {},
                        lambda: Lock(folder / "lock", "a search", wait=True)))  # fmt: skip
    total = time.process_time() - begun
    return total, spent[0], [dict(trial.params) for trial in study.finished()]


def train(runner: TrialRunner, settings: dict[str, Any], folder: Path) -> float:
    """CPU seconds of the same student, trained by itself."""
    student, _ = changed(runner.cell.student, runner.cell.targets, settings)
    begun = time.process_time()
    train_student(student, runner.cell.seed, runner.teacher, runner.pool, folder, device="cpu",
                  progress=lambda images, total: None)  # fmt: skip
    return time.process_time() - begun


if __name__ == "__main__":
    main()
