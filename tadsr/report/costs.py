"""What models cost, as the report reads it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tadsr.evaluation.cost_records import CostRecord
from tadsr.files import read_json


@dataclass(frozen=True)
class ModelCost:
    """The cost of a row at each size, and which model was measured for it."""

    measured_on: str
    records: tuple[CostRecord, ...]

    def at(self, side: int) -> CostRecord | None:
        """The record of an LR size, if it has numbers."""
        found = (r for r in self.records if r.lr_side == side and not r.missing)
        return next(found, None)


def read_costs(path: Path) -> dict[str, ModelCost]:
    """`comparison/costs.json` by baseline, of the students under `STUDENTS`."""
    stored = read_json(path) if path.is_file() else {}
    return {
        row: ModelCost(cost["measured_on"], tuple(map(CostRecord.from_dict, cost["records"])))
        for row, cost in stored.items()
    }
