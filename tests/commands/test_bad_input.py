"""Pictures of every kind in a data set: what can be used is converted, all else is named."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tadsr.cli import main
from tadsr.data.images import read_rgb, write_png
from tadsr.files import write_text


def picture(seed: int, side: int = 64) -> np.ndarray:
    coarse = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    return np.kron(coarse, np.ones((side // 8, side // 8, 1), np.uint8))


def made(tmp_path: Path, test: str) -> int:
    """The exit code of `tadsr data` with this test set."""
    for role, seed in (("train", 100), ("val", 101)):
        write_png(tmp_path / role / "p.png", picture(seed))
    learn = [f"  {role}: {{kind: folder, path: {tmp_path / role}, degradation: bicubic, crop: 32}}"
             for role in ("train", "val")]  # fmt: skip
    lines = ["name: bad", "variants: {full: {}}", "data:", *learn, f"  test: {{{test}}}"]
    write_text(tmp_path / "bad.yaml", "\n".join(lines))
    return main(["data", str(tmp_path / "bad.yaml"), "--results", str(tmp_path / "results")])


def test_every_kind_of_picture_becomes_8_bit_rgb(tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    rgb = picture(0)
    deep = np.arange(64 * 64, dtype=np.uint16).reshape(64, 64) * 15 + 129
    Image.fromarray(deep).save(folder / "deep.png")
    Image.fromarray(rgb).quantize(16).save(folder / "palette.png")
    Image.new("CMYK", (64, 64), (0, 255, 255, 0)).save(folder / "cmyk.jpg", quality=95)
    Image.fromarray(np.dstack([rgb, np.full((64, 64), 0, np.uint8)])).save(folder / "alpha.png")
    Image.fromarray(rgb[:, :, 0]).save(folder / "grey.png")
    assert made(tmp_path, f"mine: {{kind: folder, path: {folder}, degradation: bicubic}}") == 0
    stored = tmp_path / "results" / "bad" / "data" / "mine" / "hr"
    pixels = {path.stem: read_rgb(path) for path in stored.glob("*.png")}
    assert len(pixels) == 5
    # Rounded, where dropping the low byte would be up to a level too dark.
    np.testing.assert_array_equal(pixels["deep"][:, :, 0], np.floor(deep / 257 + 0.5))
    assert (deep >> 8 != np.floor(deep / 257 + 0.5)).any()
    expected = np.asarray(Image.open(folder / "palette.png").convert("RGB"))
    np.testing.assert_array_equal(pixels["palette"], expected)
    assert np.abs(pixels["cmyk"].reshape(-1, 3).mean(axis=0) - [255, 0, 0]).max() < 15
    assert (pixels["alpha"] == 255).all()
    np.testing.assert_array_equal(pixels["grey"], np.repeat(rgb[:, :, :1], 3, axis=2))


def test_all_that_cannot_be_used_is_told_at_once_in_all_data_sets(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for kind, side in (("hr", 64), ("lr", 16)):
        for name in ("cut", "empty", "size", "good"):
            write_png(tmp_path / "pairs" / kind / f"{name}.png", picture(1, side))
    cut, empty = tmp_path / "pairs/hr/cut.png", tmp_path / "pairs/lr/empty.png"
    cut.write_bytes(cut.read_bytes()[:60])
    empty.write_bytes(b"")
    write_png(tmp_path / "pairs" / "lr" / "size.png", picture(1, 24))
    write_png(tmp_path / "small" / "tiny.png", picture(2, 16))
    test = (
        f"one: {{kind: pairs, path: {tmp_path / 'pairs'}}}, "
        f"two: {{kind: folder, path: {tmp_path / 'small'}, degradation: bicubic}}"
    )
    assert made(tmp_path, test) == 1
    message = capsys.readouterr().err.strip()
    assert "\n" not in message
    for part in (
        f"{cut}: damaged", f"{empty}: the file is empty", "64x64, LR 24x24", "tiny.png: 16x16",
        "3 of 4 images cannot be used", "2 of 4 data sets failed",
    ):  # fmt: skip
        assert part in message
    assert not (tmp_path / "results" / "bad" / "jobs" / "data.json").exists()


@pytest.mark.parametrize(
    ("files", "parts"),
    [
        (["hr/a.png", "hr/b.png", "hr/c.png", "lr/a.png"], ["'b.png'", "c.png", "2 without"]),
        (["hr/a.png", "hr/a.jpg", "hr/b.png", "hr/b.bmp", "lr/a.png", "lr/b.png"],
         ["one name 'a'", "one name 'b'"]),
    ],
)  # fmt: skip
def test_partners_and_names_are_all_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], files: list[str], parts: list[str]
) -> None:
    for file in files:
        path = tmp_path / "pairs" / file
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture(3, 64 if file.startswith("hr") else 16)).save(path)
    assert made(tmp_path, f"one: {{kind: pairs, path: {tmp_path / 'pairs'}}}") == 1
    message = capsys.readouterr().err
    for part in parts:
        assert part in message
