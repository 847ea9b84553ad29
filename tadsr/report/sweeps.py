"""What hyper-parameter searches found, as the report shows it: read from files, without Optuna."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from statistics import fmean
from typing import Any

import yaml

from tadsr.config import Experiment, MetricSpec
from tadsr.config.grid_names import label_of, short_keys
from tadsr.config.sweep import SweepSpec
from tadsr.files import read_json
from tadsr.metrics.card import is_unverified
from tadsr.report.reading import Series, marked, read_optional
from tadsr.sweeps import BEST, REFERENCES, STUDY

STATES = ("complete", "pruned", "diverged", "failed", "waiting")
"""Of trials, in the order in which they are told."""


@dataclass(frozen=True)
class SweepTrial:
    """One trial of a search; scores are means over the validation images."""

    number: int
    state: str
    """One of `STATES`; failed: its worker died or it crashed, and its settings were tried again."""
    message: str
    repeats: int | None
    """The number of the failed trial that this one repeats."""
    settings: Mapping[str, Any]
    """Without those that do not count beside the others."""
    values: Mapping[str, float]
    """Of the objectives; empty unless complete."""
    scores: Mapping[str, float]
    """At its last look, which of a pruned trial came early."""
    violations: Mapping[str, float | None]
    """Constraint to by how much it is broken; 0 or less where it is kept, None without a score."""
    images: int
    """Seen at its last look."""
    looks: Mapping[str, Series]
    """Metric to (images seen, mean) pairs."""
    run: str
    """Its run folder below `trials/`."""

    @property
    def complete(self) -> bool:
        """Whether it was carried through to its end."""
        return self.state == "complete"

    @property
    def feasible(self) -> bool:
        """Whether it keeps every constraint."""
        return all(by is not None and by <= 0 for by in self.violations.values())


@dataclass(frozen=True)
class SweepPick:
    """A winner: its value in the search, and those of the students that were trained anew."""

    which: str
    variant: str
    trial: int
    delta: Mapping[str, Any]
    search: Mapping[str, float]
    confirmed: Mapping[int, Mapping[str, float] | None]
    """By seed; None where there is no finished student."""


@dataclass(frozen=True)
class Sweep:
    """A concluded search."""

    name: str
    spec: SweepSpec
    base: str
    """The variant that trials start from."""
    metrics: tuple[MetricSpec, ...]
    """Objectives first; titles say so where a metric's weights are unverified."""
    doubted: frozenset[str]
    """Metrics of unverified weights."""
    n_images: int
    """Validation images."""
    teacher_steps: int
    teacher: Mapping[str, float]
    references: Mapping[str, Mapping[str, float]]
    """Students trained beside the trials, with the search's seed; empty where one diverged."""
    trials: tuple[SweepTrial, ...]
    importances: Mapping[str, Mapping[str, Mapping[str, float]]]
    """Objective to method to setting to its share."""
    front: tuple[int, ...]
    """Numbers of the Pareto front's trials, best in the first objective first."""
    picks: tuple[SweepPick, ...]

    @property
    def objectives(self) -> tuple[MetricSpec, ...]:
        """The metrics that were optimised."""
        return self.metrics[: len(self.spec.objectives)]

    @cached_property
    def complete(self) -> tuple[SweepTrial, ...]:
        """The trials that were carried through."""
        return tuple(trial for trial in self.trials if trial.complete)

    @cached_property
    def short(self) -> dict[str, str]:
        """Short names of the settings."""
        return short_keys(list(self.spec.space))

    @cached_property
    def states(self) -> Counter[str]:
        """How many trials ended how."""
        return Counter(trial.state for trial in self.trials)

    @property
    def picked(self) -> dict[int, str]:
        """Trial number to what it was picked as, such as `best` or `knee, end1`."""
        found: dict[int, list[str]] = {}
        for pick in self.picks:
            found.setdefault(pick.trial, []).append(pick.which)
        return {number: ", ".join(which) for number, which in found.items()}

    def levels(self, metric: str) -> dict[str, float]:
        """What trials are held against: the teacher in all its steps, the references."""
        given = {f"teacher-{self.teacher_steps}": self.teacher, **self.references}
        return {name: scores[metric] for name, scores in given.items() if metric in scores}

    def ranked_settings(self) -> list[str]:
        """The settings, the most important one for the first objective first (fANOVA's word)."""
        shares = self.importances.get(self.objectives[0].id, {}).get("fanova", {})
        return sorted(self.spec.space, key=lambda key: -shares.get(key, 0.0))


