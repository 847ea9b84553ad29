"""Pictures whose file names mean harm, all the way from a folder to the page and the tables."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tadsr.data.manifest import read_manifest
from tests.commands.whole import make_whole

NAMES = [
    '"><script>alert(1)<', "' onerror='alert(2)", "<!--<script>", "a\nb", "$(touch pwned)",
    "`touch pwned`;touch pwned", "=cmd|' !A0", "a..b", "-rf", "{x}", "%s%n", "a\\b", "&lt;b&gt;",
    r"\input{x}",
]  # fmt: skip


pytestmark = pytest.mark.slow


class Page(HTMLParser):
    """The scripts of a page, its attributes that run code, and the text of its JSON."""

    def __init__(self) -> None:
        super().__init__()
        self.scripts = 0
        self.running: list[str] = []
        self.loads: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        values = dict(attributes)
        self.scripts += tag == "script" and values.get("type") != "application/json"
        self.running += [name for name in values if name.startswith("on")]
        self.loads += [values[name] or "" for name in ("src", "href") if name in values]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Results of an experiment on pictures of such names."""
    folder = tmp_path_factory.mktemp("names")
    (folder / "pictures").mkdir()
    chance = np.random.default_rng(0)
    for name in NAMES:
        pixels = chance.integers(0, 255, (32, 32, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / "pictures" / f"{name}.png")
    sets = f"{{theirs: {{kind: folder, path: '{folder}/pictures', degradation: bicubic}}}}"
    return make_whole(folder, f"data.test={sets}", "primary=[]", "seeds=[0]",
                      "variants={full: {}}", "evaluation.models=[bicubic]").root  # fmt: skip


def test_such_pictures_are_pictures(root: Path) -> None:
    assert {*read_manifest(root / "data" / "theirs")["image"]} == {*NAMES}
    assert len(list((root / "evaluations" / "bicubic" / "theirs").glob("*.png"))) == len(NAMES)
    assert not list(root.parent.parent.rglob("pwned"))


def test_no_name_becomes_a_part_of_the_page(root: Path) -> None:
    text = (root / "report" / "index.html").read_text()
    assert "alert(1)" in text and "alert(2)" in text  # they are shown
    page = Page()
    page.feed(text)
    ours = text.count("<script>")
    assert page.scripts == ours <= 2
    assert page.running == []
    assert all(
        re.match(r"(#|data:|images/|https://|tables/|figures/)", load) for load in page.loads
    )
    assert "<script>alert(1)" not in text and "<!--<script>" not in text


def test_no_name_breaks_a_line_of_a_table_or_runs_in_it(root: Path) -> None:
    for path in (root / "report" / "tables").glob("*.csv"):
        cells = [cell for line in path.read_text().splitlines() for cell in line.split(",")]
        assert not [cell for cell in cells if cell.startswith(("=", "@", "+"))], path
    for path in (root / "report" / "tables").glob("*.tex"):
        assert r"\input" not in path.read_text()
