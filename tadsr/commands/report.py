"""`tadsr report`: tables, figures and the self-contained page."""

from __future__ import annotations

import argparse

from tadsr.commands.common import add_job_arguments, job_context, load_plan, selected_jobs
from tadsr.commands.versions import rendering_versions
from tadsr.plan.artefacts import report_files
from tadsr.plan.receipts import fresh_jobs


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    add_job_arguments(parser, named=False)
    parser.add_argument("--partial", action="store_true",
                        help="compare and report what there is, with the holes marked")  # fmt: skip


def run(args: argparse.Namespace) -> int:
    """Build the report from comparison/, run cards, curves and images."""
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
                page = build_report(plan.experiment, plan.root)
                for name, digest in report_files(page.parent).items():
                    context.record(name, "done", digest)
                context.versions = rendering_versions()
    print(main_tables_text(plan.root, plan.experiment))
    print(f"report: {page}")
    return 0
