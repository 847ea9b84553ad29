"""Every relative link of the documentation leads to a file of the repository."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY

PAGES = [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").rglob("*.md"))]


def tracked() -> set[str]:
    listing = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=REPOSITORY,
                             capture_output=True, text=True, check=False)  # fmt: skip
    if listing.returncode != 0:
        pytest.skip("not a git checkout: what belongs to the repository is not known")
    files = listing.stdout.splitlines()
    return {*files, *(str(folder) for file in files for folder in Path(file).parents)}


def links(page: Path) -> list[str]:
    """Targets of relative links outside of code blocks, without the part after #."""
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.S | re.M)
    text = re.sub(r"`[^`\n]*`", "", text)
    found = re.findall(r"\]\(([^)\s]+)\)", text)
    return [re.sub("#.*", "", link) for link in found if not re.match(r"[a-z]+:|#", link)]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    known = tracked()
    broken = []
    for link in links(page):
        target = (page.parent / link).resolve()
        place = target.relative_to(REPOSITORY).as_posix()
        if place not in known:
            broken.append(link)
    assert not broken, f"{page.name} links to what is not in the repository: {broken}"


def test_links_are_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("[a](b.md#c) [w](https://x) `[n](no.md)`\n```\n[n](no.md)\n```\n![p](i/p.png)")
    assert links(page) == ["b.md", "i/p.png"]
