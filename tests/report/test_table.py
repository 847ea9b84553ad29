"""One table in five formats: nothing lost, nothing that breaks out of its format."""

from __future__ import annotations

import csv
import io
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import pytest

from tadsr.report.content import ReportContent
from tadsr.report.latex import latex_escape, latex_table
from tadsr.report.table import GAP, Cell, Column, Table, breakable
from tadsr.report.tables import main_table
from tests.report.compiling import compile_latex, document, needs_latex, too_wide

HOSTILE = r"<b onclick='x'>&amp;|_%$#{}~^\ "


@pytest.fixture
def table() -> Table:
    columns = (
        Column("name", "Name", numeric=False),
        Column("psnr", "PSNR", "↑"),
        Column("note", HOSTILE, numeric=False, marks="†"),
    )
    rows = (
        (Cell("a"), Cell("1.23", 1.2345, "0.10", 0.0987, rank=1), Cell(HOSTILE)),
        (Cell("b_1"), Cell("−4.00", -4.0, rank=2), Cell("x", tone="bad")),
        (Cell("c"), Cell(GAP), Cell("")),
    )
    return Table("t", "Title", "Words & more", columns, rows, notes=(HOSTILE,), rules=(2,))


class Page(HTMLParser):
    """Collects tags and texts, and checks that every tag is closed in order."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.open.append(tag)
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def test_names_break_at_their_joints_and_numbers_never() -> None:
    assert breakable("student.losses.score_distillation.weight = 0.02, a-b <x>") == (
        "student.<wbr>losses.<wbr>score_<wbr>distillation.<wbr>weight = 0.02, a-<wbr>b &lt;x&gt;"
    )


def test_markdown_says_how_it_marks_the_second_best(content: ReportContent) -> None:
    table = main_table(content, "photos-bicubic")
    assert "underline the second" in table.caption
    assert "italics the second" in table.to_markdown()


def test_csv_has_the_ends_of_an_interval_as_numbers() -> None:
    columns = (Column("name", "Name", numeric=False), Column("interval", "Interval"))
    rows = ((Cell("a"), Cell("+0.00 to +0.05", bounds=(0.0012, 0.0512))), (Cell("b"), Cell(GAP)))
    text = Table("t", "T", "", columns, rows).to_csv()
    assert text.splitlines() == ["name,interval_low,interval_high", "a,0.0012,0.0512", "b,,"]


def test_csv_keeps_full_precision_and_half_widths(table: Table) -> None:
    rows = list(csv.reader(io.StringIO(table.to_csv())))
    assert rows[0] == ["name", "psnr", "psnr_half_width", "note"]
    assert float(rows[1][1]) == 1.2345
    assert float(rows[1][2]) == 0.0987
    assert float(rows[2][1]) == -4.0
    assert rows[3] == ["c", "", "", ""]
    assert rows[1][3] == HOSTILE


def test_latex_is_balanced_and_literal(table: Table) -> None:
    text = latex_table(table)
    bare = re.sub(r"\\[\\{}&%$#_]", "", text)
    assert bare.count("{") == bare.count("}")
    assert re.findall(r"\\begin{(\w+)}", text) == ["table", "tabular"]
    assert re.findall(r"\\end{(\w+)}", text) == ["tabular", "table"]
    assert text.count(r"\toprule") == text.count(r"\bottomrule") == 1
    assert text.count(r"\midrule") == 2
    lines = [line for line in text.splitlines() if line.endswith(r"\\")]
    assert len(lines) == 4
    assert all(len(re.findall(r"(?<!\\)&", line)) == 2 for line in lines)
    assert r"\textbf{1.23}" in text
    assert r"\underline{$-$4.00}" in text
    assert r"$\pm$ 0.10" in text
    assert r"\label{tab:t}" in text
    assert all(ord(character) < 128 for character in text)


def wide(columns: int, rows: int, text: str = "1.2345") -> Table:
    heads = (Column("n", "Name", numeric=False), *(Column(f"c{i}", f"column {i}", "↑")
             for i in range(columns)))  # fmt: skip
    cells = tuple(Cell(text, 1.0, half_width="0.0123") for _ in range(columns))
    return Table("wide", "Wide", "Words", heads, tuple((Cell(f"row_{r}"), *cells)
                 for r in range(rows)), notes=("† a note",))  # fmt: skip


def test_titles_and_captions_are_no_markup_in_markdown() -> None:
    title, caption = "<b>[x](y)</b>", "<img src=x>"
    table = Table("t", title, caption, (Column("a", "A"),), ((Cell("1"),),))
    head = table.to_markdown().splitlines()[0]
    assert head == r"**\<b\>\[x\](y)\</b\>.** \<img src=x\>"


HARD = (
    "~^\\{}", "[a]", "*", "--partial", "`tadsr run`", "ä ö ü é ñ ß", "中文 🙂 Ðð", "a|b <c> \"d\"",
    "κ σ µ ² § … “x” ’", "ab12" * 16, "student.losses.score_distillation.num_timesteps = 3",
)  # fmt: skip


@pytest.mark.parametrize(
    "text, shown",
    [("a---b", "a-{}-{}-b"), ("– and --", "-- and -{}-"), ("it''s", "it'{}'s"), ("a-b", "a-b"),
     ("e\u0301", "é"), ("\t", "{[}U+0009{]}"), ("50 %", r"50 \%")],
)  # fmt: skip
def test_what_latex_would_join_stays_apart(text: str, shown: str) -> None:
    assert latex_escape(text) == shown


@needs_latex
@pytest.mark.parametrize("columns, rows", [(1, 3), (6, 12), (14, 3), (4, 90), (12, 60)])
def test_numbers_compile_and_stay_on_the_page(tmp_path: Path, columns: int, rows: int) -> None:
    path = tmp_path / "document.tex"
    path.write_text(document(latex_table(wide(columns, rows))))
    log = compile_latex(path, 2)
    pages = int(re.findall(r"Output written on .* \((\d+) page", log)[0])
    assert pages == 1 or rows > 38  # long tables go over pages, floats cannot
    assert "Float too large" not in log
    if columns < 12:
        assert not too_wide(log)


@needs_latex
def test_whatever_a_text_holds_compiles_and_is_shown(tmp_path: Path, table: Table) -> None:
    columns = (Column("a", "A|_%", numeric=False), Column("b", "B~", numeric=False))
    rows = tuple((Cell(text), Cell(" ".join([text] * 12))) for text in (*HARD, HOSTILE))
    hard = Table("hard", HOSTILE, " ".join(HARD), columns, rows, notes=HARD)
    path = tmp_path / "document.tex"
    path.write_text(document(latex_table(hard), latex_table(table)), encoding="utf-8")
    log = compile_latex(path)
    assert max(too_wide(log), default=0.0) < 8
    assert "Missing character" not in log
    if shutil.which("pdftotext"):
        subprocess.run(["pdftotext", "-layout", path.with_suffix(".pdf")], check=True)
        shown = path.with_suffix(".txt").read_text()
        for text in ("[a]", "*", "`tadsr run`", "[U+4E2D]", "a|b <c>"):
            assert text in shown, text
        assert re.search(r"-\s?-partial", shown)


def test_a_digest_may_break_and_a_word_may_not() -> None:
    columns = (Column("a", "A", numeric=False), Column("b", "B", numeric=False))
    rows = ((Cell("ab12" * 16), Cell("an uncharacteristically long sentence " * 5)),)
    text = latex_table(Table("t", "T", "", columns, rows))
    assert text.count(r"\allowbreak{}") == 7
    assert "uncharacteristically" in text


def test_html_is_well_formed_and_escaped(table: Table) -> None:
    page = Page()
    page.feed(table.to_html())
    assert page.open == []
    assert {tag for tag, _ in page.tags} == {
        "table", "thead", "tbody", "tr", "th", "td", "strong", "u", "span", "sup",
    }  # fmt: skip
    scopes = [attributes.get("scope") for tag, attributes in page.tags if tag == "th"]
    assert scopes == ["col"] * 3 + ["row"] * 3
    assert HOSTILE in page.texts
    keys = [a["data-key"] for tag, a in page.tags if tag == "td"]
    assert keys[0] == "1.2345"


def test_markdown_rows_have_as_many_cells_as_columns(table: Table) -> None:
    rows = [line for line in table.to_markdown().splitlines() if line.startswith("|")]
    assert len(rows) == 5
    assert all(len(re.findall(r"(?<!\\)\|", row)) == 4 for row in rows)
    assert "**1.23** ± 0.10" in rows[2]
    assert "*−4.00*" in rows[3]


def test_text_fits_its_width_and_repeats_the_names() -> None:
    columns = (Column("n", "Name", numeric=False), *(Column(f"c{i}", f"col {i}") for i in range(9)))
    rows = tuple((Cell(f"row {r}"), *(Cell("1.2345", half_width="0.01") for _ in range(9)))
                 for r in range(3))  # fmt: skip
    text = Table("t", "T", "", columns, rows, rules=(1,)).to_text(width=60)
    assert max(map(len, text.splitlines())) <= 60
    blocks = text.count("Name")
    assert blocks >= 3
    assert text.count("row 2") == blocks
    assert text.count("1.2345") == 27
    assert [f"col {i}" in text for i in range(9)] == [True] * 9


def test_a_ragged_table_is_refused() -> None:
    with pytest.raises(ValueError, match="1 cells, 2 columns"):
        Table("t", "T", "", (Column("a", "A"), Column("b", "B")), ((Cell("x"),),))
