"""Fetching against a local web server that misbehaves in every way that was thought of."""

from __future__ import annotations

import hashlib
import json
import socket
import subprocess
import sys
from typing import Any

import pytest

from tadsr.errors import ConfigError, TadsrError
from tadsr.weights import CATALOG, Missing, Present, WeightFile, fetch, status, weights_home
from tests.weights.conftest import BODY, SHA


def add(monkeypatch: pytest.MonkeyPatch, url: str, **changes: Any) -> WeightFile:
    fields: dict[str, Any] = {
        "name": "thing",
        "url": url,
        "path": "hub/things/thing.bin",
        "sha256": SHA,
        "content_checked": True,
        "megabytes": 1,
        "licence": "none",
        "needed_by": ("x",),
    }
    entry = WeightFile(**{**fields, **changes})
    monkeypatch.setitem(CATALOG, entry.name, entry)
    return entry


def test_fetches_checks_and_does_not_ask_again(server, home, monkeypatch) -> None:
    entry = add(monkeypatch, server.url + "/moved/thing.bin", sha256=SHA[:8])
    before = status("thing")
    assert isinstance(before, Missing)
    assert str(before).endswith("; tadsr weights fetch")
    amounts: list[tuple[str, int, int | None]] = []
    result = fetch(["thing"], progress=lambda *report: amounts.append(report))
    assert result == {"thing": Present("thing", home / entry.path, verified=True)}
    assert (home / entry.path).read_bytes() == BODY
    assert amounts[-1] == ("thing", len(BODY), len(BODY))
    asked = len(server.seen)
    assert fetch(["thing"]) == result
    assert len(server.seen) == asked


def test_a_broken_transfer_is_continued_where_it_stopped(server, home, monkeypatch) -> None:
    entry = add(monkeypatch, server.url + "/thing.bin")
    server.cut = [300_000, 200_000]
    assert isinstance(fetch(["thing"])["thing"], Present)
    assert (home / entry.path).read_bytes() == BODY
    assert [asked for _, asked in server.seen] == [None, "bytes=300000-", "bytes=500000-"]
    assert not list((home / "hub" / "things").glob("*.part"))


def test_a_later_call_continues_too(server, home, monkeypatch) -> None:
    entry = add(monkeypatch, server.url + "/thing.bin")
    part = home / "hub" / "things" / "thing.bin.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(BODY[:1000])
    assert isinstance(fetch(["thing"])["thing"], Present)
    assert server.seen == [("/thing.bin", "bytes=1000-")]
    assert (home / entry.path).read_bytes() == BODY


@pytest.mark.parametrize("ranges", [True, False])
def test_a_part_longer_than_the_file_and_a_server_without_ranges(
    server, home, monkeypatch, ranges
) -> None:
    add(monkeypatch, server.url + "/thing.bin")
    part = home / "hub" / "things" / "thing.bin.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(b"x" * (len(BODY) + 5))
    server.ranges = ranges
    result = fetch(["thing"])["thing"]
    assert isinstance(result, Present)
    assert result.path.read_bytes() == BODY


def test_wrong_content_never_reaches_its_place(server, home, monkeypatch) -> None:
    add(monkeypatch, server.url + "/thing.bin")
    server.body = b"something else"
    result = fetch(["thing"])["thing"]
    assert isinstance(result, Missing)
    assert "sha256" in result.reason
    assert not list((home / "hub" / "things").iterdir())


def test_an_error_page_is_not_taken_for_weights_of_unknown_sha256(
    server, home, monkeypatch
) -> None:
    add(monkeypatch, server.url + "/thing.bin", sha256=None, starts_with=b"\x00\x01")
    server.body = b"<html>log in</html>"
    assert isinstance(fetch(["thing"])["thing"], Missing)
    server.body = BODY
    found = fetch(["thing"], force=True)["thing"]
    assert isinstance(found, Present)
    assert found.verified is None


def test_a_failure_is_remembered_until_forced(server, home, monkeypatch) -> None:
    add(monkeypatch, server.url + "/absent.bin")
    first = fetch(["thing"])["thing"]
    assert isinstance(first, Missing)
    assert "HTTP 404" in first.reason
    assert fetch(["thing"])["thing"] == first
    assert len(server.seen) == 1
    fetch(["thing"], force=True)
    assert len(server.seen) == 2
    fetch(["thing"], retry_after=0)
    assert len(server.seen) == 3


def test_a_stall_ends_and_what_arrived_is_kept(server, home, monkeypatch) -> None:
    add(monkeypatch, server.url + "/thing.bin")
    server.cut, server.stall = [5000] + [0] * 9, True
    result = fetch(["thing"], stall_timeout=0.2)["thing"]
    assert isinstance(result, Missing)
    assert "stopped sending" in result.reason
    assert (home / "hub" / "things" / "thing.bin.part").read_bytes() == BODY[:5000]


