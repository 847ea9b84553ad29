"""`tadsr verify`: every digest from the experiment file to the figures, computed again."""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from dataclasses import asdict

from tadsr.commands.common import add_experiment_arguments, load_plan
from tadsr.commands.verify_audit import FAILURES, Audit, Finding, Progress
from tadsr.locks import is_locked

STAGES = ("experiment", "data", "weights", "teacher", "targets", "sweep", "student", "evaluate",
          "compare", "report", "publish", "receipts")  # fmt: skip
"""In the order of the output."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    add_experiment_arguments(parser)
    parser.add_argument("--json", action="store_true", help="for programs")
    parser.add_argument("--fast", action="store_true",
                        help="digests only: do not compare and render again")  # fmt: skip


def run(args: argparse.Namespace) -> int:
    """Print what was checked and what does not match; exit code 1 if anything does not."""
    audit = verify(args)
    if args.json:
        print(json.dumps(as_dict(audit), indent=1))
    else:
        show(audit)
    return int(not audit.ok)


def verify(args: argparse.Namespace) -> Audit:
    """All checks, in the order of the data's way."""
    from tadsr.commands import verify_receipts as receipts
    from tadsr.commands import verify_rendering as rendering
    from tadsr.commands import verify_runs as runs
    from tadsr.commands.verify_scores import check_scores
    from tadsr.commands.verify_sweeps import check_sweeps

    plan = load_plan(args)
    audit = receipts.check_experiment(plan)
    audit.fast = args.fast
    audit.progress = progress_on_terminal()
    if is_locked(plan.root / ".lock"):
        audit.add("unchecked", "experiment", ".", "a run is under way: what it changes meanwhile "
                  "may be told wrongly")  # fmt: skip
    audit.check_links()
    receipts.read_receipts(audit)
    for check in (runs.check_data, runs.check_teacher, runs.check_targets, check_sweeps,
                  runs.check_students,
                  check_scores, rendering.check_comparison, rendering.check_report,
                  rendering.check_paper,
                  receipts.check_receipts):  # fmt: skip
        check(audit)
    for stage, number in audit.unsealed.items():
        kind = "receipts" if stage == "receipts" else f"run cards of stage {stage}"
        audit.add("unchecked", stage, ".", f"{number} {kind} are of a version that gave them no "
                  "checksum")  # fmt: skip
    end_progress()
    return audit


def progress_on_terminal() -> Progress:
    """Says how far a stage is on one line that the next one takes the place of; mute elsewhere."""

    def show(stage: str, done: int, total: int) -> None:
        if sys.stderr.isatty() and (done % 10 == 0 or done == total):
            print(f"\r\x1b[Kverify {stage}: {done}/{total}", end="", file=sys.stderr, flush=True)

    return show


def end_progress() -> None:
    """Clear the line of the progress."""
    if sys.stderr.isatty():
        print("\r\x1b[K", end="", file=sys.stderr, flush=True)


def show(audit: Audit) -> None:
    """One line per stage, and one per finding."""
    print(f"experiment {audit.plan.experiment.name} in {audit.plan.root}")
    for stage in STAGES:
        found = [finding for finding in audit.findings if finding.stage == stage]
        if stage not in audit.counts and not found:
            continue
        failed = sum(finding.word in FAILURES for finding in found)
        print(f"{'✗' if failed else '✓'} {stage:10} {_counted(audit, stage)}{_told(found)}")
    for finding in audit.findings:
        print(finding.text)
    print("all digests match" if audit.ok else _verdict(audit))


def _counted(audit: Audit, stage: str) -> str:
    counts = audit.counts.get(stage, Counter())
    return ", ".join(f"{n:,} {unit if n == 1 else _plural(unit)}" for unit, n in counts.items())


def _plural(unit: str) -> str:
    """`file of the pack` to `files of the pack`."""
    noun, of, rest = unit.partition(" of ")
    return f"{noun}s{of}{rest}"


def _told(found: list[Finding]) -> str:
    words = Counter(finding.word for finding in found)
    return "".join(f"  {number} {word}" for word, number in words.items())


def _verdict(audit: Audit) -> str:
    words = [finding.word for finding in audit.findings]
    return ", ".join(f"{words.count(word)} {word}" for word in FAILURES if word in words)


def as_dict(audit: Audit) -> dict[str, object]:
    """The outcome for programs."""
    return {
        "experiment": audit.plan.experiment.name,
        "root": str(audit.plan.root),
        "ok": audit.ok,
        "checked": {stage: dict(audit.counts[stage]) for stage in STAGES if stage in audit.counts},
        "findings": [asdict(finding) for finding in audit.findings],
    }
