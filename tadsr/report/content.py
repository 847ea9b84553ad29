"""Everything the report shows, gathered once into plain data.

Tables, figures, grids and the page read `ReportContent` and nothing else, so what a number in the
report is can be looked up here. Files that are not there yet leave holes, which are listed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from tadsr.compare.results import Comparison, Effect, Summary
from tadsr.config import Experiment, MetricSpec
from tadsr.config.deltas import changed
from tadsr.config.experiment import Cell
from tadsr.errors import TadsrError
from tadsr.files import digest_json
from tadsr.metrics.card import is_unverified
from tadsr.report.costs import ModelCost, read_costs
from tadsr.report.image_scores import ImageScores
from tadsr.report.reading import (
    CellRun,
    Dataset,
    Mean,
    Series,
    curves_of,
    marked,
    read_cells,
    read_comparisons,
    read_datasets,
    read_effects,
    read_means,
    read_optional,
    read_parquet,
    read_run_cards,
    read_spectrum,
    read_summaries,
    seed_means_of,
)
from tadsr.report.sweeps import Sweep, read_sweeps, sweep_holes
from tadsr.runs.folder import FINISHED


@dataclass(frozen=True)
class ReportContent:
    """All data of one report."""

    experiment: Experiment
    root: Path
    digest: str
    """Of the experiment's settings without `execution`."""
    baselines: tuple[str, ...]
    variants: tuple[str, ...]
    datasets: tuple[Dataset, ...]
    metrics: tuple[MetricSpec, ...]
    """Titles say so where a metric's weights are unverified, so that every heading does."""
    means: Mapping[tuple[str, str, str], Mean]
    """By (data set, upscaler or variant, metric)."""
    comparisons: tuple[Comparison, ...]
    effects: tuple[Effect, ...]
    """Main effects and interactions of the grid's axes; empty without a grid."""
    seed_means: Mapping[tuple[str, int, str, str], float]
    """By (variant, seed, data set, metric)."""
    image_scores: ImageScores
    """By (upscaler or variant, seed, data set, image, metric); seed -1 for baselines."""
    cells: tuple[CellRun, ...]
    curves: Mapping[tuple[str, int], Mapping[str, Series]]
    """By (variant, seed), then by the curve's name."""
    teacher_curve: Mapping[str, Series]
    cards: Mapping[str, Any]
    """Metric cards by metric."""
    missing: Mapping[str, str]
    """Metrics that could not be computed: reason and the command that helps."""
    costs: Mapping[str, ModelCost]
    """By baseline, of all students under one name; without those that were not measured."""
    alarms: tuple[Mapping[str, Any], ...]
    runs: Mapping[str, Mapping[str, Any]]
    """Run cards by folder below the results folder."""
    holes: tuple[str, ...]
    """What is not there although the experiment asks for it, one line each."""
    models: tuple[Mapping[str, Any], ...] = ()
    """What each model beside the students is, as `tadsr compare` found it."""
    summaries: tuple[Summary, ...] = ()
    """All of `tadsr compare`, with the means of the seeds."""
    spectrum: Mapping[str, Any] = field(default_factory=dict)
    """Of score distillation at each t, from the reference variant's targets."""
    sweeps: tuple[Sweep, ...] = ()
    """The concluded searches, in the experiment's order."""

    @property
    def reference(self) -> str:
        """The variant the others are compared with."""
        return self.experiment.reference

    def metric(self, name: str) -> MetricSpec:
        """The spec of a metric of this experiment."""
        return next(spec for spec in self.metrics if spec.id == name)

    def unverified(self, metric: str) -> bool:
        """Whether a metric was computed with weights that are not known to be the official ones."""
        return is_unverified(self.cards.get(metric, {}))

    def dataset(self, name: str) -> Dataset:
        """A test set by name."""
        return next(dataset for dataset in self.datasets if dataset.name == name)

    @cached_property
    def most_images(self) -> Mapping[tuple[str, str], int]:
        """By (data set, metric): images of the mean that is over most of them.

        0 for a metric of the whole set; without what no upscaler has.
        """
        most: dict[tuple[str, str], int] = {}
        for (dataset, _, metric), mean in self.means.items():
            most[dataset, metric] = max(mean.n_images, most.get((dataset, metric), 0))
        return most

    def delta(self, variant: str) -> dict[str, Any] | None:
        """What a variant changes, with what its search picked; None if none is picked yet."""
        spec = self.experiment.variants[variant]
        if spec.pick is None:
            return dict(spec.delta)
        picks = [pick for sweep in self.sweeps for pick in sweep.picks if pick.variant == variant]
        return {**spec.delta, **picks[0].delta} if picks else None

    def cell(self, variant: str) -> Cell:
        """Settings that a variant's students are trained with (those of its base before a pick)."""
        cell = self.experiment.cell(variant, self.experiment.seeds[0])
        delta = self.delta(variant) if cell.pick else None
        if delta is None:
            return cell
        return cell._replace(student=changed(cell.student, cell.targets, delta)[0])

    def cells_of(self, variant: str) -> tuple[CellRun, ...]:
        """The cells of one variant, in the order of the seeds."""
        return tuple(cell for cell in self.cells if cell.variant == variant)

    def defined_metrics(self, dataset: str) -> tuple[MetricSpec, ...]:
        """The metrics that make sense on a test set: none against HR where there is no HR."""
        reference = self.dataset(dataset).has_reference
        return tuple(m for m in self.metrics if reference or not m.needs_hr)


