"""Comparison and report: held against their receipts, and made again aside.

They are made again in a temporary folder in which everything else of the results folder is linked,
so nothing is written below the results folder.
"""

from __future__ import annotations

import json
import math
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tadsr.commands.compare import compare_all
from tadsr.commands.verify_audit import Audit
from tadsr.commands.verify_runs import AGAIN
from tadsr.commands.versions import rendering_versions
from tadsr.errors import TadsrError
from tadsr.files import sha256_file
from tadsr.plan import Plan
from tadsr.plan.artefacts import PAPER, comparison_files, report_files

MADE_FROM = ("data", "teacher", "targets", "student", "evaluate")
CLOSE = 1e-9
"""Relative; what another version of numpy may change in a number."""


def check_comparison(audit: Audit) -> None:
    """Each file against the receipt, and against what the scores give now."""
    folder = audit.plan.root / "comparison"
    if _tells_of_no_files(audit, "compare"):
        return
    _against_receipt(audit, "compare", folder, comparison_files(folder))
    if audit.fast or not audit.sound("compare") or not _is_of_this_plan(audit, "compare"):
        return
    if not audit.sound(*MADE_FROM):
        audit.add("unchecked", "compare", folder, "not made again: what it is made from does not "
                  "match")  # fmt: skip
        return
    audit.progress("compare", 0, 1)
    with _aside(audit.plan) as plan:
        compare_all(plan, belongs=lambda plan, identity, scored: _belongs(audit, identity, scored))
        _against_made_again(audit, "compare", folder, plan.root / "comparison")


def _belongs(audit: Audit, identity: dict[str, Any], scored: dict[tuple[str, str], str]) -> bool:
    """Whether scores were found to belong to the experiment (`tadsr.commands.verify_scores`)."""
    key = identity["upscaler"], identity["dataset"]
    if key in audit.scored:
        scored[key] = audit.scored[key]
    return key in audit.scored


def check_report(audit: Audit) -> None:
    """Page, tables and figures against the receipt, and against what is rendered now."""
    folder = audit.plan.root / "report"
    if _tells_of_no_files(audit, "report"):
        return
    found, receipt = report_files(folder), audit.receipts.get("report")
    _against_receipt(audit, "report", folder, found)
    if receipt is not None:
        for name in sorted(found.keys() - receipt["cells"].keys()):
            audit.add("unknown", "report", folder / name, "no receipt tells of it")
    if audit.fast or not audit.sound("report") or not _is_of_this_plan(audit, "report"):
        return
    if not audit.sound(*MADE_FROM, "compare"):
        audit.add("unchecked", "report", folder, "not rendered again: what it is made from does "
                  "not match")  # fmt: skip
    elif other := _other_versions(audit.receipts["report"]):
        audit.add("unchecked", "report", folder, f"made with other versions ({other}): not "
                  "rendered again")  # fmt: skip
    else:
        _render_again(audit, folder)


def check_paper(audit: Audit) -> None:
    """The paper pack, if there is one, against the digests in its RO-Crate."""
    from tadsr.report.crate import METADATA, described_files

    folder = audit.plan.root / "report" / PAPER
    remedy = f"move {folder} away and run `tadsr report paper`"
    try:
        described = described_files(folder)
    except TadsrError:
        audit.add("wrong", "report", folder / METADATA, "not valid JSON", remedy=remedy)
        return
    for name, digest in described.items():
        audit.count("report", "file of the paper pack", 1)
        path = folder / name
        found = sha256_file(path) if path.is_file() else "is not there"
        if found != digest:
            word = "wrong" if path.is_file() else "missing"
            audit.add(word, "report", path, found, expected=digest, remedy=remedy)


def _render_again(audit: Audit, folder: Path) -> None:
    from tadsr.report import build_report

    audit.progress("report", 0, 1)
    with _aside(audit.plan) as plan:
        (plan.root / "comparison").rmdir()
        (plan.root / "comparison").symlink_to((audit.plan.root / "comparison").resolve())
        again = build_report(plan.experiment, plan.root).parent
        _against_made_again(audit, "report", folder, again)


