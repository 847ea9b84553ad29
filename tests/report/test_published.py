"""Published numbers: checked when read, shown digit for digit, never ranked or mixed with ours."""

from __future__ import annotations

import csv
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tadsr.config import METRICS
from tadsr.config.data import DatasetSpec
from tadsr.config.presets import PRESETS
from tadsr.errors import TadsrError
from tadsr.report.content import ReportContent
from tadsr.report.html import all_tables
from tadsr.report.published_tables import OURS, published_tables
from tadsr.report.reference import (
    RESULTS,
    RUNTIME,
    preset_of,
    published_results,
    published_runtime,
)
from tadsr.report.tables import main_table

HEADER = "dataset,method,nfe,psnr,lpips,source\n"
GOOD = "Set5,EDSR,1,32.46,0.17,a paper (table 1)\n"


def with_presets(content: ReportContent, **specs: dict[str, object]) -> ReportContent:
    """The same results as if the first test sets had these settings."""
    test = dict(content.experiment.data.test)
    for name, values in zip(list(test), specs.values(), strict=False):
        test[name] = DatasetSpec.model_validate({"path": "somewhere", **values})
    data = content.experiment.data.model_copy(update={"test": test})
    return replace(content, experiment=content.experiment.model_copy(update={"data": data}))


@pytest.fixture
def published(content: ReportContent) -> ReportContent:
    return with_presets(content, a={"preset": "realsr"}, b={"preset": "imagenet-test", "limit": 6})


@pytest.fixture
def written(tmp_path: Path) -> Callable[[str], Path]:
    def write(text: str) -> Path:
        path = tmp_path / f"{abs(hash(text))}.csv"
        path.write_text(text, encoding="utf-8")
        return path

    return write


def test_the_files_that_come_with_the_package_are_whole() -> None:
    with RESULTS.open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    found = [row for preset in PRESETS for row in published_results(preset)]
    assert len(found) == len(rows) > 40
    assert all(row.source and row.values for row in found)
    sinsr = next(r for r in published_results("realset65") if r.method == "SinSR")
    assert sinsr.values == {"clipiqa": "0.7150", "musiq": "62.169"}
    assert "2503.13358" in sinsr.source
    assert {row.values["fid-ffhq"] for row in published_results("celeba-test")} == {
        "41.968", "55.292"}  # fmt: skip
    with RUNTIME.open(encoding="utf-8", newline="") as stream:
        assert len(published_runtime()) == len(list(csv.DictReader(stream)))


@pytest.mark.parametrize(
    "text, said",
    [
        ("dataset,method,nfe,psnr\n", "no column 'source'"),
        ("", "no column 'dataset'"),
        (HEADER.replace("lpips", "lpip") + GOOD, "'lpip' is no metric: did you mean"),
        (HEADER + "Set6,EDSR,1,32.4,,x\n", "2: no preset is named 'Set6'"),
        (HEADER + "Set5,EDSR,1,32.4,,\n", "2: 'source' is empty"),
        (HEADER + "Set5,,1,32.4,,x\n", "2: 'method' is empty"),
        (HEADER + "Set5,EDSR,1,,,x\n", "no value of any metric"),
        (HEADER + "Set5,EDSR,0,32.4,,x\n", "nfe '0' is not a whole number"),
        (HEADER + "Set5,EDSR,1.5,32.4,,x\n", "nfe '1.5' is not a whole number"),
        (HEADER + "Set5,EDSR,1,high,,x\n", "psnr 'high' is not a number"),
        (HEADER + "Set5,EDSR,1,,2.7,x\n", "lpips 2.7 is not within 0 to 2"),
        (HEADER + "Set5,EDSR,1,nan,,x\n", "psnr nan is not within"),
        (HEADER + GOOD + GOOD, "3: the same row as"),
        (HEADER + "Set5,EDSR,1,32.4,,a paper, table 1\n", "7 fields, the header has 6"),
    ],
)
def test_a_mistake_is_one_line_with_its_place(
    written: Callable[[str], Path], text: str, said: str
) -> None:
    path = written(text)
    with pytest.raises(TadsrError, match=path.name) as error:
        published_results("set5", path)
    assert said in str(error.value)


