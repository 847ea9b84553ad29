r"""A table as LaTeX: booktabs, no wider than the line, over several pages where it is long.

The text compiles with pdfLaTeX and the packages array, booktabs, graphicx and longtable, which
every distribution has. Captions and notes stand with the table.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass

from tadsr.report.table import Cell, Table, heading

PACKAGES = ("array", "booktabs", "graphicx", "longtable")
"""What tables and figures need in a document's preamble."""

SIZES = (("footnotesize", 80), ("scriptsize", 90), ("tiny", 104))
r"""Sizes of type, and about how many characters of each a line of a one-column article holds."""
GAP_BETWEEN = 2
"""Characters of white between two columns."""
WRAPPED = 24
"""Text columns up to this many characters stay on one line."""
NARROWEST = 20
"""Characters that a broken column gets at least: a smaller type is better than narrower columns."""
LONG = 38
"""Lines of text from which on a table is set over several pages: floats cannot break."""
WORD = 12
"""Characters of a word up to which it needs no place to break."""
DIGITS = 8
"""Of a digest between places to break."""
_SMALLER = {"footnotesize": r"\scriptsize ", "scriptsize": r"\tiny ", "tiny": ""}

_LATEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_",
    "{": r"\{", "}": r"\}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
    "<": r"$<$", ">": r"$>$", "|": r"\textbar{}", "`": r"\textasciigrave{}", "\n": " ",
    "[": "{[}", "]": "{]}", "*": "{*}",  # after \\ they would be its arguments
    "↑": r"$\uparrow$", "↓": r"$\downarrow$", "→": r"$\rightarrow$", "±": r"$\pm$", "−": "$-$",
    "–": "--", "—": "---", "×": r"$\times$", "·": r"$\cdot$", "≥": r"$\geq$", "≤": r"$\leq$",
    "≈": r"$\approx$", "†": r"$^\dagger$", "‡": r"$^\ddagger$", "§": r"\S{}", "Δ": r"$\Delta$",
    "µ": r"$\mu$", "μ": r"$\mu$", "κ": r"$\kappa$", "σ": r"$\sigma$", "²": "$^2$", "³": "$^3$",
    "…": r"\dots{}", "’": "'", "‘": "{`}", "“": "``", "”": "''",
}  # fmt: skip
_LETTERS = re.compile(r"[\x20-\x7eÀ-ÖØ-öø-ÿ]")
_NOT_IN_OT1 = "ÐðÞþ"


def latex_escape(text: str) -> str:
    """`text` as LaTeX shows it literally.

    A character that pdfLaTeX's standard fonts lack stands there as `[U+4E2D]`: to be seen and
    replaced, and no error.
    """
    # "--" and "''" would be joined into one sign.
    apart = re.sub(r"-(?=-)|'(?=')", "\\g<0>\0", unicodedata.normalize("NFC", text))
    return "".join(_character(character) for character in apart)


def _character(character: str) -> str:
    if character == "\0":
        return "{}"
    if character in _LATEX:
        return _LATEX[character]
    if _LETTERS.match(character) and character not in _NOT_IN_OT1:
        return character
    return f"{{[}}U+{ord(character):04X}{{]}}"


@dataclass(frozen=True)
class _Layout:
    """How a table fits on a line: its type, and the share of the line of each broken column."""

    size: str
    shares: Mapping[int, float]
    lines: int
    """Lines of text of all rows, about."""


def latex_table(table: Table) -> str:
    """A `table` environment, or a `longtable` where it would not fit on a page.

    Best bold, second underlined, notes below. A float that is wider than the line is shrunk.
    """
    layout = _layout(table)
    spec = "".join(
        rf">{{\raggedright\arraybackslash}}p{{{layout.shares[i]:.2f}\linewidth}}"
        if i in layout.shares
        else "r" if column.numeric else "l"
        for i, column in enumerate(table.columns)
    )  # fmt: skip
    head = " & ".join(latex_escape(heading(column)) for column in table.columns) + r" \\"
    body: list[str] = []
    for index, row in enumerate(table.rows):
        if index in table.rules and index:
            body.append(r"\midrule")
        cells = (_cell(cell, layout, i) for i, cell in enumerate(row))
        body.append(" & ".join(cells) + r" \\")
    setting = _over_pages if layout.lines > LONG else _float
    return "\n".join(setting(table, layout.size, spec, head, body)) + "\n"


def _caption(table: Table) -> str:
    text = latex_escape(f"{table.title}. {table.caption}".strip())
    return rf"\caption{{{text}}}\label{{tab:{table.name}}}"


def _notes(table: Table) -> list[str]:
    notes = [rf"\par {latex_prose(note)}" for note in table.notes]
    return [r"{\footnotesize\raggedright\smallskip", *notes, r"\par}"] if notes else []


