"""One table, written as Markdown, CSV, HTML and terminal text; as LaTeX by `tadsr.report.latex`."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from markupsafe import Markup, escape

Tone = Literal["", "good", "bad", "warn", "muted"]

GAP = "–"
"""What stands where a number could not be had; a note says why."""


@dataclass(frozen=True)
class Column:
    """A column: `key` in CSV, `title` with `arrow` (the better direction) elsewhere."""

    key: str
    title: str
    arrow: str = ""
    numeric: bool = True
    marks: str = ""
    """Footnote marks behind the title, such as `†`."""


@dataclass(frozen=True)
class Cell:
    """One entry: the text shown, and the full-precision number it stands for."""

    text: str
    value: float | None = None
    half_width: str = ""
    """Half of the interval as shown, without `±`."""
    half_value: float | None = None
    bounds: tuple[float, float] | None = None
    """Of an interval that is the entry, `low to high`."""
    rank: int = 0
    """1 best and 2 second best of its column; 0 neither."""
    marks: str = ""
    tone: Tone = ""


@dataclass(frozen=True)
class Table:
    """Rows of cells under columns; the first column names the row.

    `rules` are the indices of the rows before which a line is drawn.
    """

    name: str
    title: str
    caption: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    notes: tuple[str, ...] = ()
    rules: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        for row in self.rows:
            if len(row) != len(self.columns):
                raise ValueError(
                    f"table {self.name}: {len(row)} cells, {len(self.columns)} columns"
                )

    def to_markdown(self) -> str:
        """GitHub Markdown: best bold, second in italics (Markdown has no underline)."""
        caption = self.caption.replace("underline the second", "italics the second")
        lines = [f"**{as_markdown(self.title)}.** {as_markdown(caption)}", ""]
        lines.append(_pipes(as_markdown(heading(column)) for column in self.columns))
        lines.append(_pipes("---:" if column.numeric else "---" for column in self.columns))
        for row in self.rows:
            lines.append(_pipes(_markdown_cell(cell) for cell in row))
        lines += ["", *(f"- {as_markdown(note)}" for note in self.notes)]
        return "\n".join(lines).rstrip() + "\n"

    def to_csv(self) -> str:
        """Full-precision numbers; a column with intervals is followed by its half widths.

        A column of intervals becomes two, of their ends.
        """
        keys: list[str] = []
        texts: list[list[str]] = [[] for _ in self.rows]
        for i, column in enumerate(self.columns):
            cells = [row[i] for row in self.rows]
            parts = [(column.key, [_csv_value(cell) for cell in cells])]
            if any(cell.bounds for cell in cells):
                ends = [cell.bounds or (None, None) for cell in cells]
                parts = [(f"{column.key}_{name}", [_csv_number(pair[side]) for pair in ends])
                         for side, name in enumerate(("low", "high"))]  # fmt: skip
            elif any(cell.half_value is not None for cell in cells):
                halves = [_csv_number(cell.half_value) for cell in cells]
                parts.append((f"{column.key}_half_width", halves))
            for key, values in parts:
                keys.append(key)
                for line, value in zip(texts, values, strict=True):
                    line.append(value)
        stream = io.StringIO()
        csv.writer(stream, lineterminator="\n").writerows([keys, *texts])
        return stream.getvalue()

    def to_html(self) -> Markup:
        """A `table` element with scopes and sort keys; every text is escaped."""
        head = Markup("").join(_html_heading(column) for column in self.columns)
        body = Markup("").join(
            self._html_row(row, ruled=index in self.rules and index > 0)
            for index, row in enumerate(self.rows)
        )
        return Markup(
            '<table id="table-{}"><thead><tr>{}</tr></thead><tbody>{}</tbody></table>'
        ).format(self.name, head, body)

    def _html_row(self, row: tuple[Cell, ...], *, ruled: bool) -> Markup:
        cells = [Markup('<th scope="row">{}</th>').format(_html_cell(row[0]))]
        for cell, column in zip(row[1:], self.columns[1:], strict=True):
            classes = " ".join(part for part in ("n" if column.numeric else "", cell.tone) if part)
            key = cell.text if cell.value is None else repr(cell.value)
            cells.append(
                Markup('<td class="{}" data-key="{}">{}</td>').format(
                    classes, key, _html_cell(cell)
                )
            )
        opening = Markup('<tr class="ruled">') if ruled else Markup("<tr>")
        return opening + Markup("").join(cells) + Markup("</tr>")

    def to_text(self, width: int = 100) -> str:
        """Plain text; columns that do not fit into `width` follow in further blocks."""
        texts = [[heading(column) for column in self.columns]]
        texts += [[_plain_cell(cell) for cell in row] for row in self.rows]
        widths = [max(len(line[i]) for line in texts) for i in range(len(self.columns))]
        lines = [self.title]
        for block in _blocks(widths, width):
            lines.append("")
            dashes = "-" * len(self._text_line(texts[0], block, widths, pad=True))
            for index, line in enumerate(texts):
                if index == 1 or (index > 1 and index - 1 in self.rules):
                    lines.append(dashes)
                lines.append(self._text_line(line, block, widths))
        lines += ["", *self.notes] if self.notes else []
        return "\n".join(lines) + "\n"

    def _text_line(
        self, line: list[str], block: list[int], widths: list[int], *, pad: bool = False
    ) -> str:
        parts = [
            line[i].rjust(widths[i]) if self.columns[i].numeric else line[i].ljust(widths[i])
            for i in block
        ]
        joined = "  ".join(parts)
        return joined if pad else joined.rstrip()


def _blocks(widths: list[int], limit: int) -> list[list[int]]:
    """Column indices cut into blocks no wider than `limit`; each begins with column 0."""
    blocks, current, used = [], [0], widths[0]
    for index in range(1, len(widths)):
        if used + 2 + widths[index] > limit and len(current) > 1:
            blocks.append(current)
            current, used = [0], widths[0]
        current.append(index)
        used += 2 + widths[index]
    return [*blocks, current]


def heading(column: Column) -> str:
    """A column's title with its marks and its arrow."""
    return f"{column.title}{column.marks}" + (f" {column.arrow}" if column.arrow else "")


