"""Snakemake's own report of a finished experiment: figures, tables and the page, with captions."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tadsr.commands.run import freeze_experiment
from tadsr.files import write_text
from tests.conftest import REPOSITORY
from tests.plan.made_up import finish_all, mini


@pytest.mark.slow
def test_it_holds_the_page_the_figures_and_the_tables(tmp_path: Path) -> None:
    plan = mini(tmp_path)
    finish_all(plan)
    frozen = freeze_experiment(plan)
    report = plan.root / "report"
    for name in ("components", "grid-photos-bicubic"):
        (report / "figures").mkdir(exist_ok=True)
        pixels = np.full((8, 8, 3), len(name), dtype=np.uint8)
        Image.fromarray(pixels).save(report / "figures" / f"{name}.png")
    write_text(report / "tables" / "main-photos-bicubic.csv", "upscaler,psnr\nfull,26.123\n")

    command = [sys.executable, "-m", "snakemake", "--snakefile", str(REPOSITORY / "Snakefile"),
               "--config", f"experiment={frozen}", "--report", "out.zip"]  # fmt: skip
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run(command, cwd=tmp_path, env=environment, text=True, capture_output=True)
    assert done.returncode == 0, done.stdout + done.stderr

    with zipfile.ZipFile(tmp_path / "out.zip") as archive:
        names = [name for name in archive.namelist() if "/data/" in name]
        by_end = {name.rsplit("/", 1)[-1]: archive.read(name) for name in names}
        main = next(name for name in archive.namelist() if name.endswith("report.html"))
        page = archive.read(main).decode()
    for name in ("components", "grid-photos-bicubic"):
        original = (report / "figures" / f"{name}.png").read_bytes()
        assert by_end[f"{name}.png"] == original
    assert by_end["index.html"] == b"the page"
    assert "main-photos-bicubic.csv" in page
    for category in ("Summary", "Figures", "Tables"):
        assert f'"{category}"' in page
    assert "declared before the run" in page  # of the workflow's description
    assert "on the report page and in the Markdown" in " ".join(page.split())
