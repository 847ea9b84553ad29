"""Which trials are confirmed: the best one, or the knee and the ends of the Pareto front."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from tadsr.errors import TadsrError

Direction = Literal["maximize", "minimize"]


@dataclass(frozen=True)
class Candidate:
    """A complete trial."""

    number: int
    settings: dict[str, Any]
    values: tuple[float, ...]
    """Of the objectives, in their order."""
    violations: dict[str, float] = field(default_factory=dict)
    """Constraint to by how much it is broken; 0 or less where it is kept."""

    @property
    def feasible(self) -> bool:
        """Whether every constraint is kept."""
        return all(value <= 0 for value in self.violations.values())


def pick(candidates: Sequence[Candidate], directions: Sequence[Direction]) -> dict[str, Candidate]:
    """`best`, or of two objectives `knee`, `end1` (best in the first) and `end2`.

    Of equals the first one. The knee is the point of the front that is farthest from the line
    between its ends, both objectives scaled to the front's range; without a point beyond that
    line, the first end.

    Raises:
        TadsrError: no trial is complete, or none keeps the constraints.
    """
    feasible = [candidate for candidate in candidates if candidate.feasible]
    if not feasible:
        raise TadsrError(_why_none(candidates))
    if len(directions) == 1:
        return {"best": min(feasible, key=lambda c: (_losses(c, directions), c.number))}
    front = pareto_front(feasible, directions)
    bulges = [_bulge(candidate, front, directions) for candidate in front]
    return {"knee": front[bulges.index(max(bulges))], "end1": front[0], "end2": front[-1]}


def pareto_front(
    candidates: Sequence[Candidate], directions: Sequence[Direction]
) -> list[Candidate]:
    """The candidates that no other one beats in both objectives, best in the first one first.

    Of candidates with equal values the first one stands for all.
    """
    ordered = sorted(candidates, key=lambda c: (_losses(c, directions), c.number))
    front: list[Candidate] = []
    for candidate in ordered:
        if not front or _losses(candidate, directions)[1] < _losses(front[-1], directions)[1]:
            front.append(candidate)
    return front


def _losses(candidate: Candidate, directions: Sequence[Direction]) -> tuple[float, ...]:
    """The values, such that lower is better."""
    pairs = zip(candidate.values, directions, strict=True)
    return tuple(-value if direction == "maximize" else value for value, direction in pairs)


def _bulge(
    candidate: Candidate, front: Sequence[Candidate], directions: Sequence[Direction]
) -> float:
    """How far a point of the front lies beyond the line between its ends; 0 at the ends."""
    x, y = _losses(candidate, directions)
    (x1, y1), (x2, y2) = (_losses(end, directions) for end in (front[0], front[-1]))
    if x1 == x2 or y1 == y2:
        return 0.0
    return 1 - (x - x1) / (x2 - x1) - (y - y2) / (y1 - y2)


def _why_none(candidates: Sequence[Candidate]) -> str:
    if not candidates:
        return "no trial was carried through to its end; raise budget.trials, or prune later"
    nearest = min(candidates, key=lambda c: (max(c.violations.values()), c.number))
    broken = {name: by for name, by in nearest.violations.items() if by > 0}
    shown = ", ".join(f"{name} by {by:.4g}" for name, by in broken.items())
    return (
        f"none of {len(candidates)} trials keeps the constraints; trial {nearest.number} comes "
        f"nearest (too far from {shown}): raise the margin or search elsewhere"
    )