def gather(experiment: Experiment, root: Path, *, partial: bool = False) -> ReportContent:
    """Read what `tadsr compare` and the runs left below `root` (`results/<experiment>`).

    Raises `TadsrError` when something is missing or a cell failed, unless `partial`, in which
    case `holes` lists it. A diverged cell is a result, not a hole.
    """
    root = Path(root)
    folder = root / "comparison"
    scores = read_parquet(folder / "scores.parquet")
    cells = read_cells(experiment, folder / "cells.json")
    variants = tuple(experiment.variants)
    runs = _without_outdated(read_run_cards(experiment, root), cells)
    cards = read_optional(folder / "cards.json", {})
    content = ReportContent(
        experiment=experiment,
        root=root,
        digest=digest_json(experiment.model_dump(mode="json", exclude={"execution"})),
        baselines=experiment.evaluation.models,
        variants=variants,
        datasets=tuple(read_datasets(experiment, scores)),
        metrics=tuple(marked(spec, cards) for spec in experiment.metrics()),
        means=read_means(folder / "means.parquet"),
        comparisons=read_comparisons(experiment, folder / "comparisons.parquet"),
        effects=read_effects(experiment, folder / "effects.parquet"),
        seed_means=seed_means_of(scores, variants),
        image_scores=ImageScores(scores),
        cells=cells,
        curves={
            (c.variant, c.seed): curves_of(root / "students" / c.name / "metrics.jsonl")
            if f"students/{c.name}" in runs
            else {}
            for c in cells
        },
        teacher_curve=curves_of(root / "teacher" / "metrics.jsonl"),
        cards=cards,
        missing=read_optional(folder / "missing.json", {}),
        costs=read_costs(folder / "costs.json"),
        alarms=tuple(read_optional(folder / "alarms.json", [])),
        runs=runs,
        holes=(),
        models=tuple(read_optional(folder / "models.json", [])),
        summaries=read_summaries(folder / "means.parquet"),
        spectrum=read_spectrum(experiment, root),
        sweeps=read_sweeps(experiment, root),
    )
    content = replace(content, holes=tuple(_holes(content)))
    if content.holes and not partial:
        more = f" (and {len(content.holes) - 1} more)" if len(content.holes) > 1 else ""
        raise TadsrError(
            f"{root}: {content.holes[0]}{more}; finish the experiment, "
            "or render what there is with --partial"
        )
    return content


def _without_outdated(
    runs: dict[str, dict[str, Any]], cells: tuple[CellRun, ...]
) -> dict[str, dict[str, Any]]:
    """Run cards without those of finished students that other settings made.

    `tadsr compare` calls such a cell missing, because what is on disk is not what is asked for.
    """
    lost = {f"students/{cell.name}" for cell in cells if cell.status == "missing"}
    return {n: c for n, c in runs.items() if n not in lost or c["status"] not in FINISHED}


def _holes(content: ReportContent) -> Iterator[str]:
    of_grid = ("effects.parquet",) if content.experiment.grid else ()
    for name in ("means.parquet", "comparisons.parquet", "scores.parquet", "cells.json", *of_grid):
        if not (content.root / "comparison" / name).is_file():
            yield f"comparison/{name} is missing (tadsr compare writes it)"
    for cell in content.cells:
        if cell.status not in FINISHED:
            yield f"student {cell.name}: {cell.status}" + (cell.message and f" ({cell.message})")
    yield from sweep_holes(content.experiment, content.root, content.sweeps)
    scored = {(dataset, upscaler) for dataset, upscaler, _ in content.means}
    trained = {cell.variant for cell in content.cells if cell.status == "done"}
    expected = [name for name in content.variants if name in trained]
    for dataset in content.experiment.data.test if content.means else ():
        computable = [m for m in content.defined_metrics(dataset) if m.id not in content.missing]
        models = content.experiment.evaluation
        given = [name for name in content.baselines if models.test_sets(name, [dataset])]
        for upscaler in (*given, *expected) if computable else ():
            if (dataset, upscaler) not in scored:
                yield f"no scores of {upscaler} on {dataset}"
