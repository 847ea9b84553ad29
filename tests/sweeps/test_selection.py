"""Which trials are picked, against a definition by exhaustion."""

from __future__ import annotations

import random

import pytest

from tadsr.errors import TadsrError
from tadsr.sweeps.selection import Candidate, pareto_front, pick

BOTH = ("maximize", "minimize")


def candidates(*values: tuple[float, ...]) -> list[Candidate]:
    return [Candidate(number, {}, value) for number, value in enumerate(values)]


def test_the_best_keeps_the_constraints_and_of_equals_is_the_first() -> None:
    found = [
        Candidate(0, {}, (30.0,), {"c": 0.1}),
        Candidate(1, {}, (28.0,), {"c": 0.0}),
        Candidate(2, {}, (28.0,), {"c": -1.0}),
    ]
    assert pick(found, ("maximize",))["best"].number == 1
    assert pick(candidates((3.0,), (1.0,), (2.0,)), ("minimize",))["best"].number == 1


def test_the_front_is_what_nothing_dominates() -> None:
    chance = random.Random(1)
    for _ in range(50):
        points = [(chance.randint(0, 6), chance.randint(0, 6)) for _ in range(12)]
        front = pareto_front(candidates(*points), BOTH)
        expected = {
            p for p in points
            if not any(q != p and q[0] >= p[0] and q[1] <= p[1] for q in points)
        }  # fmt: skip
        assert {c.values for c in front} == expected
        assert len(front) == len(expected)
        assert [c.values[0] for c in front] == sorted((p[0] for p in expected), reverse=True)


def test_knee_and_ends_of_a_front() -> None:
    found = pick(candidates((10, 9), (9, 2), (5, 1.5), (1, 1), (0, 20)), BOTH)
    assert {which: c.values for which, c in found.items()} == {
        "end1": (10, 9), "knee": (9, 2), "end2": (1, 1)}  # fmt: skip


@pytest.mark.parametrize("values", [[(1, 1)], [(1, 1), (2, 2)], [(2, 2), (1, 1), (1.5, 1.5)]])
def test_a_front_without_a_bulge_has_its_first_end_for_a_knee(
    values: list[tuple[float, float]],
) -> None:
    found = pick(candidates(*values), BOTH)
    assert found["knee"] == found["end1"]


def test_nothing_to_pick_says_why() -> None:
    with pytest.raises(TadsrError, match="no trial was carried through"):
        pick([], ("maximize",))
    broken = [Candidate(0, {}, (1.0,), {"a": 2.0}), Candidate(1, {}, (1.0,), {"a": 0.5, "b": -1})]
    with pytest.raises(TadsrError, match=r"none of 2 trials .* trial 1 .* a by 0\.5\b"):
        pick(broken, ("maximize",))
