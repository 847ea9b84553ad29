"""What MLflow shows, as plain data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from tadsr.files import digest_json, sha256_file


@dataclass(frozen=True)
class Point:
    """One value of a metric, at a number of images seen."""

    metric: str
    images: int
    value: float
    dataset: str = ""
    """The test set it was measured on; empty for what belongs to no test set."""


@dataclass(frozen=True)
class DatasetUse:
    """A data set a run learned from or was tested on."""

    name: str
    content: str
    """sha256 of its images' manifest."""
    context: str
    """`train`, `validation` or `test`."""


@dataclass(frozen=True)
class RunRecord:
    """One MLflow run."""

    key: str
    """Identity within the experiment; also the run's name unless it is the parent."""
    name: str
    kind: str
    """`experiment`, `teacher`, `baseline`, `student`, `sweep` or `trial`."""
    status: str
    """`done`, `diverged`, `pruned`, `failed` or `running`, as in run cards."""
    tags: Mapping[str, str]
    params: Mapping[str, str] = field(default_factory=dict)
    points: tuple[Point, ...] = ()
    datasets: tuple[DatasetUse, ...] = ()
    files: Mapping[str, Path] = field(default_factory=dict)
    """Artefact path to the file it is a copy of."""
    tables: Mapping[str, str] = field(default_factory=dict)
    """Artefact path to a table as MLflow's `log_table` writes it (JSON, orient "split")."""
    images: Mapping[str, Path] = field(default_factory=dict)
    """Name in MLflow's image grid to a PNG file; the same picture has the same name in each run."""
    started_ms: int = 0
    ended_ms: int = 0
    parent: str = ""
    """Key of the run that this one lies below; empty for the experiment's."""

    @cached_property
    def content(self) -> str:
        """sha256 over all that is published but the times, which are those of files."""
        shown = [self.key, self.name, self.kind, self.status, self.tags, self.params]
        points = [[p.metric, p.images, repr(p.value), p.dataset] for p in self.points]
        datasets = [[use.name, use.content, use.context] for use in self.datasets]
        files = {place: sha256_file(path) for place, path in self.files.items()}
        images = {name: sha256_file(path) for name, path in self.images.items()}
        return digest_json([*shown, points, datasets, files, dict(self.tables), images])


@dataclass(frozen=True)
class Leaderboard:
    """The list of runs as a reader wants it first: one line per model, sorted by a metric."""

    order: str
    ascending: bool
    columns: tuple[str, ...]
    """Metrics shown beside the run's name."""
    images: tuple[str, ...] = ()
    """Pictures shown beside each other, by their name in the image grid."""
    sections: tuple[str, ...] = ()
    """Of the page of charts, in their order: what stands before the slash of metrics' names."""
