"""What killed processes left in a results folder: locks, interrupted runs, temporary files."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from tadsr.commands.checkup.findings import Finding
from tadsr.files import leftovers as temporaries
from tadsr.files import read_json
from tadsr.locks import is_locked, lock_owner
from tadsr.plan import Plan
from tadsr.runs.folder import CARD, lock_path


def leftovers(plan: Plan) -> Iterator[Finding]:
    """Findings about `plan.root`; none of it needs mending by hand, unless it says so."""
    if not plan.root.is_dir():
        yield Finding("results", "note", f"{plan.root} does not exist yet; tadsr run makes it")
        return
    yield from _locks(plan.root)
    yield from _interrupted(plan.root)
    yield from _temporary(plan.root)
    yield from _snakemake(Path.cwd())


def _locks(root: Path) -> Iterator[Finding]:
    held = [path for path in sorted(root.rglob("*.lock")) if is_locked(path)]
    for path in held:
        holder = path.read_text(errors="replace").strip() or "another process"
        yield Finding("locks", "note", f"{path.relative_to(root)} is held by {holder}",
                      _how_to_end(holder))  # fmt: skip
    if not held:
        yield Finding("locks", "ok", "none is held; a dead process holds none")


def _how_to_end(holder: str) -> str:
    """A lock lives as long as its process: say where that is."""
    owner = lock_owner(holder)
    if owner is None:
        return "wait for it"
    process, machine = owner
    if machine != os.uname().nodename:
        return f"wait for it, or end process {process} on {machine}"
    return f"wait for it, or: kill {process}"


def _interrupted(root: Path) -> Iterator[Finding]:
    for card in sorted(root.rglob(CARD)):
        folder = card.parent
        if "superseded" in card.parts or is_locked(lock_path(folder)):
            continue
        status = read_json(card).get("status")
        if status == "running":
            yield Finding("runs", "note", f"{folder.relative_to(root)} was interrupted",
                          "the same tadsr run goes on where it was")  # fmt: skip
        elif status == "failed":
            yield Finding("runs", "warning", f"{folder.relative_to(root)} failed",
                          "see tadsr status for the reason")  # fmt: skip


def _temporary(root: Path) -> Iterator[Finding]:
    old = [path for path in temporaries(root) if not is_locked(path)]
    if old:
        size = sum(path.stat().st_size for path in old if path.is_file()) / 2**20
        yield Finding("temporary files", "note", f"{len(old)} of killed processes, {size:.0f} MiB",
                      "the next tadsr run removes them")  # fmt: skip


def _snakemake(folder: Path) -> Iterator[Finding]:
    """Plain snakemake leaves locks when it is killed; `tadsr run` uses none of them."""
    found = list((folder / ".snakemake" / "locks").glob("*.lock"))
    if found:
        yield Finding("locks", "warning", f"{len(found)} of plain snakemake in {folder}: a "
                      "run under way, or killed",
                      "if none is running: snakemake --unlock (tadsr run needs none)")  # fmt: skip
