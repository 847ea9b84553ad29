"""Score files: what goes in comes out, byte for byte, and what must not be mixed is refused."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tadsr.config.metrics import METRICS
from tadsr.errors import CorruptionError, DataError, TadsrError
from tadsr.evaluation.scores import gather, read_scores, split_upscaler, write_scores
from tadsr.metrics import MetricCard
from tadsr.metrics.card import make_card

ROWS = [("b", "psnr", 20.5), ("a", "psnr", 21.25), ("a", "lpips", 0.1)]


def frame(rows: list[tuple[str, str, float]] = ROWS) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["image", "metric", "value"])


def card(metric: str = "psnr", **changes: Any) -> dict[str, Any]:
    return {**make_card(METRICS[metric], None, None, "cpu").to_dict(), **changes}


def test_round_trip_and_equal_bytes(tmp_path: Path) -> None:
    meta = {"upscaler": "full/seed-0", "dataset": "d", "cards": {"psnr": card()}}
    write_scores(tmp_path / "one.parquet", frame(), meta)
    write_scores(tmp_path / "two.parquet", frame(ROWS[::-1]), dict(reversed(meta.items())))
    assert (tmp_path / "one.parquet").read_bytes() == (tmp_path / "two.parquet").read_bytes()
    read, found = read_scores(tmp_path / "one.parquet")
    assert sorted(read.itertuples(index=False, name=None)) == sorted(ROWS)
    assert found == {**meta, "missing": {}, "skipped": {}, "failed": {}}
    assert MetricCard.from_dict(found["cards"]["psnr"]).pyiqa == "psnr"


def test_an_empty_table(tmp_path: Path) -> None:
    write_scores(tmp_path / "e.parquet", frame([]), {})
    read, _ = read_scores(tmp_path / "e.parquet")
    assert len(read) == 0
    assert str(read["value"].dtype) == "float64"


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_values_that_are_no_numbers_are_refused(tmp_path: Path, value: float) -> None:
    with pytest.raises(DataError, match="psnr of image 'c'"):
        write_scores(tmp_path / "x.parquet", frame([*ROWS, ("c", "psnr", value)]), {})
    assert not (tmp_path / "x.parquet").exists()


def test_duplicates_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="twice"):
        write_scores(tmp_path / "x.parquet", frame([*ROWS, ROWS[0]]), {})


def test_damaged_and_foreign_files(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    path.write_bytes(b"PAR1 nonsense")
    with pytest.raises(CorruptionError, match="delete it"):
        read_scores(path)
    frame().to_parquet(path)
    with pytest.raises(CorruptionError, match="not a usable score file"):
        read_scores(path)


def put(root: Path, upscaler: str, dataset: str, rows: Any = ROWS, **meta: Any) -> None:
    write_scores(
        root / "evaluations" / upscaler / f"{dataset}.parquet",
        frame(rows),
        {"dataset_content": "same", "cards": {"psnr": card(), "lpips": card("lpips")}, **meta},
    )


def test_gather(tmp_path: Path) -> None:
    put(tmp_path, "bicubic", "d")
    put(tmp_path, "full/seed-0", "d", missing={"musiq": "no weights; fetch"})
    put(tmp_path, "full/seed-10", "d", missing={"musiq": "no weights; fetch"})
    put(tmp_path, "full/seed-10", "e=1", ROWS[:1], missing={"ssim": "not applicable: none"})
    put(tmp_path, "dropped/seed-0", "d", dataset_content="other")
    scores, cards, missing = gather(
        tmp_path, ["d", "e=1"], ["bicubic", "full/seed-0", "full/seed-10", "absent/seed-0"]
    )
    assert list(scores.columns) == ["variant", "seed", "dataset", "image", "metric", "value"]
    assert str(scores["seed"].dtype) == "Int64"
    found = {
        (variant, None if pd.isna(seed) else int(seed), dataset): len(group)
        for (variant, seed, dataset), group in scores.groupby(
            ["variant", "seed", "dataset"], dropna=False
        )
    }
    assert found == {
        ("bicubic", None, "d"): 3,
        ("full", 0, "d"): 3,
        ("full", 10, "d"): 3,
        ("full", 10, "e=1"): 1,
    }
    assert set(cards) == {"psnr", "lpips"}
    assert missing == {"musiq": "no weights; fetch", "ssim": "not applicable: none"}
    with pytest.raises(TadsrError, match="different images of 'd'"):
        gather(tmp_path, ["d"])


def test_what_is_missing_names_the_remedy_where_there_is_one(tmp_path: Path) -> None:
    put(tmp_path, "bicubic", "d", missing={"musiq": "not applicable: x"})
    put(tmp_path, "teacher-1", "d", missing={"musiq": "no weights; fetch"})
    assert gather(tmp_path, ["d"]).missing == {"musiq": "no weights; fetch"}


def test_cards_that_differ_are_refused_by_field(tmp_path: Path) -> None:
    put(tmp_path, "bicubic", "d")
    put(tmp_path, "full/seed-0", "d", cards={"psnr": card(border_crop=4)})
    with pytest.raises(TadsrError, match=r"psnr: border_crop differs: 0 and 4"):
        gather(tmp_path, ["d"])
    put(tmp_path, "full/seed-0", "d", cards={"psnr": card(context={"device": "cuda"})})
    assert len(gather(tmp_path, ["d"]).frame) == 6


def test_nothing_gathered(tmp_path: Path) -> None:
    scores, cards, missing = gather(tmp_path, ["d"])
    assert len(scores) == 0
    assert str(scores["seed"].dtype) == "Int64"
    assert cards == missing == {}


def test_names_of_upscalers() -> None:
    assert split_upscaler("full/seed-12") == ("full", 12)
    assert split_upscaler("teacher-15") == ("teacher-15", None)
    assert split_upscaler("seed-1") == ("seed-1", None)


def test_gathering_does_not_import_torch(tmp_path: Path) -> None:
    put(tmp_path, "bicubic", "d")
    put(tmp_path, "full/seed-0", "d")
    code = (
        "import sys; from tadsr.evaluation.scores import gather; "
        f"assert len(gather({str(tmp_path)!r}, ['d']).frame) == 6; sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
