"""Searches as the report reads them, its tables of them, and their part of the page."""

from __future__ import annotations

import csv
import io
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from tadsr.config import Experiment
from tadsr.config.experiment import Variant
from tadsr.config.sweep import Pick, variant_name
from tadsr.errors import TadsrError
from tadsr.files import read_json, write_json
from tadsr.report.card_tables import variants_table
from tadsr.report.content import ReportContent, gather
from tadsr.report.figures.components import variant_settings
from tadsr.report.html import build_report
from tadsr.report.latex import latex_table
from tadsr.report.sweep_tables import confirmed_table, sweep_tables, trials_table
from tadsr.report.sweep_words import facts
from tadsr.report.table import Table
from tests.report.made_up_sweeps import (
    HSD,
    KIND,
    SWEEPS,
    TEACHER,
    WEIGHT,
    sweep_of,
    with_sweeps,
    write_sweeps,
)


def rows_of(table: Table) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(table.to_csv())))


def test_trials_are_read_with_their_looks(searched: ReportContent) -> None:
    sweep = sweep_of(searched, "weight")
    assert dict(sweep.states) == {"complete": 9, "pruned": 2, "diverged": 1, "failed": 1}
    pruned, whole = sweep.trials[3], sweep.trials[4]
    # Its folder holds a look at 960 images of another trial of its settings: not its own.
    assert [images for images, _ in pruned.looks["psnr"]] == [106, 320]
    assert [images for images, _ in whole.looks["psnr"]] == [106, 320, 960]
    assert whole.looks["psnr"][-1][1] == pytest.approx(whole.values["psnr"])
    assert not pruned.complete
    assert not pruned.values
    assert sweep.trials[12].repeats == 6
    assert sweep.levels("psnr") == pytest.approx({"teacher-15": 27.9, "no_adversary": 27.95})


def test_a_search_that_is_not_there_is_a_hole(
    made: tuple[Experiment, Path], tmp_path: Path
) -> None:
    experiment = with_sweeps(made[0], ("weight", "trade"))
    root = tmp_path / "synthetic"
    shutil.copytree(made[1], root, symlinks=True)
    write_sweeps(root, ("trade",))
    with pytest.raises(TadsrError, match="sweep weight: not concluded"):
        gather(experiment, root)
    partial = gather(experiment, root, partial=True)
    assert [sweep.name for sweep in partial.sweeps] == ["trade"]
    # More trials than the comparison knows of: numbers of two states are never mixed.
    trials = read_json(root / "sweeps" / "trade" / "trials.json")
    write_json(root / "sweeps" / "trade" / "trials.json", [*trials, {**trials[0], "number": 99}])
    holes = gather(experiment, root, partial=True).holes
    assert "sweep trade: sweeps/trade went on after comparison/sweeps.json was written" in holes[1]


def test_the_best_of_those_that_keep_the_constraints_is_marked(searched: ReportContent) -> None:
    sweep = sweep_of(searched, "losses")
    lowest = min(sweep.complete, key=lambda trial: trial.values["lpips"])
    broken = replace(lowest, violations=dict.fromkeys(lowest.violations, 0.01))
    trials = tuple(broken if trial is lowest else trial for trial in sweep.trials)
    table = trials_table(replace(sweep, trials=trials))
    column = [c.key for c in table.columns].index("lpips")
    marked = [int(row[0].text) for row in table.rows if row[column].rank == 1]
    kept = [trial for trial in sweep.complete if trial is not lowest]
    assert marked == [min(kept, key=lambda trial: trial.values["lpips"]).number]
    beyond = [c.key for c in table.columns].index("psnr_violation")
    assert table.rows[lowest.number][beyond].text == "+0.010"
    assert table.rows[lowest.number][beyond].tone == "bad"


def test_every_trial_has_a_row_with_full_precision(searched: ReportContent) -> None:
    sweep = sweep_of(searched, "losses")
    rows = rows_of(trials_table(sweep))
    assert [int(row["trial"]) for row in rows] == list(range(14))
    for row, trial in zip(rows, sweep.trials, strict=True):
        assert row[KIND] == trial.settings[KIND]
        assert float(row[HSD]) == trial.settings[HSD]
        assert (row[WEIGHT] == "") == (trial.settings[KIND] == "vanilla")
        assert float(row["lpips"]) == trial.scores["lpips"]
    ended = rows_of(trials_table(sweep_of(searched, "weight")))[5]
    assert (ended["state"], ended["note"]) == ("diverged", "the loss became nan")


def test_the_front_and_its_picks_are_named(searched: ReportContent) -> None:
    sweep = sweep_of(searched, "trade")
    found = {int(row["trial"]): row["picked"] for row in rows_of(trials_table(sweep))}
    assert {n for n, word in found.items() if word} == set(sweep.front)
    assert {w for w in found.values() if w} == {"knee", "end1", "end2", "front"}


