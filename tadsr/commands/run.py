"""`tadsr run`: the whole experiment through Snakemake, with the right flags and locks."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from pathlib import Path

from tadsr.commands.common import add_experiment_arguments
from tadsr.commands.ending import fail, show_tried_again
from tadsr.commands.executors import executor_flags, executor_variables, read_executor
from tadsr.commands.loss import require_losses
from tadsr.commands.metric import require_metrics
from tadsr.commands.monitor import Monitor, stage_times
from tadsr.commands.weights import DownloadProgress, weights_state
from tadsr.config.loading import freeze
from tadsr.errors import ConfigError, TadsrError, listed
from tadsr.files import read_json, remove_leftovers, sha256_file, write_json
from tadsr.locks import Lock
from tadsr.plan import Job, Plan
from tadsr.plan.artefacts import IMAGES, sweep_content
from tadsr.plan.receipts import fresh_jobs, read_receipt
from tadsr.plan.sources import absence, data_absences
from tadsr.plan.times import Stamps, is_new, settle_times, stamps
from tadsr.runs.folder import read_card

SPECIAL = "{}<>*?["
"""Characters that mean something in Snakemake's file names."""

REPOSITORY = Path(__file__).resolve().parents[2]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    add_experiment_arguments(parser)
    parser.add_argument("--profile", default="local",
                        help="folder in workflow/profiles, or a path (default: local)")  # fmt: skip
    parser.add_argument("--cores", type=positive,
                        help="processor cores to use (default: all of this machine)")  # fmt: skip
    parser.add_argument("-n", "--dry-run", action="store_true",
                        help="list the jobs that would run, change nothing")  # fmt: skip
    parser.add_argument("--offline", action="store_true",
                        help="do not try to download metric weights")  # fmt: skip
    parser.epilog = "Any other flag goes to Snakemake, such as --until teacher."


def positive(text: str) -> int:
    """A whole number from 1 on, as a command-line argument."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"'{text}' is not a whole number from 1 on")
    return int(text)


def run(args: argparse.Namespace) -> int:
    """Freeze the experiment, fetch weights, run the DAG, and show what came out."""
    started = time.monotonic()
    if Path(args.experiment).suffix == ".json" and args.overrides:
        raise ConfigError("--set: give overrides with the YAML file, not with experiment.json")
    plan = Plan.load(args.experiment, args.overrides, args.results)
    profile = find_profile(args.profile)
    executor = read_executor(profile)
    if args.dry_run:
        return show_stale(plan)
    require_data(plan)
    make_root(plan)
    with Lock(plan.root / ".lock", f"experiment {plan.experiment.name}"):
        remove_leftovers(plan.root, shared=True)
        frozen = freeze_experiment(plan)
        if not args.offline:
            fetch_weights(plan)
        require_models(plan)
        require_losses(plan.experiment)
        require_metrics(plan.experiment)
        plan = Plan.load(frozen)
        clear_notes(plan)
        for job in stale_jobs(plan):
            plan.receipt(job).unlink(missing_ok=True)
            plan.output(job).unlink(missing_ok=True)
        settle_times(plan)
        before = stamps(plan)
        monitor = Monitor(plan)
        command = snakemake_command(plan, args, profile, executor)
        code = monitor.run(command, executor_variables(executor))
    if code != 0:
        fail(plan, code, before)
    return finish(plan, time.monotonic() - started, before)


def make_root(plan: Plan) -> None:
    """Make the results folder; one that cannot be made is a mistake on the command line."""
    if special := "".join(mark for mark in SPECIAL if mark in str(plan.root)):
        raise ConfigError(
            f"--results: {plan.root} holds {special}, which Snakemake takes for patterns; choose "
            "another folder"
        )
    try:
        plan.root.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(
            f"--results: {plan.root} cannot be made ({error.strerror}); choose another folder"
        ) from error


def clear_notes(plan: Plan) -> None:
    """Drop what an earlier run noted of progress and failures; who is at work notes it anew."""
    for pattern in ("**/*.failed", "**/*.progress.json", "slurm/**/*.log"):
        for path in (plan.root / "logs").glob(pattern):
            path.unlink(missing_ok=True)


def show_stale(plan: Plan) -> int:
    """Print the jobs that a run would do."""
    jobs = stale_jobs(plan)
    for job in jobs:
        print(f"would run: {job}")
    print(f"experiment {plan.experiment.name}: {len(jobs)} of {len(plan.jobs)} jobs to do")
    return 0


def freeze_experiment(plan: Plan) -> Path:
    """Write experiment.json if it would change; the DAG reads that, whatever is edited later."""
    path = plan.root / "experiment.json"
    frozen = freeze(plan.experiment)
    text = json.dumps(frozen)  # the order of test sets and variants is that of the tables
    if not path.is_file() or json.dumps(read_json(path)) != text:
        write_json(path, frozen, sort_keys=False)
    return path


def find_profile(name: str) -> Path:
    """A profile's folder by name or path."""
    folder = Path(name) if os.sep in name else REPOSITORY / "workflow" / "profiles" / name
    if not (folder / "config.yaml").is_file():
        known = sorted(p.parent.name for p in REPOSITORY.glob("workflow/profiles/*/config.yaml"))
        raise ConfigError(
            f"--profile {name}: no config.yaml in {folder}; name one of: {', '.join(known)}"
        )
    return folder