def test_rows_can_be_added(written: Callable[[str], Path]) -> None:
    path = written(HEADER + GOOD + 'set5,"EDSR, smaller",1,32.1,,"a paper, table 1"\n')
    assert [row.method for row in published_results("set5", path)] == ["EDSR", "EDSR, smaller"]
    assert published_results("set14", path) == ()


def test_run_times_are_checked_too(written: Callable[[str], Path]) -> None:
    header = RUNTIME.read_text().splitlines()[0] + "\n"
    with pytest.raises(TadsrError, match="seconds_per_image -1 is not within"):
        published_runtime(written(header + "X,1,-1,A100,64x64,1,1,a paper\n"))


def test_only_a_preset_makes_a_set_a_published_one(content: ReportContent) -> None:
    assert published_tables(content) == []
    assert preset_of(DatasetSpec(preset="realsr-lr", path="x")) == "realsr"
    tables = published_tables(with_presets(content, a={"preset": "set5"}))
    assert tables == []  # nothing is published for it here


def test_every_number_and_source_stands_there_digit_for_digit(published: ReportContent) -> None:
    table = next(t for t in published_tables(published) if t.name == "published-photos-bicubic")
    keys = [column.key for column in table.columns]
    rows = published_results("realsr")
    assert table.rules == (len(rows),)
    for row, shown in zip(rows, table.rows, strict=False):
        assert shown[0].text == row.method
        assert shown[-1].text == row.source
        for metric, text in row.values.items():
            assert shown[keys.index(metric)].text == text
            assert shown[keys.index(metric)].value == float(text)
    assert "PSNR-Y" not in [column.title for column in table.columns]


def test_ours_stand_below_the_line_with_the_means_of_the_main_table(
    published: ReportContent,
) -> None:
    table = next(t for t in published_tables(published) if t.name == "published-photos-bicubic")
    main = main_table(published, "photos-bicubic")
    below = {row[0].text: row for row in table.rows[table.rules[0] :]}
    assert list(below) == [*published.baselines, "full (reference)"]
    for row in main.rows:
        if row[0].text in below:
            found = below[row[0].text]
            assert found[-1].text == OURS
            columns = {column.key.removesuffix("_unverified"): i
                       for i, column in enumerate(main.columns)}  # fmt: skip
            for i, column in enumerate(table.columns[2:-1], start=2):
                if column.key in columns:
                    cell = row[columns[column.key]]
                    assert (found[i].value, found[i].half_width, found[i].marks) == (
                        cell.value, cell.half_width, cell.marks)  # fmt: skip
    assert any("CLIPIQA" in note and "not to be cited" in note for note in table.notes)


def test_other_images_of_the_set_do_not_stand_beside_it(published: ReportContent) -> None:
    table = next(t for t in published_tables(published) if t.name == "published-photos-realesrgan")
    assert all(row[-1].text != OURS for row in table.rows)
    assert "the first 6 images only" in table.caption


def test_published_numbers_are_in_no_rank_and_in_no_other_table(
    content: ReportContent, published: ReportContent
) -> None:
    tables = all_tables(published)
    theirs = {name for name in tables if name.startswith("published-")} | {"runtime-published"}
    assert len(theirs) == 3
    assert all(cell.rank == 0 for name in theirs for row in tables[name].rows for cell in row)
    keys = {column.key for column in tables["published-photos-bicubic"].columns}
    assert keys & set(METRICS) == {"psnr", "ssim", "lpips", "clipiqa", "musiq"}
    for name in set(tables) - theirs:
        assert "ResShift-VSD" not in tables[name].to_csv()
    for name in content.experiment.data.test:
        assert main_table(published, name).rows == main_table(content, name).rows
