"""Storages of hyper-parameter searches, and the trials that stand in them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from tadsr.commands.checkup.findings import Finding
from tadsr.errors import TadsrError
from tadsr.plan import Plan

if TYPE_CHECKING:
    from tadsr.sweeps.remarks import Remark

SUBJECT = "searches"


def searches(plan: Plan) -> Iterator[Finding]:
    """Findings on every search of the experiment; quick, unless a worker elsewhere is watched."""
    names = list(plan.experiment.sweeps)
    where = plan.experiment.execution.sweep_storage
    if not names and where == "journal":
        return
    from tadsr.sweeps import state

    if where != "journal":
        found = [*_findings(state.database_state(where))]
        yield from found
        names = [] if _broken(found) else names
    looks = []
    for name in names:
        folder = plan.sweep(name)
        found = [*_findings(state.journal_state(folder))] if where == "journal" else []
        yield from found
        if not _broken(found):
            look = state.SearchState(plan.experiment.sweeps[name],
                                     f"{plan.experiment.name}/{name}", where, folder)  # fmt: skip
            yield from _findings(look.trials())
            looks.append(look)
    watching = [look for look in looks if look.watches]
    if watching:
        state.watch()
        for look in watching:
            yield from _findings(look.watched())


def _findings(remarks: Iterable[Remark]) -> Iterator[Finding]:
    """Remarks as findings; an error on the way is one too."""
    try:
        for level, text, remedy in remarks:
            yield Finding(SUBJECT, level, text, remedy)
    except TadsrError as error:
        text, _, remedy = str(error).partition("; ")
        yield Finding(SUBJECT, "problem", text, remedy)


def _broken(findings: Iterable[Finding]) -> bool:
    return any(finding.level == "problem" for finding in findings)
