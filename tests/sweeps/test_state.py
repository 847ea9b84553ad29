"""Storages of searches that are broken in every way: each remark, and that its remedy helps."""

from __future__ import annotations

import os
import shlex
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from optuna.trial import TrialState

from tadsr.errors import TadsrError
from tadsr.sweeps import SEARCH_JOURNAL, state
from tadsr.sweeps.database_state import database_state
from tadsr.sweeps.journal_state import journal_state
from tadsr.sweeps.leases import LEASE, Lease, Worker
from tadsr.sweeps.remarks import Remark
from tadsr.sweeps.state import SearchState
from tadsr.sweeps.storage import JournalLock, journal_lock
from tadsr.sweeps.study import SweepStudy
from tests.postgresql import PostgreSQL
from tests.sweeps.made_up import open_study, run_worker, spec

NAME = "made up/search"


def look(folder: Path, where: str = "journal") -> SearchState:
    return SearchState(spec(), NAME, where, folder)


def levels(remarks: Iterator[Remark]) -> list[str]:
    return [remark.level for remark in remarks]


def begun(folder: Path, where: str = "journal") -> SweepStudy:
    """A search of three trials, one of them running."""
    study = open_study(folder, spec(budget={"trials": 3}), where)
    assert study.claim()
    return study


def test_a_whole_journal_is_ok_and_stays_as_it_is(tmp_path: Path) -> None:
    assert levels(journal_state(tmp_path / "nothing")) == ["ok"]
    assert not (tmp_path / "nothing").exists()
    run_worker(tmp_path, open_study(tmp_path, spec(budget={"trials": 3})))
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    assert levels(journal_state(tmp_path)) == []
    (said,) = look(tmp_path).trials()
    assert said == Remark("ok", f"search '{NAME}': 3 complete")
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before


def test_a_search_that_has_not_begun_is_said(tmp_path: Path) -> None:
    (said,) = look(tmp_path).trials()
    assert "has not begun" in said.text
    begun(tmp_path)
    (said,) = SearchState(spec(), "made up/other", "journal", tmp_path).trials()
    assert "has not begun" in said.text


def test_a_cut_line_is_a_note_and_the_next_worker_mends_it(tmp_path: Path) -> None:
    study = begun(tmp_path)
    with (tmp_path / SEARCH_JOURNAL).open("ab") as stream:
        stream.write(b'{"op_code":8,"wor')
    (said,) = journal_state(tmp_path)
    assert said.level == "note"
    assert "17 bytes" in said.text
    assert next(look(tmp_path).trials()).level == "ok"  # and can be read meanwhile
    study.add({})
    assert levels(journal_state(tmp_path)) == []


def test_a_damaged_line_is_a_problem_whose_remedy_helps(tmp_path: Path) -> None:
    folder = tmp_path / "a folder; with $(names)"
    begun(folder)
    lines = (folder / SEARCH_JOURNAL).read_bytes().splitlines(keepends=True)
    (folder / SEARCH_JOURNAL).write_bytes(b"".join([*lines[:2], b"nonsense\n", *lines[2:]]))
    (said,) = journal_state(folder)
    assert said.level == "problem"
    assert "line 3" in said.text
    subprocess.run(["sh", "-c", said.remedy.partition(", then")[0]], check=True)
    assert levels(journal_state(folder)) == ["ok"]
    assert len(begun(folder).trials()) == 3


def test_a_journal_that_cannot_be_written_is_a_problem_whose_remedy_helps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun(tmp_path)
    (tmp_path / SEARCH_JOURNAL).chmod(0o444)
    # As for all users but root, who may write anywhere, and may run this test.
    monkeypatch.setattr(os, "access", lambda path, mode: bool(Path(path).stat().st_mode & 0o200))
    (said,) = journal_state(tmp_path)
    assert (said.level, "cannot be written" in said.text) == ("problem", True)
    subprocess.run(shlex.split(said.remedy), check=True)
    assert levels(journal_state(tmp_path)) == []


def test_a_journals_lock_says_whose_it_is_and_whether_that_is_alive(tmp_path: Path) -> None:
    begun(tmp_path)
    lock = JournalLock(str(tmp_path / SEARCH_JOURNAL))
    lock.acquire()
    (said,) = journal_state(tmp_path)
    assert said.level == "ok"
    assert f"process {os.getpid()} on" in said.text
    os.utime(journal_lock(tmp_path / SEARCH_JOURNAL), (time.time() - 60,) * 2)
    (said,) = journal_state(tmp_path)
    assert said.level == "warning"
    assert "for 60 s" in said.text
    dead = subprocess.Popen(["true"])
    dead.wait()
    journal_lock(tmp_path / SEARCH_JOURNAL).write_text(
        f"process {dead.pid} on {os.uname().nodename}"
    )
    (said,) = journal_state(tmp_path)
    assert (said.level, "which is dead" in said.text) == ("note", True)
    lock.release()
    assert levels(journal_state(tmp_path)) == []


