"""`tadsr report`: tables, figures and the self-contained page; `tadsr report paper`: for LaTeX."""

from __future__ import annotations

import argparse
from datetime import date
from pathlib import Path

from tadsr.commands.common import add_job_arguments, job_context, load_plan, selected_jobs
from tadsr.commands.run import agrees_with_disk
from tadsr.commands.versions import rendering_versions
from tadsr.errors import ConfigError, TadsrError
from tadsr.plan import Plan
from tadsr.plan.artefacts import report_files
from tadsr.plan.receipts import fresh_jobs, is_made


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("what", nargs="?", default="page", choices=("page", "paper"),
                        help="the page (default), or the paper pack; stands first")  # fmt: skip
    add_job_arguments(parser, named=False)
    parser.add_argument("--partial", action="store_true",
                        help="compare and report what there is, with the holes marked")  # fmt: skip
    parser.add_argument("--out", type=Path, metavar="DIR",
                        help="of paper: where to write it (default: report/paper)")  # fmt: skip
    parser.add_argument("--date", type=day, metavar="YYYY-MM-DD",
                        help="of paper: its date of publication, for the RO-Crate")  # fmt: skip


def day(text: str) -> str:
    """A day in ISO 8601, as a command-line argument."""
    try:
        return date.fromisoformat(text).isoformat()
    except ValueError:
        raise argparse.ArgumentTypeError(f"'{text}' is not a day such as 2026-11-30") from None


def run(args: argparse.Namespace) -> int:
    """Build the report from comparison/, run cards, curves and images."""
    if args.what == "paper":
        return write_paper(args)
    if args.out or args.date:
        raise ConfigError("--out and --date go with `tadsr report paper`")
    from tadsr.report import build_report, main_tables_text

    plan = load_plan(args)
    if args.partial and "report" in fresh_jobs(plan):
        page = plan.output("report")  # whole already: what failed comes after it
    elif args.partial:
        from tadsr.commands.compare import compare_all

        plan.receipt("report").unlink(missing_ok=True)
        compare_all(plan)
        page = build_report(plan.experiment, plan.root, partial=True)
    else:
        for job in selected_jobs(plan, args, "report"):
            with job_context(plan, job) as context:
                context.work_begins()
                require_made(plan, "compare", "comparison")
                if not agrees_with_disk(plan, plan.jobs["compare"]):
                    raise TadsrError(f"{plan.root}: the comparison is not what its receipt says; "
                                     "run `tadsr run`, or first `tadsr compare`")  # fmt: skip
                page = build_report(plan.experiment, plan.root)
                for name, digest in report_files(page.parent).items():
                    context.record(name, "done", digest)
                context.versions = rendering_versions()
    print(main_tables_text(plan.root, plan.experiment))
    print(f"report: {page}")
    return 0


def require_made(plan: Plan, job: str, what: str) -> None:
    """Refuse to go on from what other settings made, or from parts.

    Raises:
        TadsrError: the job has no receipt of now.
    """
    if not is_made(plan, job):
        raise TadsrError(
            f"{plan.root}: the {what} is not finished with the settings of now; run `tadsr run`, "
            "or take what there is with --partial"
        )


def write_paper(args: argparse.Namespace) -> int:
    """Write the paper pack of results that are finished and of the settings of now."""
    plan = load_plan(args)
    if args.expect:
        raise ConfigError("--expect goes with the page, which is a job of the plan")
    if "compare" not in fresh_jobs(plan):
        if not args.partial:
            raise TadsrError(
                f"{plan.root}: the comparison is not finished with the settings of now; run "
                "`tadsr run`, or write what there is with --partial"
            )
        from tadsr.commands.compare import compare_all

        compare_all(plan)
    from tadsr.report.paper import build_paper

    folder = build_paper(plan.experiment, plan.root, args.out, partial=args.partial,
                         date=args.date)  # fmt: skip
    print(f"paper pack: {folder}")
    return 0
