"""What a user brings: folders of images, and models to compare."""

from __future__ import annotations

from collections.abc import Iterator

from tadsr.commands.checkup.findings import Finding
from tadsr.plan import Plan
from tadsr.plan.receipts import fresh_jobs
from tadsr.plan.sources import absence, data_absences


def inputs(plan: Plan) -> Iterator[Finding]:
    """Whether they are there; what is in them `tadsr data` and `tadsr evaluate` look at."""
    experiment = plan.experiment
    data = [] if "data" in fresh_jobs(plan) else data_absences(experiment)
    models = [absence(experiment, name) for name in experiment.evaluation.models]
    for subject, reasons in (("data", data), ("models", models)):
        lacking = [reason for reason in reasons if reason]
        for reason in lacking:
            text, _, remedy = reason.partition("; ")
            yield Finding(subject, "problem", text, remedy)
        if not lacking:
            yield Finding(subject, "ok", "all that the experiment names is here")
