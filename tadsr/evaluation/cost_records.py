"""What a model costs, as plain data, and the file it lies in. Free of torch.

`evaluations/<upscaler>/cost.json` holds `identity` (what was measured, and how), `device`, and the
records. It is apart from the scores and in no digest: the same scores may take any time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median, quantiles
from typing import Any

from tadsr.errors import CorruptionError
from tadsr.files import read_json, write_json

COST = "cost.json"
"""In the folder of an upscaler's evaluations."""
STUDENTS = "students"
"""The row of all students of an experiment, which share a network and a step."""
ENOUGH_FOR_P95 = 20
"""Runs from which on a 95th percentile is given: of fewer, it is next to the slowest one."""
CLEARLY_BUSY = 0.5
"""Processor cores kept busy by others from which on a measurement counts as disturbed."""


@dataclass(frozen=True, kw_only=True)
class CostRecord:
    """The cost of one model at one size, with what it was measured on."""

    lr_side: int
    """Side of the square LR image, in pixels."""
    parameters: Mapping[str, int]
    """By network; empty for what has none."""
    macs: int | None = None
    """Multiply-accumulates of one image, all steps: matrix products, convolutions, attention."""
    uncounted: Sequence[str] = ()
    """Operations from outside of torch that ran and are not in `macs`."""
    seconds: Sequence[float] = ()
    """Of each timed run: LR image on the host to SR image on the host."""
    warmup: int = 0
    """Runs before, not counted."""
    weight_bytes: int = 0
    """Of the networks' parameters and buffers."""
    peak_bytes: int | None = None
    """`weight_bytes`, and the most that tensors took during the run."""
    memory_method: str = ""
    device: str
    """`cpu` or `cuda`."""
    device_name: str
    """Of the GPU, or of the processor."""
    processor: str
    threads: int
    """CPU threads of torch."""
    torch: str
    """Its version."""
    dtype: str
    load_average: float | None = None
    """Of the last minute, when timing began."""
    busy_elsewhere: float | None = None
    """Processor cores that others kept busy while runs were timed."""
    missing: str = ""
    """Why there are no numbers."""

    @property
    def all_parameters(self) -> int:
        """Of all networks."""
        return sum(self.parameters.values())

    @property
    def median(self) -> float | None:
        """Median seconds."""
        return median(self.seconds) if self.seconds else None

    @property
    def slowest(self) -> float | None:
        """Seconds of the slowest run."""
        return max(self.seconds, default=None)

    @property
    def p95(self) -> float | None:
        """95th percentile of the seconds (linear between runs); None for fewer than 20 runs."""
        if len(self.seconds) < ENOUGH_FOR_P95:
            return None
        return quantiles(self.seconds, n=20, method="inclusive")[-1]

    @property
    def disturbed(self) -> bool:
        """Whether other work clearly went on beside the timed runs."""
        if self.busy_elsewhere is not None:
            return self.busy_elsewhere >= CLEARLY_BUSY
        return self.load_average is not None and self.load_average >= self.threads + CLEARLY_BUSY

    @property
    def where(self) -> str:
        """What it was measured on and with, in words."""
        threads = f"{self.threads} thread{'s' if self.threads > 1 else ''}"
        beside = "" if self.device == "cpu" else f" beside {self.processor}"
        return f"{self.device_name}{beside}, {threads}, {self.dtype}, torch {self.torch}"

    def to_dict(self) -> dict[str, Any]:
        """As stored."""
        return asdict(self)

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> CostRecord:
        """The record that `to_dict` gave.

        Raises:
            TypeError: it is of another version of tadsr.
        """
        return cls(**stored)


def write_cost(
    folder: Path,
    identity: Mapping[str, Any],
    device: Mapping[str, Any],
    records: Sequence[CostRecord],
) -> None:
    """Write a model's cost into the folder of its evaluations, in one step."""
    stored = [record.to_dict() for record in records]
    write_json(folder / COST, {"identity": identity, "device": device, "records": stored})


def read_cost(
    folder: Path, identity: Mapping[str, Any], device: Mapping[str, Any] | None = None
) -> list[CostRecord] | None:
    """The stored cost of this identity (and on this device, if one is given); None without one.

    Raises:
        CorruptionError: not a cost file.
    """
    path = folder / COST
    if not path.is_file():
        return None
    stored = read_json(path)
    try:
        if stored["identity"] != identity or device not in (None, stored["device"]):
            return None
        return [CostRecord.from_dict(record) for record in stored["records"]]
    except (KeyError, TypeError) as error:
        raise CorruptionError(
            f"{path}: not a cost file of this version ({error}); delete it and run "
            "`tadsr evaluate` again"
        ) from error
