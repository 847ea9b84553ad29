"""`tadsr status`: where each cell of the grid stands."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict

from tadsr.commands.common import add_experiment_arguments, load_plan
from tadsr.plan.status import grid_status

MARKS = {"done": "✓", "running": "▶", "failed": "✗", "diverged": "≠", "interrupted": "…"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    add_experiment_arguments(parser)
    parser.add_argument("--json", action="store_true", help="for programs")


def run(args: argparse.Namespace) -> int:
    """Print one line per cell; exit code 1 if something failed."""
    plan = load_plan(args)
    rows = grid_status(plan)
    if args.json:
        print(json.dumps([asdict(row) for row in rows], indent=1))
    else:
        width = max(len(row.name) for row in rows)
        print(f"experiment {plan.experiment.name} in {plan.root}")
        for row in rows:
            mark = MARKS.get(row.state, "·")
            print(f"{mark} {row.stage:9} {row.name:{width}}  {row.state:11} {row.detail}".rstrip())
    return int(any(row.state == "failed" for row in rows))
