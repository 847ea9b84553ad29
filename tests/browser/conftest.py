"""A headless Chromium, and pages of made-up results for it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from tadsr.report import build_report, html
from tadsr.report.content import ReportContent, gather
from tadsr.report.images import image_sets, link_images
from tests.report.conftest import make_results

NAMES = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome")
FLAGS = ("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
         "--disable-background-networking", "--disable-component-update",
         "--disable-sync")  # fmt: skip
EVIL = "a#b?c%20d <img src=x onerror=alert(1)> \"&'"


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Chromium of this machine: `TADSR_CHROMIUM`, or one of the usual names."""
    found = os.environ.get("TADSR_CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        pytest.skip(f"no {' or '.join(NAMES)} here, and TADSR_CHROMIUM is not set: "
                    "the page is not looked at in a browser")  # fmt: skip
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=found, args=list(FLAGS))
        yield opened
        opened.close()


@dataclass
class Looked:
    """An open page and what went wrong on it."""

    page: Page
    complaints: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)


Opener = Callable[..., Looked]


@pytest.fixture
def look(browser: Browser) -> Iterator[Opener]:
    """Opens a file or address in a context of its own; keywords as of a Playwright context."""
    contexts = []

    def opener(where: Path | str, **options: object) -> Looked:
        usual = {"viewport": {"width": 1200, "height": 900}, "reduced_motion": "reduce"}
        context = browser.new_context(**{**usual, **options})  # type: ignore[arg-type]
        contexts.append(context)
        looked = Looked(context.new_page())
        looked.page.on("console", lambda message: looked.complaints.append(message.text))
        looked.page.on("pageerror", lambda error: looked.complaints.append(str(error)))
        looked.page.on("request", lambda request: looked.requests.append(request.url))
        looked.page.on("dialog", lambda dialog: looked.complaints.append(dialog.message))
        looked.page.goto(where if isinstance(where, str) else where.as_uri())
        return looked

    yield opener
    for context in contexts:
        context.close()


@pytest.fixture(scope="session")
def made_up(tmp_path_factory: pytest.TempPathFactory) -> ReportContent:
    """Results with one image of a name that means something to addresses, HTML and shells."""
    root = tmp_path_factory.mktemp("results") / "synthetic"
    experiment = make_results(root)
    for path in [*(root / "data").rglob("photo-02.png"),
                 *(root / "evaluations").rglob("photo-02.png")]:  # fmt: skip
        path.rename(path.with_name(f"{EVIL}.png"))
    build_report(experiment, root)
    return gather(experiment, root)


@pytest.fixture(scope="session")
def page_file(made_up: ReportContent) -> Path:
    """The report, all images inside."""
    return made_up.root / "report" / "index.html"


@pytest.fixture(scope="session")
def light_file(made_up: ReportContent) -> Path:
    """The same report with a limit of size that leaves all images beside it; no figures."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(html, "PAGE_LIMIT", 0)
        sets = image_sets(made_up)
        link_images(made_up.root, sets)
        text = html.render(made_up, html.all_tables(made_up), [], [], sets)
    path = made_up.root / "report" / "light.html"
    path.write_text(text)
    return path


@pytest.fixture(scope="session")
def without_images(made_up: ReportContent, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page of an experiment whose images may not be passed on."""
    evaluation = made_up.experiment.evaluation.model_copy(update={"visual_images": 0})
    silent = replace(made_up, experiment=made_up.experiment.model_copy(
        update={"evaluation": evaluation}))  # fmt: skip
    path = tmp_path_factory.mktemp("silent") / "index.html"
    path.write_text(html.render(silent, html.all_tables(silent), [], [], image_sets(silent)))
    return path
