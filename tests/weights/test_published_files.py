"""Published models: without an official digest, the first download is what later ones must be."""

from __future__ import annotations

import io
import json
import multiprocessing
from pathlib import Path

import pytest
import torch

from tadsr.weights import CATALOG, Missing, Present, fetch, file_digest, status, verify
from tadsr.weights.catalog import canonical_name
from tests.weights.conftest import Server

NAME = "sinsr-v1"


def checkpoint(value: float, *, legacy: bool = False) -> bytes:
    stream = io.BytesIO()
    state = {"state_dict": {"w": torch.full((2000,), value)}}
    torch.save(state, stream, _use_new_zipfile_serialization=not legacy)
    return stream.getvalue()


@pytest.fixture
def mirror(server: Server, home: Path, monkeypatch: pytest.MonkeyPatch) -> Server:
    """The server as a mirror that is never passed over for the real address."""
    monkeypatch.setenv("TADSR_WEIGHTS_MIRROR", server.url)
    monkeypatch.setitem(CATALOG, NAME, _elsewhere(server))
    server.body = checkpoint(1.0)
    return server


def _elsewhere(server: Server) -> object:
    from dataclasses import replace

    return replace(CATALOG[NAME], url=f"{server.url}/absent")


def get() -> Present | Missing:
    return fetch([NAME], force=True)[NAME]


@pytest.mark.parametrize("legacy", [False, True])
def test_the_first_download_is_recorded_and_later_ones_must_equal_it(
    mirror: Server, home: Path, legacy: bool
) -> None:
    # Kept, for torch's older format writes memory addresses: no two files of it are equal.
    mirror.body = original = checkpoint(1.0, legacy=legacy)
    first = get()
    assert isinstance(first, Present), str(first)
    assert first.verified is None, "nobody official has said what it should be"
    assert first.recorded
    assert first.path == home / "tadsr" / "SinSR_v1.pth"
    assert first.path.read_bytes() == mirror.body
    digest = file_digest(NAME)
    first.path.unlink()
    mirror.body = checkpoint(2.0)
    other = get()
    assert isinstance(other, Missing)
    assert "recorded on" in str(other)
    assert not first.path.exists()
    mirror.body = original
    assert isinstance(get(), Present)
    assert file_digest(NAME) == digest


def test_a_changed_file_is_noticed(mirror: Server, home: Path) -> None:
    found = get()
    assert isinstance(found, Present)
    assert verify([NAME]) == {}
    found.path.write_bytes(checkpoint(3.0))
    assert "recorded on" in verify([NAME])[NAME]
    assert isinstance(status(NAME), Missing)


@pytest.mark.parametrize(
    "body", [b"<html>sign in</html>" * 99, checkpoint(1.0)[:-900], b""], ids=["page", "cut", "none"]
)
def test_what_is_no_whole_checkpoint_is_refused(mirror: Server, home: Path, body: bytes) -> None:
    mirror.body = body
    assert isinstance(get(), Missing)
    assert not (home / "tadsr" / "SinSR_v1.pth").exists()
    record = home / "tadsr-weights.json"
    assert not record.exists() or not json.loads(record.read_text()).get("recorded")


def test_a_broken_transfer_goes_on_where_it_stopped(mirror: Server, home: Path) -> None:
    mirror.cut = [3000]
    assert isinstance(get(), Present)
    assert ("/SinSR_v1.pth", "bytes=3000-") in mirror.seen


def _fetch_in_child(results: object) -> None:
    results.put(isinstance(get(), Present))  # type: ignore[attr-defined]


def test_two_processes_at_once_download_once(mirror: Server, home: Path) -> None:
    context = multiprocessing.get_context("fork")
    results = context.Queue()
    children = [context.Process(target=_fetch_in_child, args=(results,)) for _ in range(2)]
    for child in children:
        child.start()
    assert [results.get(timeout=30) for _ in children] == [True, True]
    for child in children:
        child.join()
    assert len([path for path, _ in mirror.seen if path.endswith("SinSR_v1.pth")]) == 1


def test_without_a_known_place_it_says_what_to_do(home: Path) -> None:
    found = fetch(["tad-sr"], force=True)["tad-sr"]
    assert isinstance(found, Missing)
    assert "by hand" in str(found)
    assert "TAD-SR.pth" in str(found)


def test_names_are_found_by_file_name_in_any_case() -> None:
    for name, entry in CATALOG.items():
        assert canonical_name(name) == canonical_name(entry.file_name) == name
    assert canonical_name("SINSR_V1.PTH") == NAME
    assert canonical_name("nothing_Like-it") == "nothing_Like-it"


def test_no_digest_of_a_published_model_is_invented() -> None:
    models = [entry for entry in CATALOG.values() if entry.kind != "metric"]
    assert len(models) == 11
    assert all(entry.sha256 is None and entry.megabytes is None for entry in models)
    assert all(entry.url is None or entry.url.startswith("https://github.com/") for entry in models)
