"""`tadsr doctor`: what would go wrong, and what to do about it, before anything is started."""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from tadsr.commands.checkup import Finding
from tadsr.commands.common import add_experiment_arguments, load_plan
from tadsr.commands.run import REPOSITORY
from tadsr.plan import Plan

MARKS = {"ok": "ok", "note": "note", "warning": "WARNING", "problem": "PROBLEM"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    add_experiment_arguments(parser, optional=True)
    parser.add_argument("--profile", help="the profile that will be used, such as slurm")
    parser.add_argument("--json", action="store_true", help="for programs")


def run(args: argparse.Namespace) -> int:
    """Print one line per finding; exit code 1 if there is a problem."""
    plan = load_plan(args) if args.experiment else None
    found = []
    for finding in examine(plan, Path(args.results), args.profile):
        found.append(finding)
        if not args.json:
            print(as_line(finding), flush=True)
    counts = {level: sum(f.level == level for f in found) for level in MARKS}
    if args.json:
        print(json.dumps([asdict(finding) for finding in found], indent=1))
    else:
        print(f"{counts['problem']} problems, {counts['warning']} warnings")
    return 1 if counts["problem"] else 0


def as_line(finding: Finding) -> str:
    """For the terminal."""
    remedy = f" -> {finding.remedy}" if finding.remedy else ""
    return f"{MARKS[finding.level]:8} {finding.subject}: {finding.text}{remedy}"


def examine(plan: Plan | None, results: Path, profile: str | None) -> Iterator[Finding]:
    """All findings, quick ones first. Changes nothing."""
    from tadsr.commands.checkup import inputs, leftovers, machine, searches, services, software
    from tadsr.weights import weights_home

    yield from software.software(REPOSITORY)
    yield from machine.devices()
    yield from machine.threads()
    yield from machine.memory()
    places = {"results": plan.root if plan else results, "weights": weights_home(),
              "temporary": Path(tempfile.gettempdir())}  # fmt: skip
    yield from machine.folders(places)
    if plan is not None:
        yield from inputs.inputs(plan)
    yield from services.weights(plan)
    yield from services.tracking(results)
    executor, mistakes = services.profiles(profile) if profile else ("", [])
    yield from mistakes
    yield from services.clusters(executor)
    if plan is not None:
        yield from leftovers.leftovers(plan)
        yield from searches.searches(plan)
