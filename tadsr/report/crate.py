"""The RO-Crate of a paper pack: what each file is, with its sha256 (https://w3id.org/ro/crate)."""

from __future__ import annotations

import mimetypes
from pathlib import Path
from typing import Any

from rocrate.model.contextentity import ContextEntity
from rocrate.rocrate import ROCrate

from tadsr import __version__
from tadsr.files import list_files, read_json, write_json
from tadsr.report.content import ReportContent
from tadsr.report.wording import headline

METADATA = "ro-crate-metadata.json"
"""The name that the standard asks for."""

TERMS = {"sha256": "https://schema.org/sha256"}
TYPES = {".tex": "text/x-tex", ".bib": "text/x-bibtex", ".md": "text/markdown",
         ".parquet": "application/vnd.apache.parquet", ".csv": "text/csv",
         ".json": "application/json"}  # fmt: skip

ABOUT = {
    "paper-pack.tex": "compiles, and shows every table and figure with its caption",
    "checklist.md": "the reproducibility checklist",
    "checklist.tex": "the reproducibility checklist, for LaTeX",
    "references.bib": "the papers that method, data and metrics come from",
    "data/experiment.json": "the experiment, complete with every default",
}
FOLDERS = {
    "tables/": "a table, with caption and notes",
    "figures/": "a figure",
    "data/run-cards/": "a run card: recipe, versions, digests and results of one run",
    "data/sweeps/": "a hyper-parameter search: its trials and what was picked",
    "data/comparison/": "scores, means, comparisons and metric cards as plain data",
}


def write_crate(content: ReportContent, folder: Path, date: str) -> None:
    """Write `ro-crate-metadata.json` about every file below `folder`.

    `date` (ISO 8601, a day) is the date of publication that the standard requires.
    """
    crate = ROCrate(gen_preview=False)
    crate.metadata.extra_terms.update(TERMS)
    crate.name = f"Paper pack of the experiment {content.experiment.name}"
    crate.description = f"One-step diffusion super-resolution: {headline(content)}"
    crate.root_dataset["datePublished"] = date
    crate.root_dataset["license"] = (
        "to be stated by the authors; images, weights and papers keep their own licences"
    )
    crate.root_dataset["identifier"] = f"sha256:{content.digest} (of the experiment's settings)"
    maker = crate.add(ContextEntity(crate, "#tadsr", properties={
        "@type": "SoftwareApplication", "name": "tadsr", "version": __version__,
        "softwareVersion": __version__, "license": "https://spdx.org/licenses/Apache-2.0",
    }))  # fmt: skip
    files = []
    for name, digest in list_files(folder).items():
        if name != METADATA:
            properties = _properties(folder / name, name, digest)
            files.append(crate.add_file(dest_path=name, properties=properties))
    crate.add(ContextEntity(crate, "#made", properties={
        "@type": "CreateAction", "name": "tadsr report paper",
        "instrument": {"@id": maker.id},
        "object": [{"@id": f.id} for f in files if f.id.startswith("data/")],
        "result": [{"@id": f.id} for f in files if not f.id.startswith("data/")],
    }))  # fmt: skip
    crate.root_dataset["mentions"] = [{"@id": "#made"}]
    write_json(folder / METADATA, crate.metadata.generate())


def _properties(path: Path, name: str, digest: str) -> dict[str, Any]:
    about = ABOUT.get(name) or next(
        (text for start, text in FOLDERS.items() if name.startswith(start)), ""
    )
    guessed = TYPES.get(path.suffix) or mimetypes.guess_type(path.name)[0]
    return {
        "name": name,
        "description": about,
        "contentSize": str(path.stat().st_size),
        "encodingFormat": guessed or "application/octet-stream",
        "sha256": digest,
    }


def described_files(folder: Path) -> dict[str, str]:
    """sha256 by name of the files that a pack's crate describes; {} where there is no crate."""
    path = folder / METADATA
    if not path.is_file():
        return {}
    graph: list[dict[str, Any]] = read_json(path).get("@graph", [])
    return {entry["@id"]: entry["sha256"] for entry in graph if "sha256" in entry}
