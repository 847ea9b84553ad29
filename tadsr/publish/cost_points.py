"""The cost of a model as metrics and tags of its run."""

from __future__ import annotations

from collections.abc import Iterator

from tadsr.publish.records import Point
from tadsr.report.costs import ModelCost


def cost_points(cost: ModelCost | None) -> Iterator[Point]:
    """`cost/parameters`, and `cost/lr<side>/<what>` in base units for each size that ran."""
    if cost is None or not cost.records:
        return
    yield Point("cost/parameters", 0, float(cost.records[0].all_parameters))
    for record in cost.records:
        values = {
            "macs": record.macs,
            "latency_median_seconds": record.median,
            "latency_p95_seconds": record.p95,
            "latency_slowest_seconds": record.slowest,
            "peak_memory_bytes": record.peak_bytes,
        }
        for name, value in values.items():
            if value is not None:
                yield Point(f"cost/lr{record.lr_side}/{name}", 0, float(value))


def cost_tags(cost: ModelCost | None) -> dict[str, str]:
    """Which model was measured, on what, and whether other work went on beside it."""
    if cost is None or not cost.records:
        return {}
    disturbed = [str(record.lr_side) for record in cost.records if record.disturbed]
    return {
        "tadsr.cost_of": cost.measured_on,
        "tadsr.cost_on": "; ".join(dict.fromkeys(record.where for record in cost.records)),
        "tadsr.cost_disturbed_at": ", ".join(disturbed),
    }
