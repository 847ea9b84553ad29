"""Publishing that is killed with SIGKILL at any moment, then done again."""

from __future__ import annotations

import multiprocessing
import random
import time
from pathlib import Path

import pytest
from made_up_results import NAME
from mlflow.tracking import MlflowClient
from shown import shown

from tadsr.plan import Plan
from tadsr.publish import publish, tracking_uri

KILLS = 8


def killed_after(plan: Plan, seconds: float) -> bool:
    """Publish in a process of its own, killed after a while; whether it came to its end before."""
    process = multiprocessing.get_context("fork").Process(target=publish, args=(plan,))
    process.start()
    process.join(seconds)
    ended = not process.is_alive()
    process.kill()
    process.join()
    return ended and process.exitcode == 0


def test_killed_at_random_moments_and_done_again(
    plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as elsewhere:
        uri = f"sqlite:///{tmp_path}/plain.db"
        elsewhere.setenv("MLFLOW_TRACKING_URI", uri)
        begun = time.monotonic()
        publish(plan)
        whole = time.monotonic() - begun
        wanted = shown(MlflowClient(uri), NAME, tmp_path / "wanted")
    moments = random.Random(7)
    ended = [killed_after(plan, whole * moments.uniform(0.05, 0.6)) for _ in range(KILLS)]
    assert not all(ended)
    publish(plan)
    client = MlflowClient(tracking_uri(plan.root.parent))
    assert shown(client, NAME, tmp_path / "found") == wanted
    again = publish(plan)
    assert (again.written, again.removed) == (0, 0)
