"""Everything of an experiment, as MLflow shows it: a view that can be rebuilt at any time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tadsr.publish.location import open_command, tracking_uri

if TYPE_CHECKING:
    from tadsr.plan import Plan
    from tadsr.publish.client import Outcome

__all__ = ["open_command", "publish", "tracking_uri"]


def publish(plan: Plan, *, partial: bool = False, replace: bool = False) -> Outcome:
    """Bring MLflow up to date with the files of `plan.root`; publishing twice changes nothing.

    Raises `TadsrError` when a cell has no result yet, unless `partial`; when MLflow shows another
    folder's results under this name, unless `replace`; and when MLflow cannot be reached: the
    files stay as they are, and publishing later catches up.
    """
    from tadsr.publish.client import publish_records
    from tadsr.publish.mapping import leaderboard, map_experiment
    from tadsr.report.content import gather

    content = gather(plan.experiment, plan.root, partial=partial)
    parent, children = map_experiment(content)
    board = leaderboard(content, children)
    name = plan.experiment.name
    return publish_records(name, parent, children, board, plan.root, replace=replace)
