"""The journal survives cut lines; a study belongs to one search; URLs that lead nowhere."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from optuna.storages import JournalStorage
from optuna.trial import TrialState

from tadsr.errors import ConfigError, CorruptionError, TadsrError
from tadsr.sweeps import SEARCH_JOURNAL, storage
from tadsr.sweeps.storage import Journal, cut_torn_tail, open_storage, patiently
from tests.postgresql import PostgreSQL
from tests.sweeps.made_up import SPACE, WEIGHT, open_study, run_worker, spec


def test_a_journal_cut_anywhere_is_repaired_and_loses_that_entry_alone(tmp_path: Path) -> None:
    run_worker(tmp_path, open_study(tmp_path, spec(budget={"trials": 3})))
    whole = (tmp_path / SEARCH_JOURNAL).read_bytes()
    ends = [i + 1 for i, byte in enumerate(whole) if byte == 10]
    chance = random.Random(0)
    for cut in chance.sample(range(ends[2], len(whole)), 25):
        (tmp_path / SEARCH_JOURNAL).write_bytes(whole[:cut])
        JournalStorage(Journal(tmp_path / SEARCH_JOURNAL))
        kept = (tmp_path / SEARCH_JOURNAL).read_bytes()
        assert kept == whole[: max(end for end in ends if end <= cut)]
        study = open_study(tmp_path, spec(budget={"trials": 3}))
        for trial in study.trials(TrialState.RUNNING):
            study.fail(trial.number)
        run_worker(tmp_path, study)
        assert len(study.finished()) == 3


def test_a_line_cut_by_one_worker_does_not_spoil_what_another_writes(tmp_path: Path) -> None:
    study = open_study(tmp_path, spec())
    with (tmp_path / SEARCH_JOURNAL).open("ab") as stream:
        stream.write(b'{"op_code":8,"worker_id":"x","tri')
    study.add({WEIGHT: 0.5})
    fresh = open_study(tmp_path, spec())
    assert len(fresh.trials()) == len(study.trials()) == 7


def test_a_full_disk_leaves_the_journal_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = Journal(tmp_path / SEARCH_JOURNAL)
    journal.append_logs([{"a": 1}])
    before = journal.path.read_bytes()

    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(storage.os, "fsync", full)
    with pytest.raises(TadsrError, match="the disk is full; free some"):
        journal.append_logs([{"b": 2}])
    assert journal.path.read_bytes() == before
    assert not Path(f"{journal.path}.lock").exists()


def test_a_journal_damaged_in_the_middle_is_named(tmp_path: Path) -> None:
    open_study(tmp_path, spec())
    path = tmp_path / SEARCH_JOURNAL
    path.write_bytes(b"nonsense\n" + path.read_bytes())
    with pytest.raises(CorruptionError, match=f"{path}: damaged"):
        open_storage("journal", tmp_path)


@pytest.mark.parametrize(("text", "kept"), [("", ""), ("a", ""), ("a\n", "a\n"), ("a\nb", "a\n")])
def test_the_tail_without_an_end_is_cut(tmp_path: Path, text: str, kept: str) -> None:
    path = tmp_path / "file"
    for padding in ("", "x" * 10_000 + "\n"):
        path.write_text(padding + text)
        assert cut_torn_tail(path) == len(padding + kept)
        assert path.read_text() == padding + kept


def test_a_study_of_another_search_is_refused(tmp_path: Path) -> None:
    open_study(tmp_path, spec(), key="one")
    with pytest.raises(TadsrError, match=r"another space.*another name"):
        open_study(tmp_path, spec(space={**SPACE, "student.training.ema": SPACE[WEIGHT]}),
                   key="other")  # fmt: skip


def test_a_database_with_another_search_is_refused(tmp_path: Path, database: PostgreSQL) -> None:
    open_study(tmp_path, spec(), database.url, key="one")
    with pytest.raises(TadsrError, match=r"execution.sweep_storage: holds a search 'made up"):
        open_study(tmp_path, spec(), database.url, key="other")


def test_a_url_that_leads_nowhere_is_one_line_without_the_password(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storage, "FIRST_PATIENCE", 0.1)
    with pytest.raises(ConfigError) as caught:
        open_storage("postgresql://me:secret@127.0.0.1:9/nothing", tmp_path)
    message = str(caught.value)
    assert message.startswith("execution.sweep_storage: postgresql+psycopg://me:***@127.0.0.1:9/")
    assert "secret" not in message
    assert "\n" not in message


def test_a_call_is_repeated_until_the_database_is_back() -> None:
    from optuna.exceptions import StorageInternalError

    tries: list[int] = []

    def call() -> int:
        tries.append(1)
        if len(tries) < 3:
            raise StorageInternalError("away")
        return 7

    assert patiently(call, patience=5) == 7
    with pytest.raises(TadsrError, match="away"):
        patiently(lambda: (_ for _ in ()).throw(StorageInternalError("away")), patience=0.3)
