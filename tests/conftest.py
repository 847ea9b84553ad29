"""Fixtures shared by all tests."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

# Before torch is imported: test processes run beside each other.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("GOMP_SPINCOUNT", "5000")
# Jobs of tests do not wait for those of other programs (tests/runs/test_devices.py does).
os.environ["TADSR_SLOTS"] = "off"

REPOSITORY = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def shared() -> Path:
    """Reference images, metric weights and golden tensors kept beside a developer's checkout."""
    folder = REPOSITORY.parent / "shared"
    if not (folder / "golden" / "meta.json").is_file():
        pytest.skip("reference data not found beside the checkout (../shared): see CONTRIBUTING.md")
    return folder
