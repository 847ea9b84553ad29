"""`data/<dataset>/`: 8-bit PNGs `hr/<image>.png`, `lr/<image>.png`, and `manifest.parquet`.

The manifest is written last, so a folder with a manifest is complete. `hr_sha256` and `lr_sha256`
are of decoded pixels: another Pillow compresses differently, yet the images are the same.
`hr_file_sha256` and `lr_file_sha256` are of the files that were read, to tell a release by.
HR that came from a file of one channel is stored with one channel.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tadsr.config.base import SCALE
from tadsr.config.data import DatasetSpec
from tadsr.data.images import RGB8, is_grey_file, read_rgb, write_png
from tadsr.data.sources import Item, read_items
from tadsr.errors import CorruptionError, DataError, listed
from tadsr.files import atomic_path, digest_json, is_plain_name, is_within, sha256_file

MANIFEST = "manifest.parquet"

COLUMNS = (
    "image", "split", "hr", "lr", "hr_sha256", "lr_sha256",
    "hr_width", "hr_height", "lr_width", "lr_height", "source", "hr_file_sha256", "lr_file_sha256",
)  # fmt: skip
"""Paths are relative to the manifest, or absolute for training images that stay where they are
(which have no digest of pixels in large sets); where there is no HR, LR or file: empty, size 0."""


def build_dataset(
    name: str, spec: DatasetSpec, folder: Path | str, scale: int = SCALE
) -> pd.DataFrame:
    """Make `folder` hold exactly the images of `spec`; return the manifest.

    Of the data set called `train` there is HR alone: its crops are degraded as they are drawn.
    Training images of a folder stay where they are (`tadsr.data.sources.stays_in_place`).
    Images that are right already are kept, others replaced, left-over ones removed. Safe to kill
    and run again: the manifest goes before the first change and comes back last.

    Raises:
        DataError: images that cannot be used, all named; see `tadsr.data.sources.read_items`.
    """
    folder = Path(folder)
    role = name if name in ("train", "val") else "test"
    rows, problems = [], []
    for item in read_items(spec, scale, hr_only=role == "train"):
        if isinstance(item, DataError):
            problems.append(str(item))
            continue
        for kind, pixels in (("hr", item.hr), ("lr", item.lr)):
            if pixels is not None and not (kind == "hr" and item.hr_size):
                grey = kind == "hr" and item.hr_file is not None and is_grey_file(item.hr_file)
                _store(folder, f"{kind}/{item.name}.png", pixels, grey=grey)
        rows.append(_row(item, role))
    if len(problems) > 1:
        found = f"{len(problems)} of {len(problems) + len(rows)} images cannot be used"
        raise DataError(f"data set '{name}': {found}: {listed(problems)}")
    if problems:
        raise DataError(problems[0])
    if not rows:
        raise DataError(f"data set '{name}' holds no image; check its path and limit")
    frame = pd.DataFrame(rows, columns=list(COLUMNS))
    _remove_others(folder, {*frame["hr"], *frame["lr"]})
    with atomic_path(folder / MANIFEST) as temporary:
        frame.to_parquet(temporary, index=False)
    return frame


def read_manifest(folder: Path | str) -> pd.DataFrame:
    """The manifest of a data set's folder.

    Raises:
        DataError: there is none (the data set was not built, or not to its end).
        CorruptionError: the file cannot be read as a manifest.
    """
    path = Path(folder) / MANIFEST
    if not path.is_file():
        raise DataError(f"{path}: no such manifest; run `tadsr data` on the experiment first")
    try:
        frame = pd.read_parquet(path)
    except (OSError, ValueError) as error:
        raise CorruptionError(f"{path}: unreadable; run `tadsr data` again") from error
    if tuple(frame.columns) != COLUMNS:
        raise CorruptionError(f"{path}: not the columns of a manifest; run `tadsr data` again")
    _check_places(path, frame)
    return frame


def _check_places(path: Path, frame: pd.DataFrame) -> None:
    """A manifest from elsewhere leads out of its folder with whole paths of training images alone.

    Those are read for digests and training, and never shown.
    """
    stored = [str(name) for kind in ("hr", "lr") for name in frame[kind]]
    whole = set(frame["hr"][frame["split"] == "train"].map(str))
    outside = [n for n in stored if not is_within(n) and not (n in whole and n.startswith("/"))]
    outside += [name for name in map(str, frame["image"]) if not is_plain_name(name)]
    if outside:
        raise CorruptionError(
            f"{path}: '{outside[0]}' leads out of its folder; delete that and run `tadsr data`"
        )


def dataset_content(folder: Path | str) -> str:
    """sha256 over (image, HR digest, LR digest) of all rows: what a result depends on."""
    frame = read_manifest(folder)
    in_place = (frame["hr"] != "") & (frame["hr_sha256"] == "")
    hr = frame["hr_sha256"].where(~in_place, frame["hr_file_sha256"])
    rows = zip(frame["image"], hr, frame["lr_sha256"], strict=True)
    return digest_json([[str(part) for part in row] for row in rows])


@dataclass(frozen=True)
class Stored:
    """An image that a manifest tells of."""

    path: Path
    digest: str
    """Of its pixels; of its file for a training image that stays where it is."""
    in_place: bool

    def found(self) -> str:
        """The same digest of what is there now.

        Raises:
            DataError: it is not there, or no image.
        """
        if not self.in_place:
            return pixel_digest(read_rgb(self.path))
        if not self.path.is_file():
            raise DataError(f"{self.path}: is not there")
        return sha256_file(self.path)


def stored_images(folder: Path | str) -> list[Stored]:
    """Every image of a data set, HR and LR, with the digest that its manifest has."""
    found = []
    for row in read_manifest(folder).to_dict("records"):
        for kind in ("hr", "lr"):
            in_place = Path(row[kind]).is_absolute()
            digest = row[f"{kind}_file_sha256" if in_place else f"{kind}_sha256"]
            if row[kind]:
                found.append(Stored(Path(folder) / row[kind], digest, in_place))
    return found


def verify_dataset(folder: Path | str) -> str:
    """Read every image and compare it with the manifest; return `dataset_content`.

    Raises:
        CorruptionError: an image is missing, damaged or not the one of the manifest.
    """
    for image in stored_images(folder):
        try:
            found = image.found()
        except DataError as error:
            raise CorruptionError(f"{error}; {_remedy(image)}") from error
        if found != image.digest:
            raise CorruptionError(
                f"{image.path}: {'file' if image.in_place else 'pixels'} {found[:8]} are not "
                f"those of its manifest ({image.digest[:8]}); {_remedy(image)}"
            )
    return dataset_content(folder)


def _remedy(image: Stored) -> str:
    if image.in_place:
        return "put the training image back, or delete the data set's folder and run `tadsr data`"
    return "delete the data set's folder and run `tadsr data`"


def shared_images(train: Path | str, other: Path | str) -> list[str]:
    """The images of `other` whose HR is in the training set `train`: equal pixels or equal files.

    An equal file counts because the two sets may be cropped differently. Near copies (another
    size, another compression) are not seen.
    """
    known = read_manifest(train)
    pixels, files = ({*known[column]} - {""} for column in ("hr_sha256", "hr_file_sha256"))
    frame = read_manifest(other)
    shared = frame["hr_sha256"].isin(pixels) | frame["hr_file_sha256"].isin(files)
    return [str(name) for name in frame["image"][shared]]


def pixel_digest(pixels: RGB8) -> str:
    """sha256 (hex) of the shape and the values of an (H, W, 3) uint8 array."""
    digest = hashlib.sha256(f"{pixels.shape[0]}x{pixels.shape[1]}x3 ".encode())
    digest.update(np.ascontiguousarray(pixels).tobytes())
    return digest.hexdigest()


def _store(folder: Path, name: str, pixels: RGB8, *, grey: bool) -> None:
    """Write a PNG unless it is there; `grey`: of one channel, as metrics may ask (grey: levels)."""
    path = folder / name
    if path.is_file():
        try:
            if np.array_equal(read_rgb(path), pixels) and is_grey_file(path) == grey:
                return
        except DataError:
            path.unlink()  # damaged: made again below
    (folder / MANIFEST).unlink(missing_ok=True)
    write_png(path, pixels, grey=grey)


def _row(item: Item, role: str) -> dict[str, Any]:
    row: dict[str, Any] = {"image": item.name, "split": role, "source": item.source}
    for kind, file in (("hr", item.hr_file), ("lr", item.lr_file)):
        row[f"{kind}_file_sha256"] = sha256_file(file) if file is not None else ""
    for kind, pixels in (("hr", item.hr), ("lr", item.lr)):
        there = pixels is not None
        row[kind] = f"{kind}/{item.name}.png" if there else ""
        row[f"{kind}_sha256"] = pixel_digest(pixels) if pixels is not None else ""
        row[f"{kind}_height"], row[f"{kind}_width"] = (
            pixels.shape[:2] if pixels is not None else (0, 0)
        )
    if item.hr_size is not None:
        row["hr"] = str(item.hr_file)
        row["hr_height"], row["hr_width"] = item.hr_size
    return row


def _remove_others(folder: Path, names: set[str]) -> None:
    """Drop images of an earlier specification; only our own two folders are touched."""
    for kind in ("hr", "lr"):
        for path in (folder / kind).glob("*"):
            if path.is_file() and f"{kind}/{path.name}" not in names:
                (folder / MANIFEST).unlink(missing_ok=True)
                path.unlink()
        if (folder / kind).is_dir() and not any((folder / kind).iterdir()):
            (folder / kind).rmdir()
