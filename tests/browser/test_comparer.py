"""The image comparer in a browser: images, scores, line, zoom, keys, jumps."""

from __future__ import annotations

import shutil
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import numpy as np
import pytest
from playwright.sync_api import Page

from tadsr.report.content import ReportContent
from tests.browser.conftest import EVIL, Opener

LEFT, RIGHT = ".stage img.left", ".stage img.right"


def part(name: str) -> str:
    return f'#comparer [data-part="{name}"]'


def line(page: Page) -> float:
    """Where the line stands, in percent of the stage's width."""
    stage, bar = (page.locator(name).bounding_box() for name in (part("stage"), ".stage .bar"))
    assert stage and bar
    return 100 * (bar["x"] + bar["width"] / 2 - stage["x"]) / stage["width"]


def boxes(page: Page) -> np.ndarray:
    found = [page.locator(name).bounding_box() for name in (LEFT, RIGHT)]
    return np.array([[box[key] for key in ("x", "y", "width", "height")] for box in found if box])


def shown_image(page: Page) -> str:
    name = page.locator(part("image")).evaluate("e => e.selectedOptions[0].text")
    assert isinstance(name, str)
    return name


def natural_sizes(page: Page) -> list[list[int]]:
    # Not `wait_for_function`: from its second look on the page's own policy forbids it.
    ready = "[...document.querySelectorAll('.stage img')].every(i => i.hidden || i.complete)"
    for _ in range(600):
        if page.evaluate(ready):
            break
        page.wait_for_timeout(50)
    sizes: list[list[int]] = page.evaluate(
        f"['{LEFT}', '{RIGHT}'].map(n => document.querySelector(n))"
        ".map(i => [i.naturalWidth, i.naturalHeight])"
    )
    return sizes


def deltas(content: ReportContent, dataset: str, metric: str) -> dict[str, float]:
    """full (seed 0) minus bicubic, positive where full is better."""
    sign = 1 if content.metric(metric).higher_is_better else -1
    scores = content.image_scores
    names = [key[3] for key in scores if key[:3] == ("bicubic", -1, dataset) and key[4] == metric]
    return {
        name: sign * (scores["full", 0, dataset, name, metric]
                      - scores["bicubic", -1, dataset, name, metric])
        for name in names
    }  # fmt: skip


def test_keys_move_the_line(look: Opener, page_file: Path) -> None:
    page = look(page_file).page
    assert line(page) == pytest.approx(50, abs=0.5)
    page.locator(part("stage")).focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowLeft")
    assert line(page) == pytest.approx(55, abs=0.5)
    assert page.locator(part("slider")).input_value() == "55"
    page.locator(part("slider")).focus()
    page.keyboard.press("ArrowRight")  # the slider's own step
    assert line(page) == pytest.approx(56, abs=0.5)
    clip = page.locator(".stage .top").evaluate("e => getComputedStyle(e).clipPath")
    assert "44%" in clip


def test_dragging_moves_the_line_and_then_the_enlarged_images(
    look: Opener, page_file: Path
) -> None:
    page = look(page_file).page
    page.locator(part("stage")).scroll_into_view_if_needed()
    stage = page.locator(part("stage")).bounding_box()
    assert stage
    middle = stage["y"] + stage["height"] / 2
    page.mouse.move(stage["x"] + 0.5 * stage["width"], middle)
    page.mouse.down()
    page.mouse.move(stage["x"] + 0.2 * stage["width"], middle)
    page.mouse.up()
    assert line(page) == pytest.approx(20, abs=0.5)
    page.locator('[data-act="zoom-in"]').click()
    before = boxes(page)
    page.mouse.move(stage["x"] + 0.7 * stage["width"], middle)
    page.mouse.down()
    page.mouse.move(stage["x"] + 0.7 * stage["width"] - 30, middle - 20)
    page.mouse.up()
    assert line(page) == pytest.approx(20, abs=0.5)
    moved = boxes(page) - before
    assert np.allclose(moved[:, :2], [[-30, -20]] * 2, atol=1)


def test_zoom_and_pan_are_the_same_on_both_sides(look: Opener, page_file: Path) -> None:
    page = look(page_file).page
    stage = page.locator(part("stage"))
    stage.focus()
    whole = boxes(page)
    assert np.allclose(whole[0], whole[1])
    for _ in range(3):
        page.keyboard.press("+")
    enlarged = boxes(page)
    assert np.allclose(enlarged[0], enlarged[1])
    assert enlarged[0, 2] == pytest.approx(1.25**3 * whole[0, 2], rel=1e-3)
    page.keyboard.press("Shift+ArrowRight")
    moved = boxes(page)
    assert np.allclose(moved[0], moved[1])
    assert moved[0, 0] == pytest.approx(enlarged[0, 0] - 40, abs=0.5)
    page.keyboard.press("-")
    page.keyboard.press("0")
    assert np.allclose(boxes(page), whole)
    stage.hover()
    page.keyboard.down("Control")
    page.mouse.wheel(0, -100)
    page.keyboard.up("Control")
    page.wait_for_timeout(100)
    assert boxes(page)[0, 2] == pytest.approx(1.25 * whole[0, 2], rel=1e-3)


def test_enlarged_images_never_leave_the_stage(look: Opener, page_file: Path) -> None:
    page = look(page_file).page
    page.locator(part("stage")).focus()
    for _ in range(30):
        page.keyboard.press("+")
    for _ in range(5):
        page.keyboard.press("Shift+ArrowUp")
    stage = page.locator(part("stage")).bounding_box()
    box = boxes(page)[0]
    assert stage
    assert box[2] == pytest.approx(16 * stage["width"], rel=0.01)
    assert box[0] <= stage["x"] + 2
    assert box[0] + box[2] >= stage["x"] + stage["width"] - 2