def shown_setting(value: Any) -> str:
    """A setting's value for a reader: numbers with four significant digits."""
    return f"{value:.4g}" if isinstance(value, float) else label_of(value)


def read_sweeps(experiment: Experiment, root: Path) -> tuple[Sweep, ...]:
    """The searches that `tadsr compare` found concluded, and whose files are still those."""
    told = {entry["sweep"]: entry for entry in _told(root)}
    return tuple(
        _read(experiment, root / "sweeps" / name, told[name])
        for name in experiment.sweeps
        if name in told and _agrees(root / "sweeps" / name, told[name])
    )


def sweep_holes(experiment: Experiment, root: Path, found: tuple[Sweep, ...]) -> Iterator[str]:
    """The searches that the experiment asks for and that cannot be shown."""
    told = {entry["sweep"] for entry in _told(root)}
    shown = {sweep.name for sweep in found}
    for name in experiment.sweeps:
        if name not in told:
            yield f"sweep {name}: not concluded with the settings of now (tadsr run)"
        elif name not in shown:
            yield (f"sweep {name}: sweeps/{name} went on after comparison/sweeps.json was written "
                   "(tadsr compare)")  # fmt: skip


def _told(root: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = read_optional(root / "comparison" / "sweeps.json", [])
    return found


def _agrees(folder: Path, told: Mapping[str, Any]) -> bool:
    """Whether trials and winners in `folder` are those that the comparison speaks of."""
    needed = ("trials.json", "importances.json", STUDY, REFERENCES, BEST)
    if not all((folder / name).is_file() for name in needed):
        return False
    states = Counter(trial["state"] for trial in read_json(folder / "trials.json"))
    picks = {which: pick["trial"] for which, pick in _best(folder)["picks"].items()}
    return states == told["trials"] and picks == {p["which"]: p["trial"] for p in told["picks"]}


def _best(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((folder / BEST).read_text(encoding="utf-8"))
    return found


def _read(experiment: Experiment, folder: Path, told: Mapping[str, Any]) -> Sweep:
    name, spec = folder.name, experiment.sweeps[folder.name]
    study = read_json(folder / STUDY)
    return Sweep(
        name=name,
        spec=spec,
        base=spec.base or experiment.reference,
        metrics=tuple(marked(m, study["cards"]) for m in experiment.search_metrics(name)),
        doubted=frozenset(m for m, card in study["cards"].items() if is_unverified(card)),
        n_images=told["images"],
        teacher_steps=study["teacher"]["steps"],
        teacher=_means(study["teacher"]["scores"]),
        references={n: _means(e["scores"]) for n, e in read_json(folder / REFERENCES).items()},
        trials=tuple(_trial(folder, record) for record in read_json(folder / "trials.json")),
        importances=read_json(folder / "importances.json"),
        front=tuple(_best(folder)["front"]),
        picks=tuple(_pick(pick) for pick in told["picks"]),
    )


def _trial(folder: Path, record: Mapping[str, Any]) -> SweepTrial:
    return SweepTrial(
        number=record["number"],
        state=record["state"],
        message=record["message"],
        repeats=record["retry_of"],
        settings=record["settings"],
        values=record["values"],
        scores=_means(record["scores"]),
        violations=record["violations"],
        images=record["images"],
        looks=_looks(folder, record),
        run=record["run"],
    )


def _looks(folder: Path, record: Mapping[str, Any]) -> dict[str, Series]:
    """From the trial's run folder; another trial of these settings may have gone on further."""
    found = read_optional(folder / "trials" / (record["run"] or "none") / "looks.json", {})
    series: dict[str, list[tuple[float, float]]] = {}
    for images in sorted(map(int, found)):
        if images <= record["images"]:
            for metric, mean in _means(found[str(images)]).items():
                series.setdefault(metric, []).append((images, mean))
    return {metric: tuple(points) for metric, points in series.items()}


def _pick(told: Mapping[str, Any]) -> SweepPick:
    confirmed = {int(seed): scores for seed, scores in told["confirmed"].items()}
    return SweepPick(told["which"], told["variant"], told["trial"], told["delta"], told["search"],
                     dict(sorted(confirmed.items())))  # fmt: skip


def _means(scores: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    return {metric: fmean(values.values()) for metric, values in scores.items() if values}