@pytest.fixture(params=["journal", "database"])
def where(request: pytest.FixtureRequest) -> str:
    return "journal" if request.param == "journal" else request.getfixturevalue("database").url


def test_trials_of_living_and_dead_workers_of_this_machine_are_told_apart(
    tmp_path: Path, where: str
) -> None:
    study = open_study(tmp_path, spec(budget={"trials": 3}), where)
    with Worker(tmp_path) as worker:
        trial = study.claim()
        assert trial
        with Lease(trial, worker):
            total, alive = look(tmp_path, where).trials()
    assert total.text.endswith("1 running, 2 waiting")
    assert (alive.level, f"process {os.getpid()}" in alive.text) == ("ok", True)
    _, dead = look(tmp_path, where).trials()
    assert (dead.level, "is dead" in dead.text) == ("note", True)
    study.fail(trial.number)
    _, lost = look(tmp_path, where).trials()
    assert (lost.level, "lost its worker" in lost.text) == ("note", True)
    run_worker(tmp_path, _repeated(study))  # what the remedy says
    (total,) = look(tmp_path, where).trials()
    assert total.text.endswith("3 complete, 1 fail")


def _repeated(study: SweepStudy) -> SweepStudy:
    study.repeat(crashed=True)
    return study


def test_workers_elsewhere_are_watched_for_a_sign(
    tmp_path: Path, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(state, "WATCH", 0.0)
    study = open_study(tmp_path, spec(budget={"trials": 4}), where)
    claimed = [study.claim() for _ in range(3)]
    living, silent, ending = [trial for trial in claimed if trial]
    for trial in (living, silent, ending):
        trial.set_user_attr(LEASE, ["another--7-ab", 3])
    looked = look(tmp_path, where)
    assert len(list(looked.trials())) == 1
    assert looked.watches
    living.set_user_attr(LEASE, ["another--7-ab", 4])
    study.study.tell(ending.number, state=TrialState.FAIL)
    state.watch()
    found = {remark.text.split()[1]: remark for remark in looked.watched()}
    assert "another machine" in found[str(living.number)].text
    assert found[str(silent.number)].level == "warning"
    assert "gave no sign" in found[str(silent.number)].text
    assert "ended meanwhile" in found[str(ending.number)].text


def test_a_trial_that_ended_in_an_error_is_a_warning_with_it(tmp_path: Path, where: str) -> None:
    study = open_study(tmp_path, spec(budget={"trials": 3}), where)
    trial = study.claim()
    assert trial
    study.fail(trial.number, "the disk is full")
    _, said = look(tmp_path, where).trials()
    assert (said.level, "the disk is full" in said.text) == ("warning", True)


def test_a_database_without_tables_is_ok_and_stays_without(database: PostgreSQL) -> None:
    (said,) = database_state(database.url)
    assert (said.level, "no tables yet" in said.text) == ("ok", True)
    with psycopg.connect(database.url) as connection:
        assert not connection.execute(
            "SELECT 1 FROM pg_tables WHERE tablename = 'trials'"
        ).fetchall()


def test_tables_of_another_optuna_are_a_problem_whose_remedy_helps(
    tmp_path: Path, database: PostgreSQL
) -> None:
    begun(tmp_path, database.url)
    (said,) = database_state(database.url)
    assert (said.level, "of this Optuna" in said.text) == ("ok", True)
    with psycopg.connect(database.url, autocommit=True) as connection:
        connection.execute("UPDATE alembic_version SET version_num = 'v9.9.9.z'")
        (said,) = database_state(database.url)
        assert (said.level, "a newer one" in said.text) == ("problem", True)
        connection.execute("UPDATE alembic_version SET version_num = 'v3.0.0.d'")
        connection.execute("DROP INDEX IF EXISTS trials_study_id_key")
        (said,) = database_state(database.url)
        assert said.level == "problem"
        assert "v3.0.0.d" in said.text
        command = shlex.split(said.remedy.partition("then: ")[2])
    program = Path(sys.executable).with_name(command[0])
    subprocess.run([program, *command[1:]], check=True, capture_output=True)
    assert levels(database_state(database.url)) == ["ok"]


def test_who_may_not_write_is_told_and_the_remedy_helps(
    tmp_path: Path, database: PostgreSQL
) -> None:
    begun(tmp_path, database.url)
    guest = database.url.replace("postgres@", "guest@")
    with psycopg.connect(database.url, autocommit=True) as connection:
        connection.execute("DROP ROLE IF EXISTS guest")
        (said,) = database_state(guest)
        assert said.level == "problem"
        assert "createuser" in said.remedy
        connection.execute("CREATE ROLE guest LOGIN")
    (said,) = database_state(guest)
    assert (said.level, "USAGE, SELECT, INSERT, UPDATE, DELETE" in said.text) == (
        "problem",
        True,
    )
    subprocess.run(shlex.split(said.remedy), check=True, stdout=subprocess.DEVNULL)
    assert levels(database_state(guest)) == ["ok"]
    with psycopg.connect(database.url, autocommit=True) as connection:
        connection.execute("REVOKE UPDATE ON trials FROM guest")
    (said,) = database_state(guest)
    assert said.text.endswith("lacks rights in schema public: UPDATE")
    subprocess.run(shlex.split(said.remedy), check=True, stdout=subprocess.DEVNULL)
    study = open_study(tmp_path, spec(budget={"trials": 3}), guest)
    assert study.claim()
    with psycopg.connect(database.url, autocommit=True) as connection:
        connection.execute("DROP OWNED BY guest")
        connection.execute("DROP ROLE guest")


def test_who_may_not_make_tables_is_told_and_the_remedy_helps(database: PostgreSQL) -> None:
    guest = database.url.replace("postgres@", "guest@")
    with psycopg.connect(database.url, autocommit=True) as connection:
        connection.execute("DROP ROLE IF EXISTS guest")
        connection.execute("CREATE ROLE guest LOGIN")
        connection.execute("REVOKE ALL ON SCHEMA public FROM public")
    (said,) = database_state(guest)
    assert (said.level, "lacks rights in schema public: USAGE, CREATE" in said.text) == (
        "problem",
        True,
    )
    subprocess.run(shlex.split(said.remedy), check=True, stdout=subprocess.DEVNULL)
    assert levels(database_state(guest)) == ["ok"]
    with psycopg.connect(database.url, autocommit=True) as connection:
        connection.execute("DROP OWNED BY guest")
        connection.execute("DROP ROLE guest")


def test_a_database_that_can_only_be_read_is_a_problem(database: PostgreSQL) -> None:
    (said,) = database_state(f"{database.url}?options=-c%20default_transaction_read_only%3Don")
    assert said.level == "ok"  # our own options win over those of the URL
    with psycopg.connect(database.url, autocommit=True) as connection:
        connection.execute("ALTER ROLE postgres SET default_transaction_read_only = on")
        try:
            (said,) = database_state(database.url)
        finally:
            connection.execute("SET default_transaction_read_only = off")
            connection.execute("ALTER ROLE postgres RESET default_transaction_read_only")
    assert (said.level, "can only be read" in said.text) == ("problem", True)


def test_a_database_that_is_stopped_or_not_there_is_a_problem(database: PostgreSQL) -> None:
    (said,) = database_state(f"{database.url}-other")
    assert (said.level, "createdb" in said.remedy) == ("problem", True)
    database.kill()
    try:
        (said,) = database_state(database.url)
    finally:
        database.start()
    assert said.level == "problem"
    assert "refused" in said.text
    assert f"pg_isready -h 127.0.0.1 -p {database.port}" in said.remedy
    assert levels(database_state(database.url)) == ["ok"]


def test_a_database_that_goes_while_it_is_looked_at_is_an_error_within_seconds(
    tmp_path: Path, database: PostgreSQL, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(state, "SOON", 0.5)
    begun(tmp_path, database.url)
    looked = look(tmp_path, database.url)
    assert len(list(looked.trials())) == 1
    database.kill()
    try:
        with pytest.raises(TadsrError, match="refused"):
            list(looked.watched())
    finally:
        database.start()


def test_a_server_that_never_answers_does_not_hang_us() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        began = time.monotonic()
        (said,) = database_state(f"postgresql://me@127.0.0.1:{silent.getsockname()[1]}/x")
    assert said.level == "problem"
    assert "timeout" in said.text
    assert time.monotonic() - began < 60