def _plain_cell(cell: Cell) -> str:
    mark = {1: "*", 2: "'"}.get(cell.rank, "")
    interval = f" ±{cell.half_width}" if cell.half_width else ""
    return f"{mark}{cell.text}{interval}{cell.marks}"


JOINT = re.compile(r"(?<=[A-Za-z])([_./:-]+)(?=[A-Za-z])")
"""Where a name may break between lines."""


def breakable(text: str) -> Markup:
    """`text` escaped, with places to break inside of names, which else break within a word."""
    parts = JOINT.split(text)  # words and the joints between them, in turn
    return Markup("").join(
        escape(part) + Markup("<wbr>") if at % 2 else escape(part) for at, part in enumerate(parts)
    )


FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""How text begins that spreadsheets calculate."""
NUMBER = re.compile(r"[-+]?[\d.]+(e[-+]?\d+)?")


def _csv_number(value: float | None) -> str:
    return "" if value is None else repr(value)


def _csv_value(cell: Cell) -> str:
    if cell.value is not None:
        return repr(cell.value)
    text = "" if cell.text == GAP else cell.text
    # A spreadsheet would take it for a formula, and names may come from outside.
    return f"'{text}" if text.startswith(FORMULA) and not NUMBER.fullmatch(text) else text


def _pipes(parts: Iterable[str]) -> str:
    return "| " + " | ".join(parts) + " |"


def as_markdown(text: str) -> str:
    """`text` on one line, with every mark of Markdown and HTML escaped."""
    for character in "\\`*_[]<>|":
        text = text.replace(character, "\\" + character)
    return text.replace("\n", " ")


def _markdown_cell(cell: Cell) -> str:
    text = as_markdown(cell.text)
    text = {1: f"**{text}**", 2: f"*{text}*"}.get(cell.rank, text)
    interval = f" ± {cell.half_width}" if cell.half_width else ""
    return text + interval + cell.marks


def _html_heading(column: Column) -> Markup:
    better = {"↑": "higher is better", "↓": "lower is better"}.get(column.arrow, "")
    arrow = Markup("")
    if column.arrow:
        arrow = Markup(' <span class="arrow" role="img" aria-label="{}">{}</span>').format(
            better, column.arrow
        )
    marks = Markup("<sup>{}</sup>").format(column.marks) if column.marks else Markup("")
    return Markup('<th scope="col" class="{}">{}{}{}</th>').format(
        "n" if column.numeric else "", column.title, marks, arrow
    )


def _html_cell(cell: Cell) -> Markup:
    text = breakable(cell.text) if cell.value is None else escape(cell.text)
    if cell.rank:
        text = Markup("<{0}>{1}</{0}>").format({1: "strong", 2: "u"}[cell.rank], text)
    if cell.half_width:
        text += Markup(' <span class="ci">± {}</span>').format(cell.half_width)
    return text + (Markup("<sup>{}</sup>").format(cell.marks) if cell.marks else Markup(""))
