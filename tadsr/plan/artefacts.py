"""Content digests of what stages make."""

from __future__ import annotations

from pathlib import Path

from tadsr.files import digest_files, digest_json, list_files, sha256_file


def model_content(folder: Path) -> str:
    """Digest of a trained thing: the files of its `model/` (none for a diverged one)."""
    return pipeline_content(folder / "model")


def pipeline_content(folder: Path) -> str:
    """Digest of a folder in diffusers layout: weights and settings."""
    return digest_files(folder, ("*.safetensors", "*.json"))


def pool_content(folder: Path) -> str:
    """Digest of a target pool: its stored tensors."""
    return digest_files(folder, ("*.safetensors",))


def comparison_files(folder: Path) -> dict[str, str]:
    """Digest of each file of a comparison: its numbers and cards, without what things cost."""
    names = ("*.parquet", "alarms.json", "cards.json", "missing.json", "sweeps.json")
    return list_files(folder, names)


PAPER = "paper"
"""The folder of a report in which `tadsr report paper` writes; no part of the report."""

IMAGES = "images"
"""The folder of a report with whole images, beside those that the page holds."""


def report_files(folder: Path) -> dict[str, str]:
    """Digest of each file of a report: the page, figures, tables, and what lies with them.

    Without a paper pack, and without the marks that Snakemake leaves in folders that are outputs.
    """
    return {
        name: digest
        for name, digest in list_files(folder).items()
        if not name.startswith(f"{PAPER}/") and not name.endswith(".snakemake_timestamp")
    }


SWEEP_RESULTS = (
    "study.json", "references.json", "trials.json", "importances.json", "best.yaml",
)  # fmt: skip
"""What a finished search leaves in its folder, beside its trials."""


def sweep_content(folder: Path) -> str:
    """Digest of a search's results."""
    found = {n: sha256_file(folder / n) for n in SWEEP_RESULTS if (folder / n).is_file()}
    return digest_json(found)


def trial_content(folder: Path) -> str:
    """Digest of a trial: its scores on the way and in the end."""
    looks = folder / "looks.json"
    return sha256_file(looks) if looks.is_file() else ""