@contextmanager
def _aside(plan: Plan) -> Iterator[Plan]:
    """The same plan in a temporary results folder, with links to all but what is made again."""
    with tempfile.TemporaryDirectory(prefix="tadsr-verify-") as name:
        root = Path(name) / plan.root.resolve().name
        (root / "comparison").mkdir(parents=True)
        for path in plan.root.resolve().iterdir():
            if path.name not in ("comparison", "report", "logs", ".lock"):
                (root / path.name).symlink_to(path)
        yield Plan(plan.experiment, root, plan.argument)


def _tells_of_no_files(audit: Audit, stage: str) -> bool:
    """Whether a receipt is of a version that noted no files; that is a finding."""
    receipt = audit.receipts.get(stage)
    old = receipt is not None and not receipt["cells"].keys() - {stage}
    if old:
        audit.add("outdated", stage, audit.plan.receipt(stage), "tells of no files; it is of an "
                  "earlier version", remedy=AGAIN)  # fmt: skip
    return old


def _is_of_this_plan(audit: Audit, stage: str) -> bool:
    """Whether making it again can give the same; if not, `check_receipts` says so."""
    return audit.receipts.get(stage, {}).get("recipe") == audit.plan.jobs[stage].digest


def _against_receipt(audit: Audit, stage: str, folder: Path, found: dict[str, str]) -> None:
    """Files whose digest is another than when the job ended, or that are gone."""
    cells = audit.receipts.get(stage, {}).get("cells", {})
    for name, cell in cells.items():
        audit.count(stage, "file")
        if name not in found:
            audit.add("missing", stage, folder / name, "is not there", remedy=AGAIN)
        elif found[name] != cell["content"]:
            audit.add("wrong", stage, folder / name, found[name], expected=cell["content"],
                      remedy=f"delete it and {AGAIN}")  # fmt: skip


def _other_versions(receipt: dict[str, Any]) -> str:
    """Which versions differ from those of here, in words; empty if none does."""
    noted, here = receipt.get("versions", {}), rendering_versions()
    if "code" in noted and noted["code"] != here["code"]:
        noted, here = {**noted, "code": "other"}, {**here, "code": "changed since"}
    return ", ".join(f"{name} {noted.get(name, 'not noted')}, here {here[name]}"
                     for name in here if noted.get(name) != here[name])  # fmt: skip


def _against_made_again(audit: Audit, stage: str, folder: Path, again: Path) -> None:
    """Files that come out different now."""
    versions = _other_versions(audit.receipts[stage])
    for path in sorted(p for p in again.rglob("*") if p.is_file()):
        stored = folder / path.relative_to(again)
        if not stored.is_file():
            audit.add("missing", stage, stored, "is not there, and should be", remedy=AGAIN)
        elif sha256_file(path) != sha256_file(stored) and not _says_the_same(audit, path, stored):
            word = "unchecked" if versions else "wrong"
            why = f"made with other versions ({versions}), and comes out different here"
            audit.add(word, stage, stored, why if versions else sha256_file(stored),
                      expected=f"{sha256_file(path)[:12]} as made again",
                      remedy=f"delete it and {AGAIN}")  # fmt: skip


def _says_the_same(audit: Audit, one: Path, other: Path) -> bool:
    """Whether two files of plain data agree but for rounding and the way they are written."""
    if one.name == "costs.json":
        first, second = (json.loads(p.read_text(encoding="utf-8")) for p in (one, other))
        here = {name for name in (*first, *second) if name not in audit.elsewhere}
        return _close({n: first.get(n) for n in here}, {n: second.get(n) for n in here})
    if one.suffix == ".json":
        return _close(*(json.loads(p.read_text(encoding="utf-8")) for p in (one, other)))
    if one.suffix == ".parquet":
        import pandas as pd

        frames = [pd.read_parquet(path) for path in (one, other)]
        return _close(*(frame.to_dict("split") for frame in frames))
    return False


def _close(one: Any, other: Any) -> bool:
    """Equal, numbers to `CLOSE`; NaN equals NaN."""
    if isinstance(one, float) and isinstance(other, float):
        return math.isclose(one, other, rel_tol=CLOSE) or (math.isnan(one) and math.isnan(other))
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_close(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_close, one, other))
    return one is other or bool(one == other)
