"""The cost table: numbers, their words, and what may mislead about them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tadsr.report.content import ReportContent
from tadsr.report.cost_tables import cost_table, training_time_table
from tadsr.report.costs import ModelCost
from tadsr.report.table import GAP, Cell, Table
from tadsr.report.wording import quantity


def row(table: Table, name: str, side: int) -> dict[str, Cell]:
    keys = [column.key for column in table.columns]
    found = [cells for cells in table.rows if (cells[0].text, cells[1].value) == (name, side)]
    assert len(found) == 1
    return dict(zip(keys, found[0], strict=True))


def changed(content: ReportContent, name: str, **fields: object) -> ReportContent:
    """`content` with other fields in all records of a model."""
    cost = content.costs[name]
    records = tuple(replace(record, **fields) for record in cost.records)
    return replace(content, costs={**content.costs, name: ModelCost(cost.measured_on, records)})


def test_every_model_has_a_row_per_size_and_students_share_one(content: ReportContent) -> None:
    table = cost_table(content)
    assert [(r[0].text, r[1].value) for r in table.rows] == [
        (name, side) for side in (64, 128) for name in (*content.baselines, "students")
    ]
    assert any("full/seed-0" in note for note in table.notes)
    assert any("Processor X, 1 thread, float32, torch 2.14.1" in note for note in table.notes)


def test_numbers_and_their_units(content: ReportContent) -> None:
    shown = row(cost_table(content), "teacher-1", 128)
    assert shown["parameters"].text == "2.00 M"
    assert shown["macs"].text == "8.92 G"
    assert shown["latency_median_seconds"].text == "556 ms"
    assert shown["latency_median_seconds"].value == pytest.approx(4 * 0.139)
    assert shown["peak_memory_bytes"].text == "21.1 MB"
    assert row(cost_table(content), "bicubic", 64)["parameters"].text == "0"
    assert row(cost_table(content), "teacher-15", 64)["steps"].text == "15"


def test_few_runs_have_a_slowest_and_no_percentile(content: ReportContent) -> None:
    table = cost_table(content)
    slow, fast = row(table, "teacher-15", 64), row(table, "students", 64)
    assert slow["latency_p95_seconds"].text == GAP
    assert slow["latency_slowest_seconds"].value == pytest.approx(1.93 * 1.01)
    assert slow["runs"].text == "3"
    # Of 20 runs evenly spaced: 19 * 0.95 = 18.05 steps above the first.
    assert fast["latency_p95_seconds"].value == pytest.approx(0.14 * (1 + 0.01 * (18.05 - 9.5)))


def test_the_speed_up_is_over_the_slowest_teacher_on_the_same_device(
    content: ReportContent,
) -> None:
    table = cost_table(content)
    assert row(table, "students", 64)["speed_up"].value == pytest.approx(1.93 / 0.14)
    assert row(table, "teacher-15", 128)["speed_up"].value == pytest.approx(1.0)
    assert row(table, "bicubic", 64)["speed_up"].text == GAP
    elsewhere = cost_table(changed(content, "students", device="cuda", device_name="GPU Y"))
    assert row(elsewhere, "students", 64)["speed_up"].text == GAP
    assert "students: measured on GPU Y beside Processor X, 1 thread, float32, torch 2.14.1." in (
        elsewhere.notes
    )


def test_a_disturbed_measurement_is_marked(content: ReportContent) -> None:
    table = cost_table(content)
    assert row(table, "teacher-15", 64)["latency_median_seconds"].marks == "§"
    assert row(table, "students", 64)["latency_median_seconds"].marks == ""
    assert row(table, "students", 64)["speed_up"].marks == "§", "it is over a disturbed latency"
    assert row(table, "teacher-15", 64)["speed_up"].marks == "", "1 whatever the latency"
    assert any(note.startswith("§") and "0.9 cores" in note for note in table.notes)
    alone = cost_table(changed(content, "teacher-15", busy_elsewhere=0.1))
    assert not any(note.startswith("§") for note in alone.notes)
    assert row(alone, "students", 64)["speed_up"].marks == ""


def test_what_was_not_counted_or_measured_is_said(content: ReportContent) -> None:
    partly = cost_table(changed(content, "teacher-1", uncounted=("torchvision::deform_conv2d",)))
    assert row(partly, "teacher-1", 64)["macs"].text == "≥ 2.23 G"
    assert any("torchvision::deform_conv2d not counted" in note for note in partly.notes)
    large = cost_table(changed(content, "teacher-15", missing="too large for the memory"))
    assert row(large, "teacher-15", 64)["macs"].text == GAP
    assert f"{GAP} teacher-15 at 64: too large for the memory." in large.notes
    assert row(large, "students", 64)["speed_up"].text == GAP
    nothing = cost_table(replace(content, costs={}))
    assert any("students: not measured yet" in note for note in nothing.notes)
    assert all(r[5].text == GAP for r in nothing.rows)


def test_finished_images_have_no_row(content: ReportContent) -> None:
    evaluation = content.experiment.evaluation.model_copy(update={"images": {"other": "other"}})
    experiment = content.experiment.model_copy(update={"evaluation": evaluation})
    baselines = (*content.baselines, "other")
    table = cost_table(replace(content, experiment=experiment, baselines=baselines))
    assert "other" not in [r[0].text for r in table.rows]
    assert any(note.startswith("other: finished images") for note in table.notes)


def test_training_time_is_the_mean_over_finished_seeds(content: ReportContent) -> None:
    seconds = {r[0].text: r[1].value for r in training_time_table(content).rows}
    assert seconds["full (reference)"] == pytest.approx(44.5)
    assert seconds["distill_only"] == pytest.approx(44.5)  # of seeds 0 and 2
    assert "teacher" in seconds


def test_an_imported_teacher_was_not_trained_here(imported: ReportContent) -> None:
    assert "teacher" not in [r[0].text for r in training_time_table(imported).rows]
    table = cost_table(imported)
    steps = {r[0].text: r[2].text for r in table.rows}
    assert (steps["sinsr-v1"], steps["resshift-realsrx4-s4-v3"]) == ("1", "4")


@pytest.mark.parametrize(("value", "unit", "text"), [
    (2246033408, "", "2.25 G"), (0.0403, "s", "40.3 ms"), (59.96, "s", "60.0 s"),
    (999.96e6, "B", "1.00 GB"), (0.99999, "s", "1.00 s"), (0, "B", "0 B"), (None, "s", GAP),
    (5e15, "", "5000 T"), (3.4e-4, "s", "340 µs"), (786_962, "", "787 k"),
])  # fmt: skip
def test_quantities(value: float | None, unit: str, text: str) -> None:
    assert quantity(value, unit) == text
