"""`tadsr publish`: everything of an experiment to MLflow."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from tadsr.commands.common import add_job_arguments, job_context, load_plan, selected_jobs

if TYPE_CHECKING:
    from tadsr.publish.client import Outcome


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    add_job_arguments(parser, named=False)
    parser.add_argument("--partial", action="store_true",
                        help="publish what there is, without a receipt")  # fmt: skip


def run(args: argparse.Namespace) -> int:
    """Bring MLflow up to date, and say how to open it."""
    from tadsr.publish import open_command, publish

    plan = load_plan(args)
    if args.partial:
        from tadsr.commands.compare import compare_all

        compare_all(plan)
        _say(publish(plan, partial=True))
    else:
        for job in selected_jobs(plan, args, "publish"):
            with job_context(plan, job) as context:
                context.work_begins()
                outcome = publish(plan)
                context.record("publish", "done", outcome.content)
                _say(outcome)
    print(f"MLflow: {open_command(plan.root.parent)}")
    return 0


def _say(outcome: Outcome) -> None:
    print(f"publish: {outcome.written} runs written, {outcome.kept} up to date, "
          f"{outcome.removed} outdated ones removed", flush=True)  # fmt: skip
