"""The artefacts of a run, laid out in a folder as MLflow's pages look for them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from PIL import Image

from tadsr.publish.records import RunRecord

IMAGE_TAG, TABLE_TAG = "mlflow.loggedImages", "mlflow.loggedArtifacts"
"""By these MLflow's pages know that a run has pictures for the image grid, and which tables."""
TAG_LIMIT = 8000
"""Characters of a tag's value; MLflow cuts what is longer, and a cut list is no JSON."""
THUMBNAIL = 256
"""Longer side, in pixels, of the pictures that MLflow shows in a grid."""


def artefact_paths(record: RunRecord) -> set[str]:
    """Where everything lies below the run's artefacts."""
    pictures = {path for name in record.images for path in picture_paths(name)}
    return {*record.files, *record.tables, *pictures}


def picture_paths(name: str) -> tuple[str, str]:
    """A picture and its thumbnail as `MlflowClient.log_image` names them.

    Where that has the time and a random number, here stands what is the same each time, so that
    a picture published again takes the place of the old one.
    """
    stem = f"images/{name.replace('/', '~')}+step+0+timestamp+0+tadsr"
    return f"{stem}.png", f"{stem}+compressed.webp"


def artefact_tags(record: RunRecord) -> dict[str, str]:
    """Tags that make MLflow's pages look for pictures and tables."""
    tags = {IMAGE_TAG: "True"} if record.images else {}
    listed = [{"path": path, "type": "table"} for path in record.tables]
    while len(json.dumps(listed)) > TAG_LIMIT:
        listed.pop()  # still there as a file, but not offered in the table view
    return tags | ({TABLE_TAG: json.dumps(listed)} if listed else {})


@contextmanager
def staged(record: RunRecord) -> Iterator[Path]:
    """A folder with all artefacts of `record`, links where files can be taken as they are."""
    with TemporaryDirectory(prefix="tadsr-publish-") as name:
        folder = Path(name)
        for place, path in record.files.items():
            _prepared(folder / place).symlink_to(path.absolute())
        for place, text in record.tables.items():
            _prepared(folder / place).write_text(text, encoding="utf-8")
        for picture, path in record.images.items():
            full, small = picture_paths(picture)
            _prepared(folder / full).symlink_to(path.absolute())
            with Image.open(path) as image:
                image.thumbnail((THUMBNAIL, THUMBNAIL))
                image.save(folder / small)
        yield folder


def _prepared(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path
