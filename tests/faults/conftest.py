"""The experiment that the faults befall: the small one with a search, and its undisturbed run."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.workplace import Workplace

SWEEP = """
sweeps:
  weight:
    space:
      student.losses.adversarial.weight: {kind: float, low: 0.002, high: 0.5, log: true}
    objectives: [{metric: psnr}]
    sampler: {kind: random}
    budget: {trials: 2}
"""


def marks(what: str) -> list[pytest.MarkDecorator]:
    """Of a file of these tests, which run where they are asked for."""
    unasked = pytest.mark.skipif("TADSR_TEST_FAULTS" not in os.environ,
                                 reason=f"{what}: make test-faults")  # fmt: skip
    return [pytest.mark.faults, pytest.mark.slow, unasked]


@dataclass
class Whole:
    """The experiment without any fault."""

    place: Workplace
    seconds: float
    """That its run took."""


def make_place(folder: Path) -> Workplace:
    """A workplace with the experiment of these tests; nothing is done yet."""
    place = Workplace(folder)
    place.edit("  metrics: [psnr, ssim, lpips]\n", "  metrics: [psnr, ssim]\n"
               "  cost: {sizes: [16]}\n" + SWEEP)  # fmt: skip
    return place


@pytest.fixture(scope="session")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Whole:
    place = make_place(tmp_path_factory.mktemp("whole"))
    begun = time.monotonic()
    place.run("--cores", "2")
    assert place.leftovers() == []
    return Whole(place, time.monotonic() - begun)