def fetch_weights(plan: Plan) -> None:
    """Get the metric weights that are missing; what cannot be had stays a missing column."""
    from tadsr.weights import Missing, Present, fetch, status

    # Not by `weights_state`: it digests every file, and here only presence matters.
    names = (*plan.jobs["weights"].cells, *plan.model_weights())
    wanted = [name for name in names if isinstance(status(name), Missing)]
    if not wanted:
        return
    print(f"weights to fetch: {', '.join(wanted)}", flush=True)
    for name, state in fetch(wanted, progress=DownloadProgress()).items():
        if not isinstance(state, Present):
            print(f"  {name} is missing: {state}", flush=True)


def require_data(plan: Plan) -> None:
    """Refuse to start without the images: finished results would make room for a report of holes.

    Merged results need none: their data sets are made.

    Raises:
        TadsrError: naming all data sets whose folder is missing or empty, and models.
    """
    lacking = data_absences(plan.experiment)
    if lacking and "data" in stale_jobs(plan):
        lacking += lacking_models(plan)
        raise TadsrError(f"experiment {plan.experiment.name}: {listed(lacking)}")


def require_models(plan: Plan) -> None:
    """Refuse to start without the models that the experiment names: published and the user's own.

    Raises:
        TadsrError: naming all that are missing, and how to get them.
    """
    if lacking := lacking_models(plan):
        raise TadsrError(
            f"experiment {plan.experiment.name}: {'; '.join(lacking)}; or name other models"
        )


def lacking_models(plan: Plan) -> list[str]:
    """Why models that the experiment names cannot be used, and how to get them; one line each."""
    from tadsr.weights import Missing, status

    found = [status(name) for name in plan.model_weights()]
    absent = [absence(plan.experiment, name) for name in plan.experiment.evaluation.models]
    return [str(state) for state in found if isinstance(state, Missing)] + [
        reason for reason in absent if reason
    ]


def stale_jobs(plan: Plan) -> list[str]:
    """Jobs whose receipts are missing or do not agree with what is on disk, and what follows.

    Such as those of a run folder that is gone, of weights that came or went, or of a job that was
    killed while it was done again. What follows must go too: Snakemake does not make a missing
    file again while the files after it are there.
    """
    fresh = fresh_jobs(plan)
    stale: set[str] = set()
    for job in plan.jobs.values():
        agrees = job.id in fresh and agrees_with_disk(plan, job)
        if stale.intersection(job.inputs) or not agrees:
            stale.add(job.id)
    return [job for job in plan.jobs if job in stale]


def agrees_with_disk(plan: Plan, job: Job) -> bool:
    """Whether a job's receipt says what is there now."""
    if job.stage == "publish":
        return True
    cells = read_receipt(plan, job.id)["cells"]
    if job.stage == "report" and not cells:
        return False  # of a version that noted no files
    if job.stage == "weights":
        state = weights_state(plan)
        return bool(cells == {n: {"status": s, "content": d} for n, (s, d) in state.items()})
    if job.stage == "report":
        # Its images, links to those of evaluations, may be a million: `verify` reads them.
        images = {name for name in cells if name.startswith(f"{IMAGES}/")}
        if not all((plan.output(job.id).parent / name).is_file() for name in images):
            return False
        cells = {name: cell for name, cell in cells.items() if name not in images}
    return all(cell_content(plan, job.stage, n) == c["content"] for n, c in cells.items())


def cell_content(plan: Plan, stage: str, cell: str) -> str | None:
    """The content digest of a cell as it is on disk now."""
    if stage in ("compare", "report"):
        file = plan.root / {"compare": "comparison", "report": "report"}[stage] / cell
        return sha256_file(file) if file.is_file() else None
    if stage == "evaluate":
        upscaler, _, dataset = cell.partition("@")
        scores = plan.evaluation(upscaler) / f"{dataset}.parquet"
        return sha256_file(scores) if scores.is_file() else ("" if not dataset else None)
    if stage == "sweep" and cell.endswith("@results"):
        return sweep_content(plan.sweep(cell.partition("@")[0]))
    folders = {"data": plan.dataset(cell), "teacher": plan.teacher, "student": plan.student(cell),
               "targets": plan.root / "targets" / cell, "sweep": plan.sweep(cell)}  # fmt: skip
    card = read_card(folders[stage])
    return None if card is None else card.get("content")


def snakemake_command(
    plan: Plan, args: argparse.Namespace, profile: Path, executor: str
) -> list[str]:
    """The one way Snakemake is called."""
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(REPOSITORY / "Snakefile")]
    command += ["--workflow-profile", str(profile), "--config", f"experiment={plan.argument}"]
    if args.cores or executor == "local":
        command += ["--cores", str(args.cores or os.cpu_count() or 1)]
    return command + executor_flags(plan, executor) + list(args.snakemake)


def finish(plan: Plan, seconds: float, before: Stamps) -> int:
    """Say what came out, where it lies, and how long it took."""
    name = plan.experiment.name
    done = fresh_jobs(plan)
    show_tried_again(plan)
    if "publish" not in done:  # a part that was asked for
        print(f"experiment {name}: {len(done)} of {len(plan.jobs)} jobs are done")
        return 0
    show_results(plan)
    if not any(is_new(plan.receipt(job), before) for job in plan.jobs):
        print(f"experiment {name}: nothing to do, everything is up to date ({seconds:.0f} s)")
    else:
        print(stage_times(plan, seconds, before))
    return 0


def show_results(plan: Plan) -> None:
    """The main tables, and where the page and MLflow are."""
    from tadsr.publish.location import open_command
    from tadsr.report import main_tables_text

    print(main_tables_text(plan.root, plan.experiment))
    print(f"report: {plan.output('report').resolve()}")
    print(f"MLflow: {open_command(plan.root.parent)}")