def _float(table: Table, size: str, spec: str, head: str, body: list[str]) -> list[str]:
    # Two columns wide where it must be: a starred float in a one-column paper is harmless.
    name = "table*" if len(table.columns) > 6 else "table"
    return [
        r"% needs \usepackage{array,booktabs,graphicx}",
        rf"\begin{{{name}}}[tp]",
        r"\centering",
        _caption(table) + r"\par\smallskip",
        rf"\{size}\setlength{{\tabcolsep}}{{4pt}}",
        rf"\sbox0{{\begin{{tabular}}{{{spec}}}",
        r"\toprule",
        head,
        r"\midrule",
        *body,
        r"\bottomrule",
        r"\end{tabular}}%",
        r"\ifdim\wd0>\linewidth\resizebox{\linewidth}{!}{\usebox0}\else\usebox0\fi",
        *(["", *_notes(table)] if table.notes else []),
        rf"\end{{{name}}}",
    ]


def _over_pages(table: Table, size: str, spec: str, head: str, body: list[str]) -> list[str]:
    return [
        r"% needs \usepackage{array,booktabs,longtable}, and one column: \onecolumn before it",
        rf"\begingroup\{size}\setlength{{\tabcolsep}}{{3pt}}",
        # What the smallest type cannot hold hangs equally into both margins.
        r"\setlength{\LTleft}{0pt plus 1fill minus 1fill}\setlength{\LTright}{\LTleft}",
        rf"\begin{{longtable}}{{{spec}}}",
        _caption(table) + r" \\",
        r"\toprule", head, r"\midrule", r"\endfirsthead",
        r"\toprule", head, r"\midrule", r"\endhead",
        r"\bottomrule", r"\endfoot",
        *body,
        r"\end{longtable}",
        *_notes(table),
        r"\endgroup",
    ]  # fmt: skip


def _lengths(table: Table) -> list[int]:
    """Characters of the longest entry of each column."""
    columns = zip(*table.rows, strict=True) if table.rows else [()] * len(table.columns)
    return [
        max([len(heading(column)), *(_length(cell) for cell in cells)])
        for column, cells in zip(table.columns, columns, strict=True)
    ]


def _length(cell: Cell) -> int:
    interval = 3 + len(cell.half_width) if cell.half_width else 0
    return len(cell.text) + interval + len(cell.marks)


def _layout(table: Table) -> _Layout:
    """The largest type in which the table fits on a line, long texts broken into lines."""
    fitting = (
        (size, line)
        for size, line in SIZES
        if sum(_widths(table, line)) + GAP_BETWEEN * len(table.columns) <= line
    )
    size, line = next(fitting, SIZES[-1])
    widths = _widths(table, line)
    lengths = _lengths(table)
    broken = {i: width for i, width in enumerate(widths) if width < lengths[i]}
    lines = sum(
        max([1, *(math.ceil(_length(row[i]) / (width - 2)) for i, width in broken.items())])
        for row in table.rows
    )
    return _Layout(size, {i: width / line for i, width in broken.items()}, lines)


def _widths(table: Table, line: int) -> list[int]:
    """Characters given to each column where a line has so many: long texts are broken."""
    lengths = _lengths(table)
    room = line - GAP_BETWEEN * len(lengths)
    if sum(lengths) <= room:
        return lengths
    wide = [i for i, length in enumerate(lengths)
            if length > WRAPPED and not table.columns[i].numeric]  # fmt: skip
    room -= sum(length for i, length in enumerate(lengths) if i not in wide)
    roots = {i: math.sqrt(lengths[i]) for i in wide}  # the longest must not take all of it
    for i in wide:
        share = int(room * roots[i] / sum(roots.values()))
        lengths[i] = min(lengths[i], max(NARROWEST, share))
    return lengths


def _cell(cell: Cell, layout: _Layout, column: int) -> str:
    text = latex_prose(cell.text) if column in layout.shares else latex_escape(cell.text)
    text = {1: rf"\textbf{{{text}}}", 2: rf"\underline{{{text}}}"}.get(cell.rank, text)
    smaller = _SMALLER[layout.size]
    interval = rf" {{{smaller}$\pm$ {latex_escape(cell.half_width)}}}" if cell.half_width else ""
    return text + interval + latex_escape(cell.marks)


def latex_prose(text: str) -> str:
    """`text` literally, with places to break in words too long for a line, as digests are."""
    return " ".join(_word(word) for word in text.split(" "))


def _word(word: str) -> str:
    if len(word) <= WORD:
        return latex_escape(word)
    parts = re.findall(r"[^_/.=:]+[_/.=:]*|[_/.=:]+", word)
    pieces = (piece for part in parts for piece in _digits(part))
    return r"\allowbreak{}".join(latex_escape(piece) for piece in pieces)


def _digits(part: str) -> list[str]:
    """A long run with digits in it, as digests are, in pieces; words are left to TeX."""
    if len(part) <= 2 * DIGITS or not re.search(r"\d", part):
        return [part]
    return [part[i : i + DIGITS] for i in range(0, len(part), DIGITS)]
