"""`tadsr run`: the whole experiment through Snakemake, with the right flags and locks."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from pathlib import Path

from tadsr.commands.common import add_experiment_arguments
from tadsr.commands.monitor import Monitor, stage_times
from tadsr.commands.weights import DownloadProgress, weights_state
from tadsr.config.loading import freeze
from tadsr.errors import ConfigError, TadsrError
from tadsr.files import (
    Lock,
    read_json,
    remove_leftovers,
    sha256_file,
    write_json,
)
from tadsr.plan import Job, Plan
from tadsr.plan.artefacts import comparison_content
from tadsr.plan.receipts import fresh_jobs, read_receipt
from tadsr.plan.status import failure_of
from tadsr.runs.folder import read_card

LEFTOVER_AGE = 600.0
"""Seconds after which a temporary file is a killed process's."""

REPOSITORY = Path(__file__).resolve().parents[2]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    add_experiment_arguments(parser)
    parser.add_argument("--profile", default="local",
                        help="folder in workflow/profiles, or a path (default: local)")  # fmt: skip
    parser.add_argument("--cores", type=int, default=os.cpu_count() or 1,
                        help="processor cores to use (default: all)")  # fmt: skip
    parser.add_argument("--offline", action="store_true",
                        help="do not try to download metric weights")  # fmt: skip
    parser.epilog = "Any other flag goes to Snakemake, such as --dry-run or --forcerun teacher."


def run(args: argparse.Namespace) -> int:
    """Freeze the experiment, fetch weights, run the DAG, and show what came out."""
    started = time.monotonic()
    plan = Plan.load(args.experiment, args.overrides, args.results)
    if Path(args.experiment).suffix == ".json" and args.overrides:
        raise ConfigError("--set: give overrides with the YAML file, not with experiment.json")
    profile = find_profile(args.profile)
    with Lock(plan.root / ".lock", f"experiment {plan.experiment.name}"):
        remove_leftovers(plan.root, older_than=LEFTOVER_AGE)
        frozen = freeze_experiment(plan)
        if not args.offline:
            fetch_weights(plan)
        plan = Plan.load(frozen)
        for receipt in stale_receipts(plan):
            receipt.unlink()
        before = receipt_times(plan)
        monitor = Monitor(plan, args.cores)
        code = monitor.run(snakemake_command(plan, args, profile))
    return finish(plan, code, time.monotonic() - started, before)


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
        raise ConfigError(f"--profile {name}: no config.yaml in {folder}; known: {known}")
    return folder


def fetch_weights(plan: Plan) -> None:
    """Get the metric weights that are missing; what cannot be had stays a missing column."""
    from tadsr.weights import Present, fetch

    wanted = [name for name, (state, _) in weights_state(plan).items() if state == "missing"]
    if not wanted:
        return
    print(f"metric weights to fetch: {', '.join(wanted)}", flush=True)
    for name, state in fetch(wanted, progress=DownloadProgress()).items():
        if not isinstance(state, Present):
            print(f"  {name} is missing: {state}", flush=True)


def stale_receipts(plan: Plan) -> list[Path]:
    """Receipts that no longer agree with what is on disk, and all that follow from them.

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
    return [plan.receipt(job) for job in stale if plan.receipt(job).is_file()]


def agrees_with_disk(plan: Plan, job: Job) -> bool:
    """Whether a job's receipt says what is there now."""
    if job.stage in ("report", "publish"):
        return True
    cells = read_receipt(plan, job.id)["cells"]
    if job.stage == "weights":
        state = weights_state(plan)
        return bool(cells == {n: {"status": s, "content": d} for n, (s, d) in state.items()})
    return all(cell_content(plan, job.stage, n) == c["content"] for n, c in cells.items())


def cell_content(plan: Plan, stage: str, cell: str) -> str | None:
    """The content digest of a cell as it is on disk now."""
    if stage == "compare":
        return comparison_content(plan.root / "comparison")
    if stage == "evaluate":
        upscaler, _, dataset = cell.partition("@")
        scores = plan.evaluation(upscaler) / f"{dataset}.parquet"
        return sha256_file(scores) if scores.is_file() else ("" if not dataset else None)
    folders = {"data": plan.dataset(cell), "teacher": plan.teacher, "student": plan.student(cell),
               "targets": plan.root / "targets" / cell}  # fmt: skip
    card = read_card(folders[stage])
    return None if card is None else card.get("content")


def snakemake_command(plan: Plan, args: argparse.Namespace, profile: Path) -> list[str]:
    """The one way Snakemake is called."""
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(REPOSITORY / "Snakefile")]
    command += ["--workflow-profile", str(profile), "--config", f"experiment={plan.argument}"]
    if profile.name == "local":
        command += ["--cores", str(args.cores)]
    return command + list(args.snakemake)


def finish(plan: Plan, code: int, seconds: float, before: dict[str, int]) -> int:
    """Say what came out, where it lies, and how long it took."""
    name = plan.experiment.name
    done = fresh_jobs(plan)
    if code != 0:
        for line in failed_jobs(plan):
            print(f"failed: {line}")
        page = plan.receipt("report")
        partial = f"; what there is: {page}" if page.is_file() else ""
        raise TadsrError(
            f"experiment {name}: {len(plan.jobs) - len(done)} of {len(plan.jobs)} jobs are not "
            f"done{partial}; the same command goes on (log: {plan.root}/logs/snakemake.log)"
        )
    if "publish" not in done:  # a dry run, or a part that was asked for
        return 0
    show_results(plan)
    if receipt_times(plan) == before:
        print(f"experiment {name}: nothing to do, everything is up to date ({seconds:.0f} s)")
    else:
        print(stage_times(plan, seconds))
    return 0


def receipt_times(plan: Plan) -> dict[str, int]:
    """When each receipt was written: a job that ran has written its own anew."""
    paths = {job: plan.receipt(job) for job in plan.jobs}
    return {job: path.stat().st_mtime_ns for job, path in paths.items() if path.is_file()}


def failed_jobs(plan: Plan) -> list[str]:
    """One line per failed job: its reason and its log."""
    reasons = {job.id: failure_of(plan, job) for job in plan.jobs.values()}
    return [f"{job}: {reason}" for job, reason in reasons.items() if reason]


def show_results(plan: Plan) -> None:
    """The main tables, and where the page and MLflow are."""
    from tadsr.publish.location import open_command
    from tadsr.report import main_tables_text

    print(main_tables_text(plan.root, plan.experiment))
    print(f"report: {plan.receipt('report').resolve()}")
    print(f"MLflow: {open_command(plan.root.parent)}")