def test_first_image_is_the_best_by_rule_and_keys_step_through(
    look: Opener, page_file: Path, made_up: ReportContent
) -> None:
    page = look(page_file).page
    saved = ["photo-00", "photo-01", EVIL]
    names = sorted(saved)
    start = names.index(shown_image(page))
    page.locator(part("stage")).focus()
    for i in range(1, 4):
        page.keyboard.press("n")
        assert shown_image(page) == names[(start + i) % 3]
        expected = f"{names[(start + i) % 3]} ({(start + i) % 3 + 1} of 3)"
        assert page.locator(part("status")).inner_text().startswith(expected)
    page.keyboard.press("p")
    assert shown_image(page) == names[(start + 2) % 3]
    assert page.locator(part("status")).get_attribute("aria-live") == "polite"


@pytest.mark.parametrize("metric", ["psnr", "lpips"])
def test_jumps_go_to_the_largest_difference_of_the_chosen_two(
    look: Opener, page_file: Path, made_up: ReportContent, metric: str
) -> None:
    page = look(page_file).page
    page.locator(part("metric")).select_option(label=made_up.metric(metric).title)
    gains = {name: gain for name, gain in deltas(made_up, "photos-bicubic", metric).items()
             if name in ("photo-00", "photo-01")}  # fmt: skip
    page.get_by_role("button", name="Best image for the right").click()
    assert shown_image(page) == max(gains, key=lambda name: gains[name])
    page.get_by_role("button", name="Worst image for the right").click()
    assert shown_image(page) == min(gains, key=lambda name: gains[name])
    page.keyboard.press("b")
    assert shown_image(page) == max(gains, key=lambda name: gains[name])
    page.keyboard.press("x")  # swapped sides, so best and worst are swapped too
    page.keyboard.press("b")
    assert shown_image(page) == min(gains, key=lambda name: gains[name])


def test_scores_of_both_and_their_difference(
    look: Opener, page_file: Path, made_up: ReportContent
) -> None:
    page = look(page_file).page
    page.locator(part("image")).select_option(label="photo-01")
    rows = page.locator(part("scores") + " tr")
    lpips = made_up.metric("lpips")
    row = rows.filter(has_text=lpips.title).locator("th, td").all_inner_texts()
    scores = made_up.image_scores
    left = scores["bicubic", -1, "photos-bicubic", "photo-01", "lpips"]
    right = scores["full", 0, "photos-bicubic", "photo-01", "lpips"]
    assert float(row[1]) == pytest.approx(left, abs=1e-4)
    assert float(row[2]) == pytest.approx(right, abs=1e-4)
    assert float(row[3].replace("−", "-")) == pytest.approx(right - left, abs=1e-4)
    assert row[4] == ("right is better" if right < left else "left is better")
    page.locator(part("left")).select_option(label="HR (reference)")
    row = rows.filter(has_text=lpips.title).locator("th, td").all_inner_texts()
    assert (row[1], row[3], row[4]) == ("–", "–", "")


def test_list_of_all_images_is_built_when_opened(look: Opener, page_file: Path) -> None:
    page = look(page_file).page
    ranked = page.locator(part("ranked") + " tr")
    assert ranked.count() == 0
    page.locator(part("ranking") + " > summary").press("Enter")
    ranked.first.wait_for()
    assert ranked.count() == 2  # the third image was never scored
    last = ranked.last.locator("button")
    name = last.inner_text()
    last.press("Enter")
    assert shown_image(page) == name


def test_images_beside_the_page_are_loaded_on_demand(look: Opener, light_file: Path) -> None:
    looked = look(light_file)
    assert natural_sizes(looked.page) == [[160, 128]] * 2
    files = [url for url in looked.requests if "/images/" in url]
    assert len(files) == 2  # of hundreds
    looked.page.locator(part("left")).select_option(label="LR (input)")
    assert natural_sizes(looked.page) == [[40, 32], [160, 128]]
    looked.page.locator(part("image")).select_option(label=EVIL)
    assert natural_sizes(looked.page) == [[40, 32], [160, 128]]
    assert looked.complaints == []


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


def test_images_beside_the_page_are_loaded_from_a_web_server(
    look: Opener, light_file: Path
) -> None:
    handler = partial(Quiet, directory=str(light_file.parent))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        looked = look(f"http://127.0.0.1:{server.server_port}/{light_file.name}")
        looked.page.locator(part("image")).select_option(label=EVIL)
        sizes = natural_sizes(looked.page)
        server.shutdown()
        thread.join()
    assert sizes == [[160, 128]] * 2
    assert looked.complaints == []


def test_a_page_without_its_folder_says_so_in_words(
    look: Opener, light_file: Path, tmp_path: Path
) -> None:
    alone = shutil.copy(light_file, tmp_path / "alone.html")
    page = look(alone).page
    absent = page.locator(part("absent-left"))
    absent.wait_for()
    assert "Left, bicubic: this image is not here" in absent.inner_text()
    assert "images/evaluations/bicubic/photos-bicubic/" in absent.inner_text()
    assert page.locator(f"{LEFT}:visible").count() == 0  # no broken picture
    assert page.locator(part("scores") + " tr").count() > 3


def test_without_images_there_is_no_comparer(look: Opener, without_images: Path) -> None:
    looked = look(without_images)
    assert looked.page.locator("#comparer, #images img").count() == 0
    assert "evaluation.visual_images is 0" in looked.page.locator("#images").inner_text()
    assert looked.complaints == []