def test_the_search_value_stands_beside_the_confirmed_one(searched: ReportContent) -> None:
    sweep = sweep_of(searched, "trade")
    rows = rows_of(confirmed_table(sweep))
    assert [row["variant"] for row in rows[::2]] == [
        "best-of-trade-knee", "best-of-trade-end1", "best-of-trade-end2"]  # fmt: skip
    knee = next(pick for pick in sweep.picks if pick.which == "knee")
    values = [scores["psnr"] for scores in knee.confirmed.values() if scores]
    half = stats.t.ppf(0.975, len(values) - 1) * stats.sem(values)
    assert float(rows[0]["search"]) == knee.search["psnr"]
    assert float(rows[0]["confirmed"]) == pytest.approx(np.mean(values))
    assert float(rows[0]["confirmed_half_width"]) == pytest.approx(half)
    assert float(rows[0]["difference"]) == pytest.approx(np.mean(values) - knee.search["psnr"])
    assert float(rows[0]["teacher"]) == pytest.approx(TEACHER["psnr"])
    assert float(rows[4]["seeds"]) == 2
    assert "best-of-trade-end2: no finished student of seed 1." in confirmed_table(sweep).notes


def test_unverified_metrics_are_marked_and_not_ranked(searched: ReportContent) -> None:
    sweep = replace(sweep_of(searched, "losses"), doubted=frozenset({"lpips"}))
    for table in (trials_table(sweep), confirmed_table(sweep)):
        assert not any(cell.rank for row in table.rows for cell in row)
        assert any("not known to be the official" in note for note in table.notes)
        assert any(cell.marks for row in table.rows for cell in row)


def test_tables_are_written_in_every_format(searched: ReportContent) -> None:
    tables = list(sweep_tables(searched))
    assert [table.name for table in tables] == [
        f"sweep-{name}-{kind}" for name in SWEEPS for kind in ("confirmed", "trials")]  # fmt: skip
    for table in tables:
        assert table.to_markdown().count("\n| ") >= len(table.rows)
        assert latex_table(table).count(r"\\") >= len(table.rows)


def with_winner(searched: ReportContent, name: str) -> ReportContent:
    """The searches' experiment, with what a search picked as a variant."""
    winner = Variant(description="found", pick=Pick(sweep=name, which="best"))
    variants = {**searched.experiment.variants, variant_name(name, "best"): winner}
    experiment = searched.experiment.model_copy(update={"variants": variants})
    return replace(searched, experiment=experiment)


def test_a_winner_is_shown_with_the_settings_that_were_picked(searched: ReportContent) -> None:
    content = with_winner(searched, "weight")
    name, (pick,) = variant_name("weight", "best"), sweep_of(searched, "weight").picks
    (found,) = (row for row in rows_of(variants_table(content)) if row["variant"] == name)
    assert [change.split(" = ")[0] for change in found["changes"].split("; ")] == list(pick.delta)
    assert float(found["changes"].split(f"{WEIGHT} = ")[1].split(";")[0]) == pick.delta[WEIGHT]
    adversarial = content.cell(name).student.losses.adversarial
    assert adversarial is not None
    assert adversarial.weight == pick.delta[WEIGHT]
    assert variant_settings(content, name)["losses"]["adversarial"]["weight"] == adversarial.weight


def test_a_winner_that_is_not_picked_yet_is_not_called_unchanged(searched: ReportContent) -> None:
    content = replace(with_winner(searched, "weight"), sweeps=())
    (found,) = (row for row in rows_of(variants_table(content))
                if row["variant"] == variant_name("weight", "best"))  # fmt: skip
    assert found["changes"] == "what its search will pick"


def test_facts_say_what_was_searched_and_found(searched: ReportContent) -> None:
    told = dict(facts(searched, sweep_of(searched, "weight")))
    assert told["Searched"] == f"{WEIGHT} from 0.002 to 0.2 (logarithmic). All else as in full."
    assert "3 validation images" in told["Objective"]
    assert told["Trials"] == ("asked for: 12 trials; 9 complete, 2 pruned, 1 diverged, 1 failed "
                              "(1 repeating failed ones)")  # fmt: skip
    assert "TPE" in told["How"]
    assert "seed 1000" in told["How"]
    assert "3 fresh seeds" in told["Found (best)"]
    losses = dict(facts(searched, sweep_of(searched, "losses")))
    assert f"where {KIND} is time_aware" in losses["Searched"]
    assert losses["Constraint"].startswith("PSNR-Y at most 0.2 worse")
    assert "within 2 hours" in losses["Trials"]


@pytest.mark.slow
def test_the_page_has_a_part_for_each_search(made: tuple[Experiment, Path], tmp_path: Path) -> None:
    experiment = with_sweeps(made[0])
    pages = []
    for place in ("one", "two"):
        root = tmp_path / place / "synthetic"
        shutil.copytree(made[1], root, symlinks=True)
        write_sweeps(root)
        pages.append(build_report(experiment, root).read_bytes())
    assert pages[0] == pages[1]
    page = pages[0].decode()
    section = page[page.index('<section id="sweeps"') :]
    section = section[: section.index("</section>")]
    places = [section.index(f'<h3 id="sweep-{name}"') for name in SWEEPS]
    assert places == sorted(places)
    trade = section[places[2] :]
    for name in ("front", "history", "importance", "parallel", "slice", "contour"):
        assert f'<figure id="sweep-trade-{name}">' in trade
    assert "sweep-trade-sensitivity" not in trade
    assert len(re.findall(r"<table id=\"table-sweep-", section)) == 6
    assert (tmp_path / "one/synthetic/report/tables/sweep-trade-confirmed.tex").is_file()


def test_without_a_search_there_is_no_table(content: ReportContent) -> None:
    assert list(sweep_tables(content)) == []
