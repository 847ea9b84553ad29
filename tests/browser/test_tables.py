"""Tables of the page in a browser: sorted and filtered, by mouse and by keyboard."""

from __future__ import annotations

import csv
from pathlib import Path

from playwright.sync_api import Locator

from tests.browser.conftest import Opener

MAIN = "#table-main-photos-bicubic"


def column(table: Locator, index: int) -> list[str]:
    cells = table.locator(f"tbody tr:visible > :nth-child({index + 1})")
    return [text.strip() for text in cells.all_inner_texts()]


def test_sorting_follows_the_numbers_of_the_csv(look: Opener, page_file: Path) -> None:
    page = look(page_file).page
    table = page.locator(MAIN)
    path = page_file.parent / "tables" / "main-photos-bicubic.csv"
    rows = list(csv.DictReader(path.read_text().splitlines()))
    titles = table.locator("thead th").all_inner_texts()
    at = next(i for i, title in enumerate(titles) if title.startswith("LPIPS"))
    original = column(table, 0)
    head = table.locator("thead th").nth(at)
    by_score = sorted(rows, key=lambda row: float(row["lpips"]))
    first = next(iter(rows[0]))
    head.locator("button").click()
    assert head.get_attribute("aria-sort") == "ascending"
    said = page.locator(f".scroll:has({MAIN})").locator(
        "xpath=preceding-sibling::div[1]/output[last()]"
    )
    assert said.inner_text().startswith("Sorted by LPIPS")
    shown = column(table, 0)
    assert [text.split()[0] for text in shown] == [row[first].split()[0] for row in by_score]
    head.locator("button").press("Enter")
    assert head.get_attribute("aria-sort") == "descending"
    assert column(table, 0) == shown[::-1]
    head.locator("button").press("Enter")
    assert head.get_attribute("aria-sort") is None
    assert column(table, 0) == original


def test_gaps_come_last_both_ways(look: Opener, page_file: Path) -> None:
    table = look(page_file).page.locator("#table-cells")
    titles = table.locator("thead th").all_inner_texts()
    at = next(i for i, title in enumerate(titles) if title.startswith("Error to targets"))
    button = table.locator("thead th").nth(at).locator("button")
    for _ in range(2):
        button.click()
        found = column(table, at)
        assert found[-1] == "–"
        assert "–" not in found[:-1]
        values = [float(text) for text in found[:-1]]
        assert values in (sorted(values), sorted(values)[::-1])


def test_filter_keeps_rows_with_all_words_and_announces_how_many(
    look: Opener, page_file: Path
) -> None:
    page = look(page_file).page
    table = page.locator("#table-cells")
    field = page.get_by_label("Filter rows. Table: Cells")
    said = field.locator("xpath=ancestor::*[@class='tools']").locator(".said")
    assert said.evaluate("e => e.tagName") == "OUTPUT"  # whose changes are announced
    assert table.locator("tbody tr:visible").count() == 15
    field.focus()
    page.keyboard.type("DISTILL_only done")
    assert said.inner_text() == "2 of 15 rows"
    assert set(column(table, 0)) == {"distill_only"}
    page.keyboard.type(" nothing like it")
    assert said.inner_text() == "0 of 15 rows"
    page.keyboard.press("Escape")
    assert field.input_value() == ""
    assert table.locator("tbody tr:visible").count() == 15


def test_sorting_keeps_what_is_filtered(look: Opener, page_file: Path) -> None:
    page = look(page_file).page
    table = page.locator("#table-cells")
    page.get_by_label("Filter rows. Table: Cells").fill("no_discriminator")
    table.locator("thead button").nth(1).click()
    table.locator("thead button").nth(1).click()
    assert column(table, 1) == ["2", "1", "0"]


def test_closed_tables_are_set_up_when_opened(look: Opener, page_file: Path) -> None:
    page = look(page_file).page
    table = page.locator("#table-exploratory")
    assert table.locator("thead button").count() == 0
    page.locator("details", has=table).locator("summary").first.press("Enter")
    table.locator("thead button").first.wait_for()
    assert table.locator("thead button").count() == table.locator("thead th").count()
