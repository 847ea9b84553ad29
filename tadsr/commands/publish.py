"""`tadsr publish`: everything of an experiment to MLflow."""

from __future__ import annotations

import argparse
import time
from typing import TYPE_CHECKING

from tadsr.commands.common import add_job_arguments, job_context, load_plan, selected_jobs
from tadsr.commands.report import require_made
from tadsr.errors import ConfigError, TadsrError
from tadsr.plan import Plan

if TYPE_CHECKING:
    from tadsr.publish.client import Outcome
    from tadsr.publish.following import Follower

SECONDS_BETWEEN_LOOKS = 4.0
"""Of a follower; with the time a look takes, nothing is carried over more than 10 s late."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    add_job_arguments(parser, named=False)
    parser.add_argument("--partial", action="store_true",
                        help="publish what there is, without a receipt")  # fmt: skip
    parser.add_argument("--follow", action="store_true",
                        help="carry curves and statuses over while `tadsr run` is under way, and "
                        "publish the whole at its end")  # fmt: skip
    parser.add_argument("--replace", action="store_true",
                        help="put these results in the place of those of another results folder "
                        "that are published under the same name")  # fmt: skip


def run(args: argparse.Namespace) -> int:
    """Bring MLflow up to date, and say how to open it."""
    from tadsr.publish import open_command, publish

    if args.follow and (args.partial or args.replace):
        raise ConfigError("tadsr publish: --follow goes with neither --partial nor --replace")
    plan = load_plan(args)
    if args.partial:
        from tadsr.commands.compare import compare_all

        compare_all(plan)
        _say(publish(plan, partial=True, replace=args.replace))
    elif args.follow:
        follow(plan, args)
    else:
        _publish_whole(plan, args)
    print(f"MLflow: {open_command(plan.root.parent)}")
    return 0


def _publish_whole(plan: Plan, args: argparse.Namespace) -> None:
    from tadsr.publish import publish

    for job in selected_jobs(plan, args, "publish"):
        with job_context(plan, job) as context:
            context.work_begins()
            if plan.receipt("report").is_file():  # of a version, or settings, that are others now?
                require_made(plan, "report", "report")
            outcome = publish(plan, replace=args.replace)
            context.record("publish", "done", outcome.content)
            _say(outcome)


def _say(outcome: Outcome) -> None:
    print(f"publish: {outcome.written} runs written, {outcome.kept} up to date, "
          f"{outcome.removed} outdated ones removed", flush=True)  # fmt: skip


def follow(plan: Plan, args: argparse.Namespace) -> None:
    """Carry over until all is done and published, or Ctrl-C.

    Raises:
        TadsrError: `tadsr run` ended before everything was done.
    """
    from tadsr.publish.following import Follower

    follower = Follower(plan)
    try:
        state = _follow_on(follower, plan, args)
    except KeyboardInterrupt:
        print("publish: follows no longer; `tadsr publish` catches up", flush=True)
        return
    if state == "ended":
        raise TadsrError(
            f"experiment {plan.experiment.name}: `tadsr run` ended before everything was done; "
            "what was trained is published, and `tadsr publish --partial` adds what else there is"
        )


def _follow_on(follower: Follower, plan: Plan, args: argparse.Namespace) -> str:
    from tadsr.publish.connection import UnreachableError

    print("publish: follows, until everything is done or Ctrl-C", flush=True)
    said = ""
    while True:
        state = follower.state()  # before looking: what was written until then is seen
        try:
            for line in follower.carry():
                print(f"publish: {line}", flush=True)
            if state == "ready":
                _publish_whole(plan, args)
            said = _said(said, "")
            if state in ("ready", "ended"):
                return state
        except UnreachableError as error:
            said = _said(said, str(error))
        time.sleep(SECONDS_BETWEEN_LOOKS)


def _said(before: str, now: str) -> str:
    """Tell of a trouble once, and of its end."""
    if now and not before:
        print(f"publish: trying on: {now}", flush=True)
    elif before and not now:
        print("publish: MLflow is back, and up to date", flush=True)
    return now
