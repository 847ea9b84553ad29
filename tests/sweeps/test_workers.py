"""Workers that start together, die, and come back: the trials are those that were asked for."""

from __future__ import annotations

import signal
import subprocess
import time
from collections import Counter
from pathlib import Path

import pytest
from optuna.trial import TrialState

from tadsr.errors import StorageError
from tadsr.sweeps.leases import LEASE, Reaper, Worker
from tadsr.sweeps.study import ORIGIN, RETRY_OF, SweepStudy
from tests.postgresql import PostgreSQL
from tests.sweeps.made_up import WEIGHT, do_trial, lock, open_study, run_worker, spec, start_worker

FINISHED = (TrialState.COMPLETE, TrialState.PRUNED)


def outputs(workers: list[subprocess.Popen[str]]) -> list[tuple[int, str]]:
    return [(worker.wait(120), worker.stdout.read() if worker.stdout else "") for worker in workers]


def check_eight_at_once(folder: Path, where: str, trials: int = 24) -> None:
    """Eight workers on a storage that is not there yet."""
    folder.mkdir(parents=True, exist_ok=True)
    workers = [start_worker(folder, where, trials) for _ in range(8)]
    for code, output in outputs(workers):
        assert code == 0, output
    study = open_study(folder, spec(budget={"trials": trials}), where)
    found = study.trials()
    assert [trial.state for trial in found] == [TrialState.COMPLETE] * trials
    done = (folder / "done.txt").read_text().splitlines()
    assert len(done) == trials  # none was done twice
    assert len({trial.params[WEIGHT] for trial in found}) == trials


@pytest.mark.slow
def test_eight_workers_on_a_fresh_journal(tmp_path: Path) -> None:
    check_eight_at_once(tmp_path, "journal")


@pytest.mark.slow
def test_eight_workers_on_a_fresh_database(tmp_path: Path, database: PostgreSQL) -> None:
    check_eight_at_once(tmp_path, database.url)


@pytest.mark.parametrize("storage", ["journal", "database"])
@pytest.mark.slow
def test_a_worker_that_is_killed_is_replaced(
    tmp_path: Path, storage: str, request: pytest.FixtureRequest
) -> None:
    where = "journal" if storage == "journal" else request.getfixturevalue("database").url
    victim = start_worker(tmp_path, where, 4, seconds=20)
    wait_for(lambda: (tmp_path / "done.txt").is_file())
    victim.kill()
    victim.wait()
    study = open_study(tmp_path, spec(budget={"trials": 4}), where)
    began = time.monotonic()
    run_worker(tmp_path, study)
    assert time.monotonic() - began < 60  # of a process of this machine it is known at once
    states = Counter(trial.state for trial in study.trials())
    assert states == {TrialState.COMPLETE: 4, TrialState.FAIL: 1}
    [lost] = [t for t in study.trials() if t.state == TrialState.FAIL]
    [again] = [t for t in study.trials() if t.user_attrs.get(RETRY_OF) == lost.number]
    assert again.params == lost.params
    assert again.user_attrs[ORIGIN] == lost.number


@pytest.mark.slow
def test_a_database_that_is_killed_and_comes_back_loses_nothing(
    tmp_path: Path, database: PostgreSQL
) -> None:
    workers = [start_worker(tmp_path, database.url, 12, seconds=1.0) for _ in range(2)]
    done = tmp_path / "done.txt"
    wait_for(lambda: done.is_file() and len(done.read_text().splitlines()) >= 4)
    database.kill()
    time.sleep(2)
    database.start()
    for code, output in outputs(workers):
        assert code == 0, output
    study = open_study(tmp_path, spec(budget={"trials": 12}), database.url)
    assert len(study.finished()) == 12
    assert not study.trials(TrialState.RUNNING, TrialState.WAITING)


def test_what_a_worker_on_another_machine_left_is_done_again_after_a_while(tmp_path: Path) -> None:
    study = open_study(tmp_path, spec(budget={"trials": 2}))
    left = study.claim()
    assert left is not None
    left.set_user_attr(LEASE, ["another-machine--1-abc", 3])
    now = [0.0]
    with Worker(tmp_path, patience=60) as worker:
        reaper = Reaper(study, worker, lambda: lock(tmp_path), clock=lambda: now[0])
        for now[0] in (1.0, 20.0, 40.0):
            reaper.reap()
        assert states(study) == [TrialState.RUNNING, TrialState.WAITING]
        left.set_user_attr(LEASE, ["another-machine--1-abc", 4])  # a sign
        for now[0] in (55.0, 80.0, 105.0):
            reaper.reap()
        assert states(study)[0] == TrialState.RUNNING
        now[0] = 116.0
        reaper.reap()
    assert states(study) == [TrialState.FAIL, TrialState.WAITING, TrialState.WAITING]