def test_a_host_that_refuses_is_asked_once(home, monkeypatch) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    attempts: list[Any] = []
    connect = socket.socket.connect
    monkeypatch.setattr(
        socket.socket, "connect", lambda self, at: (attempts.append(at), connect(self, at))[1]
    )
    for name in ("thing", "other"):
        add(monkeypatch, f"http://127.0.0.1:{port}/{name}.bin", name=name, path=f"{name}.bin")
    results = fetch(["thing", "other"])
    assert all("no connection" in result.reason for result in results.values())  # type: ignore[union-attr]
    assert len(attempts) == 1


def test_a_mirror_is_asked_first(server, home, monkeypatch) -> None:
    add(monkeypatch, server.url + "/official/thing.bin")
    monkeypatch.setenv("TADSR_WEIGHTS_MIRROR", server.url + "/mirror/")
    assert isinstance(fetch(["thing"])["thing"], Present)
    assert [path for path, _ in server.seen] == ["/mirror/thing.bin"]


def test_a_mirror_without_the_file_falls_back(server, home, monkeypatch) -> None:
    add(monkeypatch, server.url + "/official/thing.bin")
    monkeypatch.setenv("TADSR_WEIGHTS_MIRROR", server.url + "/absent")
    assert isinstance(fetch(["thing"])["thing"], Present)
    assert [path for path, _ in server.seen] == ["/absent/thing.bin", "/official/thing.bin"]


def test_a_file_placed_by_hand(home, monkeypatch) -> None:
    entry = add(monkeypatch, "https://nowhere.invalid/thing.bin", content_checked=False)
    path = home / entry.path
    path.parent.mkdir(parents=True)
    path.write_bytes(b"other bytes")
    found = status("thing")
    assert found == Present("thing", path, verified=False)
    known = json.loads((home / "tadsr-weights.json").read_text())["files"][entry.path]
    assert known["verified"] is False
    assert known["sha256"] == hashlib.sha256(b"other bytes").hexdigest()
    path.write_bytes(BODY)
    assert status("thing") == Present("thing", path, verified=True)


def test_a_damaged_file_of_known_content_is_missing_and_replaced(server, home, monkeypatch) -> None:
    entry = add(monkeypatch, server.url + "/thing.bin")
    path = home / entry.path
    path.parent.mkdir(parents=True)
    path.write_bytes(BODY[:-1])
    found = status("thing")
    assert isinstance(found, Missing)
    assert "damaged" in found.reason
    assert fetch(["thing"])["thing"] == Present("thing", path, verified=True)


def test_a_damaged_memory_is_forgotten(home, monkeypatch) -> None:
    entry = add(monkeypatch, "https://nowhere.invalid/thing.bin")
    (home / "hub" / "things").mkdir(parents=True)
    (home / entry.path).write_bytes(BODY)
    (home / "tadsr-weights.json").write_text("{")
    assert status("thing") == Present("thing", home / entry.path, verified=True)


def test_lpips_layers_come_from_the_installed_package(home) -> None:
    found = status("lpips-alex")
    assert isinstance(found, Present)
    assert found.verified is True
    assert hashlib.sha256(found.path.read_bytes()).hexdigest().startswith("df73285e")


def test_unknown_names_and_unusable_folders(tmp_path, home, monkeypatch) -> None:
    with pytest.raises(ConfigError, match="did you mean 'alexnet'"):
        status("alexnets")
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("TADSR_WEIGHTS", str(tmp_path / "file"))
    add(monkeypatch, "https://nowhere.invalid/thing.bin")
    with pytest.raises(TadsrError, match="TADSR_WEIGHTS"):
        fetch(["thing"])


def test_where_the_folder_is(tmp_path, monkeypatch) -> None:
    monkeypatch.delenv("TADSR_WEIGHTS", raising=False)
    monkeypatch.delenv("TORCH_HOME", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert weights_home() == tmp_path / "torch"
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "a"))
    assert weights_home() == tmp_path / "a"
    monkeypatch.setenv("TADSR_WEIGHTS", str(tmp_path / "b"))
    assert weights_home() == tmp_path / "b"


def test_weights_do_not_import_torch() -> None:
    code = (
        "import sys, tadsr.weights as w; w.status('lpips-alex'); sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_catalogue_is_consistent_with_the_metrics() -> None:
    from tadsr.config.metrics import METRICS
    from tadsr.weights import METRIC_WEIGHTS

    needed = {name: spec.id for spec in METRICS.values() for name in spec.weights}
    assert set(needed) == set(METRIC_WEIGHTS)
    for name in METRIC_WEIGHTS:
        entry = CATALOG[name]
        assert needed[name] in entry.needed_by
        assert entry.url is not None
        assert entry.url.startswith("https://")
        assert entry.url.rsplit("/", 1)[-1] == entry.file_name
        assert entry.sha256 or entry.starts_with
