"""What `tadsr verify` finds, as plain data, and the state that its checks share."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from os import cpu_count
from pathlib import Path
from typing import Any, TypeVar

from tadsr.config.sweep import Pick
from tadsr.errors import TadsrError
from tadsr.files import checksum_holds, read_json
from tadsr.plan import Plan

FAILURES = ("wrong", "missing", "outdated")
"""wrong: not what its digest says. missing: not there. outdated: whole, and made with other
settings, or from other things, than those of now."""
REMARKS = ("unchecked", "unknown")
"""unchecked: cannot be told here. unknown: a file that no digest tells of."""


def pick_name(pick: Pick) -> str:
    """How `Audit.contents` calls the settings that a search picked."""
    return f"sweeps/{pick.sweep} {pick.which}"


T = TypeVar("T")
R = TypeVar("R")
Progress = Callable[[str, int, int], None]
"""Called with (stage, done, total)."""


@dataclass(frozen=True)
class Finding:
    """Something that does not match, in one line."""

    word: str
    """One of `FAILURES` and `REMARKS`."""
    stage: str
    path: str
    """From the results folder."""
    found: str
    expected: str = ""
    remedy: str = ""

    @property
    def text(self) -> str:
        """The line that a terminal shows."""
        expected = f", expected {self.expected}" if self.expected else ""
        remedy = f"; {self.remedy}" if self.remedy else ""
        return f"{self.word:9} {self.path}: {self.found}{expected}{remedy}"


@dataclass
class Audit:
    """A verification under way. It writes nothing below the results folder."""

    plan: Plan
    fast: bool = False
    progress: Progress = lambda stage, done, total: None
    findings: list[Finding] = field(default_factory=list)
    counts: dict[str, Counter[str]] = field(default_factory=dict)
    """Stage to what was checked, by unit."""
    contents: dict[str, str] = field(default_factory=dict)
    """Run folder to its content digest, of those whose run card can be relied on."""
    whole: set[str] = field(default_factory=set)
    """Run folders that are finished, undamaged, and of now."""
    diverged: set[str] = field(default_factory=set)
    """Run folders of students that diverged."""
    receipts: dict[str, dict[str, Any]] = field(default_factory=dict)
    """By job, of those that can be relied on."""
    scored: dict[tuple[str, str], str] = field(default_factory=dict)
    """Content of the model, by (model, test set), of scores that belong to the experiment."""
    elsewhere: dict[str, str] = field(default_factory=dict)
    """Models of the user's own whose files are not here, and why."""
    unsealed: Counter[str] = field(default_factory=Counter)
    """Stage to its files from a version that gave them no checksum."""

    def count(self, stage: str, unit: str, number: int = 1) -> None:
        """Note that so many things were checked."""
        self.counts.setdefault(stage, Counter())[unit] += number

    def add(
        self,
        word: str,
        stage: str,
        path: Path | str,
        found: str,
        *,
        expected: str = "",
        remedy: str = "",
    ) -> None:
        """Note a finding; digests are shortened, the path is told from the results folder."""
        place = Path(path)
        if place.is_relative_to(self.plan.root):
            place = place.relative_to(self.plan.root)
        found = " ".join(found.split())
        self.findings.append(
            Finding(word, stage, place.as_posix(), short(found), short(expected), remedy)
        )

    def check_links(self) -> list[Path]:
        """Note the symbolic links by which other folders would be read as part of this one."""
        root = self.plan.root.resolve()
        found = [path for place, folders, files in os.walk(root)
                 for path in (Path(place, name) for name in (*folders, *files))
                 if path.is_symlink() and not path.resolve().is_relative_to(root)]  # fmt: skip
        for path in sorted(found):
            self.add("unchecked", "experiment", path.relative_to(root),
                     f"is a link to {path.resolve()}, out of the results folder")  # fmt: skip
        return found

    def sound(self, *stages: str) -> bool:
        """Whether nothing was found wrong, missing or outdated in these stages."""
        return not any(f.stage in stages and f.word in FAILURES for f in self.findings)

    @property
    def ok(self) -> bool:
        """Whether nothing was found wrong, missing or outdated."""
        return not any(finding.word in FAILURES for finding in self.findings)

    def read_sealed(self, stage: str, path: Path, remedy: str) -> dict[str, Any] | None:
        """A JSON file that is what its own checksum says; otherwise a finding, and None."""
        try:
            value = read_json(path)
        except TadsrError:
            value = None
        if not isinstance(value, dict):
            self.add("wrong", stage, path, "not valid JSON", remedy=remedy)
            return None
        holds = checksum_holds(value)
        if holds is None and "inputs" in value:  # all receipts that note these have a checksum
            holds = False
        if holds is False:
            self.add("wrong", stage, path, "not what its checksum says", remedy=remedy)
            return None
        if holds is None:
            self.unsealed[stage] += 1
        return value

    def each(self, stage: str, work: Callable[[T], R], items: Iterable[T]) -> Iterator[tuple[T, R]]:
        """`work` on all items at once, on all cores; results in order."""
        todo = list(items)
        with ThreadPoolExecutor(cpu_count()) as pool:
            for done, (item, result) in enumerate(
                zip(todo, pool.map(work, todo), strict=True), start=1
            ):
                self.progress(stage, done, len(todo))
                yield item, result


def short(text: str) -> str:
    """A digest by its first 12 digits; any other text as it is."""
    is_digest = len(text) in (16, 64) and set(text) <= set("0123456789abcdef")
    return text[:12] if is_digest else text
