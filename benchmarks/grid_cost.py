"""What a grid costs beside its parts: one teacher, its targets, and every student's training.

    tadsr run ablations/demo.yaml
    python benchmarks/grid_cost.py ablations/demo.yaml [--results results]

Read from the finished grid itself: the seconds of its jobs (processes from start to end: imports,
data, validation, saving) against the seconds that went into the steps of the same trainings and
into the teacher's answers. Ideal is 1. Jobs that were resumed or found their work done are left
out of both sides.
"""

from __future__ import annotations

import argparse

from tadsr.files import read_json
from tadsr.plan import Plan
from tadsr.plan.jobs import Job
from tadsr.runs.folder import read_card


def main() -> None:
    """Print both sides for each stage, and their ratio."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("experiment")
    parser.add_argument("--results", default="results")
    args = parser.parse_args()
    plan = Plan.load(args.experiment, [], args.results)
    whole = parts = 0.0
    for stage in ("teacher", "targets", "student"):
        jobs = [(job_seconds(plan, job), work_seconds(plan, job)) for job in plan.stage(stage)]
        used = [(job, work) for job, work in jobs if job and work and job > work]
        spent, worked = (sum(column) for column in zip(*used, strict=True)) if used else (0.0, 0.0)
        whole, parts = whole + spent, parts + worked
        print(f"{stage:8} {len(used):3} of {len(jobs)} jobs: {spent:8.1f} s, of them "
              f"{worked:8.1f} s of steps")  # fmt: skip
    if not parts:
        raise SystemExit(f"{plan.root}: no finished trainings here; tadsr run {args.experiment}")
    print(f"the grid takes {whole / parts:.3f} times its trainings and targets")


def job_seconds(plan: Plan, job: Job) -> float:
    """Of the job's process, from start to end; 0 where it is not known."""
    path = plan.log(job.id).with_suffix(".time.json")
    return float(read_json(path)["seconds"]) if path.is_file() else 0.0


def work_seconds(plan: Plan, job: Job) -> float:
    """Of steps, or of the teacher's answers; 0 if a cell was taken up from an earlier process."""
    folders = {"teacher": "teacher", "targets": "targets/{}", "student": "students/{}"}
    total = 0.0
    for cell in job.cells:
        card = read_card(plan.root / folders[job.stage].format(cell)) or {}
        results = card.get("results", {})
        if job.stage == "targets":
            seconds = results.get("seconds", 0.0)
        else:
            seconds = results.get("images", 0.0) / results.get("images_per_second", float("inf"))
        if not seconds:
            return 0.0
        total += seconds
    return total


if __name__ == "__main__":
    main()
