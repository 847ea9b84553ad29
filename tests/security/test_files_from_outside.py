"""Checkpoints, pictures and results of others that mean harm: refused in one line, or harmless."""

from __future__ import annotations

import csv
import io
import shutil
import struct
import zipfile
import zlib
from pathlib import Path

import pandas as pd
import pytest
import torch

from tadsr.cli import main
from tadsr.commands.verify_audit import Audit
from tadsr.data.images import LIMIT, read_rgb, read_size
from tadsr.data.manifest import MANIFEST, read_manifest
from tadsr.errors import CorruptionError, DataError, TadsrError
from tadsr.evaluation.scores import read_scores, write_scores
from tadsr.files import read_json, sha256_file, with_checksum, write_json
from tadsr.models.checkpoints import read_checkpoint
from tadsr.plan import Plan
from tadsr.report.table import Cell, Column, Table
from tests.commands.whole import make_whole


def test_a_view_that_repeats_one_number_a_billion_times_is_refused(tmp_path: Path) -> None:
    torch.save({"weight": torch.zeros(1).expand(100_000, 10_000)}, tmp_path / "x.pth")
    with pytest.raises(TadsrError, match="unpack to 4,000,000,000"):
        read_checkpoint(tmp_path / "x.pth")
    tied = torch.rand(1000, 1000)
    torch.save({"one": tied, "other": tied}, tmp_path / "tied.pth")
    assert set(read_checkpoint(tmp_path / "tied.pth").state) == {"one", "other"}


def test_a_zip_that_unpacks_to_much_more_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    torch.save({"weight": torch.zeros(4_000_000)}, tmp_path / "plain.pth")
    with (
        zipfile.ZipFile(tmp_path / "plain.pth") as plain,
        zipfile.ZipFile(tmp_path / "bomb.pth", "w", zipfile.ZIP_DEFLATED) as bomb,
    ):
        for entry in plain.infolist():
            bomb.writestr(entry.filename, plain.read(entry.filename))
    assert read_checkpoint(tmp_path / "plain.pth").state["weight"].numel() == 4_000_000
    with pytest.raises(TadsrError, match="that unpack to"):
        read_checkpoint(tmp_path / "bomb.pth")


@pytest.mark.parametrize("header", [2**63, 2**40, 10**8 - 1])
def test_a_safetensors_header_of_any_size_is_one_line(tmp_path: Path, header: int) -> None:
    (tmp_path / "x.safetensors").write_bytes(struct.pack("<Q", header) + b"{}")
    with pytest.raises(TadsrError, match="damaged"):
        read_checkpoint(tmp_path / "x.safetensors")


def png(width: int, height: int, *more: bytes) -> bytes:
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    data = chunk(b"IDAT", zlib.compress(bytes(1000)))
    return b"".join([b"\x89PNG\r\n\x1a\n", head, *more, data, chunk(b"IEND", b"")])


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def gif(width: int, height: int) -> bytes:
    """Of 10x10 pixels, with a frame of another size."""
    screen = b"GIF89a" + struct.pack("<HHBBB", 10, 10, 0x80, 0, 0) + bytes(6)
    return screen + b"," + struct.pack("<HHHHB", 0, 0, width, height, 0) + b"\x02\x02\x4c\x01\0;"


def tiff(size: int, tile: int) -> bytes:
    """One grey tile, which may be larger than the picture."""
    data = zlib.compress(bytes(1000))
    tags = {256: size, 257: size, 258: 8, 259: 8, 262: 1, 277: 1, 322: tile, 323: tile,
            324: 14 + 12 * 10, 325: len(data)}  # fmt: skip
    short = (258, 259, 262, 277)
    entries = [struct.pack("<HHI", tag, 3 if tag in short else 4, 1)
               + struct.pack("<HH" if tag in short else "<I", *((value, 0) if tag in short
                                                               else (value,)))
               for tag, value in tags.items()]  # fmt: skip
    head = b"II*\0" + struct.pack("<IH", 8, len(tags))
    return head + b"".join(entries) + struct.pack("<I", 0) + data


BOMBS = {
    "huge.png": png(100_000, 100_000),
    "text.png": png(4, 4, chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(50_000_000)))),
    "profile.png": png(4, 4, chunk(b"iCCP", b"a\0\0" + zlib.compress(bytes(50_000_000)))),
    "frame.gif": gif(65535, 65535),
    "huge.tif": tiff(100_000, 256),
    "tile.tif": tiff(16, 30_000),
    "page.bmp": b"BM" + struct.pack("<IHHIIiiHHIIiiII", 54, 0, 0, 54, 40, 60_000, 60_000, 1, 24,
                                    0, 0, 0, 0, 0, 0),
    "map.ppm": b"P6 90000 90000 255\n" + bytes(100),
}  # fmt: skip


@pytest.mark.parametrize("name", BOMBS)
def test_a_picture_that_would_fill_the_memory_is_refused_before_it_is_decoded(
    tmp_path: Path, name: str
) -> None:
    (tmp_path / name).write_bytes(BOMBS[name])
    assert len(BOMBS[name]) < 100_000
    for read in (read_rgb, read_size):
        with pytest.raises(DataError) as caught:
            read(tmp_path / name)
        assert "\n" not in str(caught.value)


