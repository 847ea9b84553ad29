"""The page as a whole in a browser: silent, narrow, dark, in a sandbox, with hostile names."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest

from tests.browser.conftest import EVIL, Opener

OPEN_ALL = "document.querySelectorAll('details').forEach(d => { d.open = true; })"

# Text whose contrast with what lies behind it is below WCAG AA (4.5, or 3 for large text).
PALE = """() => {
  const channel = (v) => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
  const light = (c) => 0.2126 * channel(c[0]) + 0.7152 * channel(c[1]) + 0.0722 * channel(c[2]);
  const parse = (text) => text.match(/[\\d.]+/g).map(Number);
  const behind = (e) => {
    for (; e; e = e.parentElement) {
      const c = parse(getComputedStyle(e).backgroundColor);
      if (c.length < 4 || c[3] > 0) return c;
    }
    return [255, 255, 255];
  };
  const pale = [];
  for (const e of document.querySelectorAll("body *")) {
    const own = [...e.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim());
    if (!own || !e.getClientRects().length || e.closest("script, style, option")) continue;
    const style = getComputedStyle(e);
    const ink = parse(e.closest("svg") ? style.fill : style.color);
    const [a, b] = [light(ink), light(behind(e))].sort((x, y) => y - x);
    const large = parseFloat(style.fontSize) >= 24;
    const opacity = parseFloat(style.opacity);
    if ((a + 0.05) / (b + 0.05) < (large ? 3 : 4.5) && opacity === 1)
      pale.push(`${e.tagName} ${e.className} ${e.textContent.slice(0, 40)}: ${ink}`);
  }
  return [...new Set(pale)];
}"""

NAMELESS = """() => [...document.querySelectorAll("button, select, input, a[href], summary")]
  .filter((e) => e.getClientRects().length)
  .filter((e) => !(e.textContent.trim() && !e.matches("select, input"))
    && !e.getAttribute("aria-label") && !e.labels?.length)
  .map((e) => e.outerHTML.slice(0, 80))"""


def test_loads_without_complaint_and_without_network(look: Opener, page_file: Path) -> None:
    looked = look(page_file)
    looked.page.evaluate(OPEN_ALL)
    looked.page.wait_for_timeout(200)
    assert looked.complaints == []
    assert [u for u in looked.requests if not u.startswith(("file:", "data:"))] == []
    assert looked.requests[0] == page_file.as_uri()


def test_policy_lets_nothing_in(look: Opener, page_file: Path) -> None:
    """Neither other scripts nor connections: also what might get in through a name."""
    page = look(page_file).page
    page.evaluate("() => { const s = document.createElement('script');"
                  "s.textContent = 'window.broken = 1'; document.body.append(s); }")  # fmt: skip
    page.evaluate("() => { const d = document.createElement('div');"
                  "d.innerHTML = '<img src=x onerror=\"window.broken = 1\">';"
                  "document.body.append(d); }")  # fmt: skip
    page.wait_for_timeout(200)
    assert page.evaluate("window.broken") is None
    reached = page.evaluate("() => fetch('http://127.0.0.1:9/').then(() => 'yes', () => 'no')")
    assert reached == "no"


@pytest.mark.parametrize("width", [360, 390, 768])
def test_narrow_pages_scroll_down_only(look: Opener, page_file: Path, width: int) -> None:
    looked = look(page_file, viewport={"width": width, "height": 800})
    looked.page.evaluate(OPEN_ALL)
    looked.page.wait_for_timeout(200)
    assert looked.page.evaluate("document.documentElement.scrollWidth") <= width
    looked.page.locator('#comparer [data-part="stage"]').focus()
    looked.page.keyboard.press("n")
    assert looked.page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_has_contrast(look: Opener, page_file: Path, scheme: str) -> None:
    page = look(page_file, color_scheme=scheme).page
    page.evaluate(OPEN_ALL)
    back = page.evaluate("getComputedStyle(document.body).backgroundColor")
    dark = sum(int(part) for part in back.strip("rgb()").split(",")) < 3 * 64
    assert dark == (scheme == "dark")
    assert page.evaluate(PALE) == []


def test_everything_that_acts_has_a_name(look: Opener, page_file: Path) -> None:
    page = look(page_file).page
    page.evaluate(OPEN_ALL)
    page.wait_for_timeout(100)
    assert page.evaluate(NAMELESS) == []


def test_landmarks_headings_and_focus(look: Opener, page_file: Path) -> None:
    page = look(page_file).page
    for landmark in ("header", "main", "nav[aria-label]"):
        assert page.locator(landmark).count() == 1
    levels = page.evaluate(
        "[...document.querySelectorAll('h1, h2, h3, h4, h5')].map(h => Number(h.tagName[1]))"
    )
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(b - a <= 1 for a, b in pairwise(levels))
    unlabelled = page.evaluate(
        "[...document.querySelectorAll('section')].filter(s =>"
        "!document.getElementById(s.getAttribute('aria-labelledby'))).map(s => s.id)"
    )
    assert unlabelled == []
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the report"
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    style = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert style == "solid"
    assert page.evaluate("document.querySelector('main').contains(document.activeElement)")


def test_hostile_names_are_text(look: Opener, page_file: Path) -> None:
    looked = look(page_file)
    names = looked.page.locator('#comparer [data-part="image"] option').all_inner_texts()
    assert EVIL in [name.strip() for name in names]
    assert looked.page.locator('img[src="x"]').count() == 0
    assert looked.complaints == []


@pytest.mark.parametrize("kind", ["srcdoc", "blob"])
def test_works_in_a_sandboxed_frame(
    look: Opener, page_file: Path, tmp_path: Path, kind: str
) -> None:
    """As trackers show artefacts: scripts may run, and the page has no origin and no storage."""
    host = tmp_path / "host.html"
    host.write_text("<!doctype html><title>host</title>")
    looked = look(host)
    give = ("f.srcdoc = text" if kind == "srcdoc" else
            "f.src = URL.createObjectURL(new Blob([text], {type: 'text/html'}))")  # fmt: skip
    looked.page.evaluate(
        "(text) => { const f = document.createElement('iframe');"
        "f.sandbox = 'allow-scripts'; f.style = 'width: 1000px; height: 800px';"
        f"{give}; document.body.append(f); }}",
        page_file.read_text(),
    )
    frame = looked.page.frame_locator("iframe")
    frame.locator("#comparer").wait_for()
    head = frame.locator("#table-main-photos-bicubic thead th").nth(2)
    head.locator("button").click()
    assert head.get_attribute("aria-sort") == "ascending"
    frame.locator('#comparer [data-part="stage"]').focus()
    looked.page.keyboard.press("n")
    looked.page.keyboard.press("ArrowRight")
    assert frame.locator('#comparer [data-part="slider"]').input_value() == "55"
    width = frame.locator(".stage img.right").evaluate("i => i.decode().then(() => i.naturalWidth)")
    assert width == 160
    frame.locator("nav a", has_text="Reproduce").click()  # a section, in a page without an address
    host_box = looked.page.locator("iframe").bounding_box()
    section = frame.locator("#reproduce").bounding_box()
    assert host_box
    assert section
    assert host_box["y"] - 10 <= section["y"] < host_box["y"] + 800
    assert looked.complaints == []


def test_a_sandboxed_frame_names_images_that_it_cannot_load(
    look: Opener, light_file: Path, tmp_path: Path
) -> None:
    host = tmp_path / "host.html"
    host.write_text("<!doctype html><title>host</title>")
    looked = look(host)
    looked.page.evaluate(
        "(text) => { const f = document.createElement('iframe'); f.sandbox = 'allow-scripts';"
        "f.src = URL.createObjectURL(new Blob([text], {type: 'text/html'}));"
        "document.body.append(f); }",
        light_file.read_text(),
    )
    frame = looked.page.frame_locator("iframe")
    absent = frame.locator('#comparer [data-part="absent-right"]')
    absent.wait_for()
    assert "this image is not here" in absent.inner_text()
    assert looked.complaints == []
