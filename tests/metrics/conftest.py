"""Real metric weights, put where torchvision and pyiqa look for them."""

from __future__ import annotations

import contextlib
import io
import runpy
import sys
from pathlib import Path

import pytest

from tadsr.weights import weights_home

OWN_HOME = weights_home()
"""The weights folder of whoever runs the tests, as it is before tests set another."""


@pytest.fixture(scope="session")
def installed_weights(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A weights folder with AlexNet, the LPIPS layers and NIQE."""
    home = tmp_path_factory.mktemp("weights")
    script = shared / "weights" / "install_metric_weights.py"
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(io.StringIO()):
        patch.setattr(sys, "argv", [str(script), str(home)])
        runpy.run_path(str(script), run_name="__main__")
    return home


@pytest.fixture(autouse=True)
def restored_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Loading a metric sets TORCH_HOME; undo that after each test."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))


@pytest.fixture
def weights(installed_weights: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The same folder, in use."""
    monkeypatch.setenv("TADSR_WEIGHTS", str(installed_weights))
    return installed_weights


@pytest.fixture
def no_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty weights folder, in use."""
    monkeypatch.setenv("TADSR_WEIGHTS", str(tmp_path / "empty"))
    return tmp_path / "empty"