def test_silence_while_nobody_could_look_is_no_death(tmp_path: Path) -> None:
    study = open_study(tmp_path, spec(budget={"trials": 1}))
    left = study.claim()
    assert left is not None
    left.set_user_attr(LEASE, ["another-machine--1-abc", 3])
    now = [0.0]
    with Worker(tmp_path, patience=60) as worker:
        reaper = Reaper(study, worker, lambda: lock(tmp_path), clock=lambda: now[0])
        for now[0] in (1.0, 200.0, 240.0):  # as when the database was away for minutes
            reaper.reap()
    assert states(study) == [TrialState.RUNNING]


def test_a_reaper_that_dies_between_its_two_steps_is_made_up_for(tmp_path: Path) -> None:
    study = open_study(tmp_path, spec(budget={"trials": 3}))
    trial = study.claim()
    assert trial is not None
    study.fail(trial.number)  # and no repetition
    run_worker(tmp_path, study)
    assert len(study.finished()) == 3


def test_a_trial_that_was_taken_away_does_not_count_twice(tmp_path: Path) -> None:
    study = open_study(tmp_path, spec(budget={"trials": 2}))
    taken: list[int] = []

    def do(settings: object, look: object, progress: object) -> object:
        if not taken:  # somebody takes this one for dead
            [running] = study.trials(TrialState.RUNNING)
            taken.append(running.number)
            study.fail(running.number)
            with lock(tmp_path):
                study.repeat(crashed=False)
        return do_trial(settings, look, progress)  # type: ignore[arg-type]

    run_worker(tmp_path, study, do)
    assert Counter(states(study)) == {TrialState.COMPLETE: 2, TrialState.FAIL: 1}


def test_an_error_fails_its_trial_alone_and_is_told(tmp_path: Path) -> None:
    study = open_study(tmp_path, spec(budget={"trials": 3}))
    calls: list[int] = []

    def do(settings: object, look: object, progress: object) -> object:
        calls.append(1)
        if len(calls) == 2:
            raise ValueError("out of luck")
        return do_trial(settings, look, progress)  # type: ignore[arg-type]

    with pytest.raises(Exception, match="1 trials failed; trial 1: out of luck"):
        run_worker(tmp_path, study, do)
    assert states(study) == [TrialState.COMPLETE, TrialState.FAIL, TrialState.COMPLETE]
    assert not study.spent()
    with lock(tmp_path):  # the user starts it again
        study.repeat(crashed=True)
    run_worker(tmp_path, study)
    assert study.spent()
    assert len(study.finished()) == 3


def test_a_full_disk_ends_the_worker_and_no_trial_is_to_blame(tmp_path: Path) -> None:
    study = open_study(tmp_path, spec(budget={"trials": 2}))

    def do(settings: object, look: object, progress: object) -> object:
        raise OSError(28, "No space left on device", "state.safetensors")

    with pytest.raises(StorageError, match=r"^state\.safetensors: the disk is full"):
        run_worker(tmp_path, study, do)
    assert study.crashed() == []
    run_worker(tmp_path, study)  # with room again
    assert study.spent()


def test_a_search_that_is_stopped_frees_its_trial(tmp_path: Path) -> None:
    study = open_study(tmp_path, spec(budget={"trials": 2}))

    def do(settings: object, look: object, progress: object) -> object:
        raise SystemExit(128 + signal.SIGTERM)

    with pytest.raises(SystemExit):
        run_worker(tmp_path, study, do)
    assert states(study)[0] == TrialState.FAIL
    run_worker(tmp_path, study)
    assert len(study.finished()) == 2


def test_hours_end_a_search_and_leave_nothing_running(tmp_path: Path) -> None:
    budget = 0.5
    study = open_study(tmp_path, spec(budget={"hours": budget / 3600}))
    run_worker(tmp_path, study, lambda *args: do_trial(*args, seconds=0.15))
    took = [(t.datetime_complete - t.datetime_start).total_seconds() for t in study.finished()]
    assert sum(took[:-1]) < budget <= sum(took)  # the one during which it ran out is the last
    assert set(states(study)) == {TrialState.COMPLETE}


def states(study: SweepStudy) -> list[TrialState]:
    return [trial.state for trial in study.trials()]


def wait_for(there: object, seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not there():  # type: ignore[operator]
        assert time.monotonic() < deadline
        time.sleep(0.05)
