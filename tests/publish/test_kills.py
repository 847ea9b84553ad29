"""Publishing that is killed at any moment, then done again."""

from __future__ import annotations

import multiprocessing
import random
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from made_up_results import NAME
from mlflow.tracking import MlflowClient
from shown import shown
from sqlalchemy import event
from sqlalchemy.engine import Engine

from tadsr.plan import Plan
from tadsr.publish import publish, tracking_uri

KILLS = 8


@contextmanager
def before_each_statement(call: Callable[[], None]) -> Iterator[None]:
    """Call a function before each statement that a database gets from this process."""

    def listener(*_: object) -> None:
        call()

    event.listen(Engine, "before_cursor_execute", listener)
    try:
        yield
    finally:
        event.remove(Engine, "before_cursor_execute", listener)


def publish_and_die(plan: Plan, statement: int, seconds: float) -> None:
    """Publish; the kernel ends this process a moment after its n-th statement to the database.

    Counted, because how long the first publishing of a process takes says little about the next.
    """
    left = statement

    def count() -> None:
        nonlocal left
        left -= 1
        if left == 0:
            signal.setitimer(signal.ITIMER_REAL, seconds)

    signal.signal(signal.SIGALRM, signal.SIG_DFL)  # ends a process as SIGKILL does: no clean-up
    with before_each_statement(count):
        publish(plan)


def was_killed(plan: Plan, statement: int, seconds: float) -> bool:
    """Publish in a process of its own; whether it was killed before its end."""
    process = multiprocessing.get_context("fork").Process(
        target=publish_and_die, args=(plan, statement, seconds)
    )
    process.start()
    process.join()
    assert process.exitcode in (0, -signal.SIGALRM)
    return process.exitcode != 0


def test_killed_at_random_moments_and_done_again(
    plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    statements = 0

    def count() -> None:
        nonlocal statements
        statements += 1

    with monkeypatch.context() as elsewhere, before_each_statement(count):
        uri = f"sqlite:///{tmp_path}/plain.db"
        elsewhere.setenv("MLFLOW_TRACKING_URI", uri)
        publish(plan)
    wanted = shown(MlflowClient(uri), NAME, tmp_path / "wanted")
    chance = random.Random(7)
    killed = [
        was_killed(plan, int(statements * chance.uniform(0.02, 0.15)), chance.uniform(1e-4, 0.02))
        for _ in range(KILLS)
    ]
    assert sum(killed) >= KILLS // 2  # what is left to do shrinks from one to the next
    publish(plan)
    client = MlflowClient(tracking_uri(plan.root.parent))
    assert shown(client, NAME, tmp_path / "found") == wanted
    again = publish(plan)
    assert (again.written, again.removed) == (0, 0)