def test_the_limit_of_pixels_can_be_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "x.tif").write_bytes(tiff(16, 64))
    monkeypatch.setenv(LIMIT, "1000")
    with pytest.raises(DataError, match=f"64x64 is more than 1,000 pixels.*{LIMIT}"):
        read_rgb(tmp_path / "x.tif")


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 100_000])
def test_json_without_end_is_one_line(
    tmp_path: Path, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "experiment.json").write_text(text)
    for command in ("plan", "verify", "report", "publish"):
        assert main([command, str(tmp_path / "experiment.json")]) == 2
        assert capsys.readouterr().err.count("\n") == 1


def test_what_commands_a_terminal_is_not_printed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["plan", str(tmp_path / "\x1b]0;title\x07\x1b[2J.yaml")]) == 2
    said = capsys.readouterr().err
    assert "\x1b" not in said and "\x07" not in said


@pytest.mark.parametrize("name", ["../../x", "/etc/x", "a/../../x", "a\0b", ".."])
def test_scores_and_manifests_name_no_image_out_of_their_folder(tmp_path: Path, name: str) -> None:
    frame = pd.DataFrame({"image": [name], "metric": ["psnr"], "value": [1.0]})
    write_scores(tmp_path / "x.parquet", frame, {})
    with pytest.raises(CorruptionError, match="other folders"):
        read_scores(tmp_path / "x.parquet")
    write_scores(tmp_path / "x.parquet", frame.assign(image="a"), {"pixels": {name: "0"}})
    with pytest.raises(CorruptionError, match="other folders"):
        read_scores(tmp_path / "x.parquet")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_whole(tmp_path_factory.mktemp("whole"), "seeds=[0]", closing=False).root


@pytest.fixture
def others(made: Path, tmp_path: Path) -> Path:
    """Results that somebody else handed us."""
    return Path(shutil.copytree(made, tmp_path / "others" / "mini"))


@pytest.mark.parametrize("column", ["image", "hr", "lr"])
@pytest.mark.parametrize("name", ["../../../secret", "/etc/secret"])
def test_a_manifest_that_leads_out_of_its_folder_is_refused(
    others: Path, column: str, name: str
) -> None:
    folder = others / "data" / "photos-bicubic"
    frame = read_manifest(folder)
    frame.loc[0, column] = name
    frame.to_parquet(folder / MANIFEST, index=False)
    with pytest.raises(CorruptionError, match="leads out of its folder"):
        read_manifest(folder)


def test_a_run_card_that_names_files_elsewhere_is_wrong_and_they_are_not_read(
    others: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    secret = tmp_path / "secret"
    secret.write_text("secret")
    card = others / "teacher" / "run.json"
    files = {**read_json(card)["files"], "../../../secret": sha256_file(secret)}
    write_json(card, with_checksum({**read_json(card), "files": files}))
    assert main(["verify", str(others / "experiment.json"), "--fast"]) == 1
    said = capsys.readouterr().out
    assert "names a file out of its folder" in said
    assert sha256_file(secret)[:12] not in said


@pytest.mark.parametrize("place", ["teacher/model/secret", "evaluations/bicubic/x.png", "students"])
def test_links_out_of_a_results_folder_are_told_and_never_merged(
    others: Path, made: Path, tmp_path: Path, place: str, capsys: pytest.CaptureFixture[str]
) -> None:
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / "key").write_text("secret")
    if (others / place).exists():
        shutil.rmtree(others / place)
    (others / place).symlink_to(secret if place == "students" else secret / "key")
    audit = Audit(Plan.load(others / "experiment.json"))
    assert [path.relative_to(others.resolve()).as_posix() for path in audit.check_links()] == [
        place
    ]
    assert "out of the results folder" in audit.findings[0].text
    out = tmp_path / "out"
    assert main(["merge", str(others), str(made), "--out", str(out)]) == 1
    assert "is a link to" in capsys.readouterr().err
    assert not out.exists()


def test_reading_the_results_of_others_runs_no_code_of_theirs(
    others: Path, made: Path, tmp_path: Path
) -> None:
    """Losses and metrics of one's own are code; only trainings and evaluations run it."""
    marker, code = tmp_path / "pwned", tmp_path / "metric.py"
    code.write_text(f"open({str(marker)!r}, 'w')\nclass Metric: pass\n")
    settings = read_json(others / "experiment.json")
    settings["evaluation"]["metrics"].append({
        "id": "theirs", "file": str(code), "needs_reference": True, "higher_is_better": True,
    })  # fmt: skip
    settings["student"]["losses"]["custom"] = {"theirs": {"file": str(code), "weight": 0.5}}
    write_json(others / "experiment.json", settings, sort_keys=False)
    experiment = Plan.load(others / "experiment.json").experiment
    assert "theirs" in [spec.id for spec in experiment.metrics()]
    for command in ("plan", "status", "verify", "compare", "report", "doctor"):
        main([command, str(others / "experiment.json")])
    twin = shutil.copytree(others, tmp_path / "twin" / "mini")
    main(["merge", str(others), str(twin), "--out", str(tmp_path / "out")])
    assert not marker.exists()
    main(["metric", str(code), "--better", "higher"])  # where it is asked for
    assert marker.exists()


@pytest.mark.parametrize("text", ["=1+1", "+cmd|' /C calc'!A0", "-2+3", "@SUM(A1)", "\t=1"])
def test_text_is_no_formula_in_a_spreadsheet(text: str) -> None:
    columns = (Column("name", "Name"), Column("value", "Value", numeric=True))
    table = Table("x", "X", "x", columns, ((Cell(text), Cell("-1.5", value=-1.5)),))
    _, row = csv.reader(io.StringIO(table.to_csv()))
    assert row == [f"'{text}", "-1.5"]
