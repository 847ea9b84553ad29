"""Which files, tables and pictures a run carries, and under which names MLflow shows them."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from tadsr.publish.trainings import existing
from tadsr.report.content import ReportContent

IMAGES_PER_SET = 2
"""Super-resolved images shown per run and test set; all of them lie in evaluations/."""
PAGE_IMAGES = "report/images"
"""What the page loads on demand; MLflow's frame lets it load nothing, so it is not copied there."""
SCORES = "tables/scores.json"
"""The scores of each image, under the same name in each run that was measured."""
RunScores = Mapping[tuple[str, str], Mapping[str, float]]
"""By (data set, image), then by metric."""


def report_files(root: Path) -> dict[str, Path]:
    """The page, its figures and tables, the comparison's data, the frozen experiment."""
    files = {"experiment.json": root / "experiment.json"}
    for folder in ("report", "comparison"):
        files |= {path.relative_to(root).as_posix(): path for path in _files(root / folder)}
    return existing({n: path for n, path in files.items() if not n.startswith(f"{PAGE_IMAGES}/")})


def report_tables(root: Path) -> dict[str, str]:
    """Every table of the report as MLflow's table view and `mlflow.load_table` read it."""
    return {
        f"tables/{path.stem}.json": table_file(path)
        for path in sorted((root / "report" / "tables").glob("*.csv"))
        if path.stat().st_size
    }


def table_file(path: Path) -> str:
    """A CSV file as `MlflowClient.log_table` writes a frame."""
    frame = pd.read_csv(path)
    return str(frame.to_json(orient="split", index=False, double_precision=15))


def scores_table(scores: RunScores, titles: Mapping[str, str]) -> dict[str, str]:
    """One line per image; columns are the metrics of `titles` (id to heading), in its order.

    MLflow's page that compares tables groups by the first column and shows the second.
    """
    if not scores:
        return {}
    rows = [
        [f"{dataset}/{image}", *(_number(values.get(metric)) for metric in titles), dataset]
        for (dataset, image), values in sorted(scores.items())
    ]
    table = {"columns": ["image", *titles.values(), "dataset"], "data": rows}
    return {SCORES: json.dumps(table, allow_nan=False)}


def _number(value: float | None) -> float | None:
    """A gap where there is no finite number."""
    return value if value is not None and abs(value) < float("inf") else None


def evaluation_files(content: ReportContent, upscaler: str) -> dict[str, Path]:
    """Per-image scores with their metric cards."""
    folder = content.root / "evaluations" / upscaler
    return existing({f"scores/{dataset}.parquet": folder / f"{dataset}.parquet"
                     for dataset in content.experiment.data.test})  # fmt: skip


def grid_images(content: ReportContent, upscaler: str) -> dict[str, Path]:
    """The first images of each test set, by their name in MLflow's image grid."""
    folder = content.root / "evaluations" / upscaler
    return {
        grid_name(dataset, path.stem): path
        for dataset in content.experiment.data.test
        for path in sorted((folder / dataset).glob("*.png"))[:IMAGES_PER_SET]
    }


def grid_name(dataset: str, image: str) -> str:
    """`<data set>/<image>` in the letters that MLflow allows for a picture's name.

    Names that become equal by that are kept apart by a digest.
    """
    plain = re.sub(r"[^a-zA-Z0-9_\-. ]", "_", image)
    if plain != image:
        plain += "-" + hashlib.sha256(image.encode()).hexdigest()[:8]
    return f"{dataset}/{plain}"


def _files(folder: Path) -> list[Path]:
    """Without hidden ones: half-written files, and the marks that Snakemake leaves in folders."""
    return [path for path in sorted(folder.rglob("*"))
            if path.is_file() and not path.name.startswith(".")]  # fmt: skip
