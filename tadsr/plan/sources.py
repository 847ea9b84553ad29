"""Files that a user brings: stamps that tell when they changed, and whether they are there.

A stamp is names, sizes and times of files: read in a moment, and part of a job's digest, so that a
change is noticed. What an artefact is made from is told by digests of contents instead.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Any

from tadsr.config.experiment import Experiment
from tadsr.config.models import ImagePlace, image_place

REFERENCE = Path(__file__).resolve().parents[2] / "reports" / "reference"
"""Published numbers, which users may add to: part of what a report shows."""


def source_stamp(path: str | None) -> Any:
    """Names, sizes and times of the files of a folder, so that a change of them is noticed.

    By scandir, which looks at each file once: every command does this, also for a folder of a
    million images (a few seconds). A file instead of a folder is stamped alone.
    """
    if path is None:
        return None
    found, folders = [], [os.fspath(Path(path).expanduser())]
    if Path(folders[0]).is_file():
        stat = Path(folders.pop()).stat()
        found.append((path, Path(path).name, stat.st_size, stat.st_mtime_ns))
    while folders:
        with suppress(FileNotFoundError), os.scandir(folders.pop()) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    folders.append(entry.path)
                elif entry.is_file():
                    stat = entry.stat()
                    found.append((entry.path, entry.name, stat.st_size, stat.st_mtime_ns))
    return [path, [stamp for _, *stamp in sorted(found)]]


def finished_files(place: ImagePlace) -> list[tuple[str, str]]:
    """(image, file's name) of every picture in a place of finished images, sorted."""
    return [(image, file) for image, file, *_ in image_stamp(place)]


def image_stamp(place: ImagePlace) -> list[tuple[str, str, int, int]]:
    """(image, file's name, size, time) of every picture in a place of finished images, sorted."""
    found = []
    with suppress(FileNotFoundError, NotADirectoryError), os.scandir(place.folder) as entries:
        for entry in entries:
            image = place.image(entry.name)
            if image is not None and entry.is_file():
                stat = entry.stat()
                found.append((image, entry.name, stat.st_size, stat.st_mtime_ns))
    return sorted(found)


def model_stamp(experiment: Experiment, name: str) -> Any:
    """The stamp of what the model `name` lies in; None for a model that no user brings."""
    models = experiment.evaluation
    if models.kind(name) == "images":
        pattern, tests = models.images[name].path, models.test_sets(name, experiment.data.test)
        return [pattern, [image_stamp(image_place(pattern, test)) for test in tests]]
    return source_stamp(models.source(name))


def data_absences(experiment: Experiment) -> list[str]:
    """Why data sets cannot be made, as far as a look at their folders tells; one reason for each.

    An empty folder is often a disk that is not mounted.
    """
    data = experiment.data
    named = {"train": data.train, "val": data.val}
    named |= {f"test.{name}": spec for name, spec in data.test.items()}
    reasons = []
    for place, spec in named.items():
        folder = None if spec.path is None else Path(spec.path).expanduser()
        if folder is not None and not folder.is_dir():
            reasons.append(f"data.{place}: {folder}: no such folder; check 'path'")
        elif folder is not None and not any(folder.iterdir()):
            reasons.append(f"data.{place}: {folder} is empty; put the images there")
    return reasons


def absence(experiment: Experiment, name: str) -> str | None:
    """Why the files of a model that a user brings cannot be used; None if they are there."""
    models = experiment.evaluation
    kind, source = models.kind(name), models.source(name)
    if source is None:
        return None
    path = Path(source).expanduser()
    if kind == "pipeline" and not (path / "model_index.json").is_file():
        return (
            f"evaluation.pipelines.{name}: {path} holds no saved pipeline (model_index.json); "
            "`tadsr weights pipeline` makes one from published weights"
        )
    if kind == "checkpoint" and not path.is_file():
        what = "is a folder; give the file in it" if path.is_dir() else "no such file"
        return f"evaluation.checkpoints.{name}: {path}: {what}; check the path"
    for test in models.test_sets(name, experiment.data.test) if kind == "images" else ():
        folder = image_place(source, test).folder
        if not folder.is_dir():
            return (
                f"evaluation.images.{name}: {folder}: no such folder; the images of test set "
                f"'{test}' belong there"
            )
    return None
