"""What `tadsr merge` reads: results folders, held against their digests and against each other."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from functools import cached_property
from pathlib import Path
from typing import Any

from tadsr.commands.verify_audit import Audit, Progress, pick_name
from tadsr.commands.verify_receipts import differences, read_receipts
from tadsr.commands.verify_runs import check_data, check_students, check_targets, check_teacher
from tadsr.commands.verify_scores import check_scores
from tadsr.commands.verify_sweeps import check_sweeps
from tadsr.config import Experiment
from tadsr.config.loading import freeze
from tadsr.errors import ConfigError, TadsrError, listed
from tadsr.evaluation.scores import read_scores
from tadsr.locks import is_locked
from tadsr.metrics.card import MetricCard, same_identity
from tadsr.plan import Plan
from tadsr.runs.folder import read_card

MAY_DIFFER = ("seeds", "variants.*", "sweeps.*", "execution.*", "data.*.path")
"""Settings that machines may have for themselves; of data sets the content is compared."""
BY_NAME = ("variants", "sweeps")
"""Sections of which all entries are taken; those of one name must be equal."""


@dataclass(frozen=True)
class Source:
    """A results folder that is merged, and what was found whole in it."""

    label: str
    """As the user named it."""
    audit: Audit

    @property
    def plan(self) -> Plan:
        """Its jobs and places."""
        return self.audit.plan

    @cached_property
    def made_with(self) -> dict[str, str]:
        """Versions, platform and device of the metrics; several where its own runs differ."""
        found: dict[str, set[str]] = {}
        for run in sorted(self.audit.whole):
            for name, value in self.card(run).get("environment", {}).items():
                found.setdefault(name, set()).add(str(value))
        for name, dataset in self.audit.scored:
            for card in scores_of(self, name, dataset)[1]["cards"].values():
                device = card.get("context", {}).get("device", "?")
                found.setdefault("device of the metrics", set()).add(device)
        return {name: " or ".join(sorted(values)) for name, values in sorted(found.items())}

    def card(self, run: str) -> dict[str, Any]:
        """The run card of a run that is whole."""
        return read_card(self.plan.root / run) or {}


@dataclass(frozen=True)
class Merge:
    """What goes into a merged folder, and from where."""

    sources: list[Source]
    experiment: Experiment
    runs: Mapping[str, Source]
    """Run folder to where it is taken from."""
    evaluations: Mapping[str, Source]
    """Model to where its images and scores are taken from."""
    remarks: list[str]
    """What differs between the machines, and may."""


def read_source(folder: str, progress: Progress) -> Source:
    """Verify a results folder as far as it is merged; what is not finished may be missing.

    Raises:
        ConfigError: it is no results folder.
        TadsrError: a run is under way in it, or something in it is damaged.
    """
    root = Path(folder)
    if not (root / "experiment.json").is_file():
        raise ConfigError(
            f"{folder}: no experiment.json; name results folders, such as machine-a/results/small"
        )
    plan = Plan.load(root / "experiment.json")
    if is_locked(root / ".lock"):
        raise TadsrError(f"{folder}: a run is under way; wait for it, then merge")
    audit = Audit(plan, progress=progress)
    if links := audit.check_links():
        raise TadsrError(
            f"{folder}: {links[0].relative_to(root.resolve())} is a link to {links[0].resolve()}, "
            "out of this folder; put what is meant in its place"
        )
    read_receipts(audit)
    for check in (check_data, check_teacher, check_targets, check_sweeps, check_students,
                  check_scores):  # fmt: skip
        check(audit)
    damaged = [f.text for f in audit.findings if f.word == "wrong" or _is_torn(f.word, f.path)]
    if damaged:
        raise TadsrError(f"{folder}: {listed(damaged, 5)}; `tadsr verify` tells all of it")
    return Source(folder, audit)


def _is_torn(word: str, path: str) -> bool:
    """A file missing from a thing that is there; a run or a score file may be missing whole."""
    return word == "missing" and Path(path).suffix not in ("", ".parquet")


def merged_settings(sources: Sequence[Source]) -> Experiment:
    """The experiment with all seeds, variants and searches.

    Raises:
        TadsrError: other settings differ, all named.
    """
    first = freeze(sources[0].plan.experiment)
    problems = []
    for source in sources[1:]:
        settings = freeze(source.plan.experiment)
        for key, (one, other) in differences(first, settings).items():
            if not any(fnmatch(key, pattern) for pattern in MAY_DIFFER):
                problems.append(f"{key} is {one} in {sources[0].label}, {other} in {source.label}")
        for section in BY_NAME:
            for name, entry in settings[section].items():
                known = first[section].setdefault(name, entry)
                for key, (one, other) in differences(_made(known), _made(entry)).items():
                    at = key.removeprefix("delta.")
                    problems.append(f"{section}.{name}: {at} is {one} in {sources[0].label}, "
                                    f"{other} in {source.label}")  # fmt: skip
        first["seeds"] = sorted({*first["seeds"], *settings["seeds"]})
    if problems:
        raise TadsrError(f"these are different experiments: {listed(problems)}")
    return Experiment.model_validate_json(json.dumps(first))


def _made(entry: Mapping[str, Any]) -> dict[str, Any]:
    """What of a variant, or of a search, decides what comes out."""
    return {key: value for key, value in entry.items() if key not in ("description", "workers")}


def disagreements(sources: Sequence[Source]) -> Iterator[str]:
    """Why these results cannot stand in one report, one line each."""
    first: dict[str, Source] = {}
    for source in sources:
        for run in sorted(source.audit.whole):
            other = first.setdefault(run, source)
            if other.audit.contents[run] != source.audit.contents[run]:
                yield (
                    f"{run} is {other.audit.contents[run][:12]} in {other.label} and "
                    f"{source.audit.contents[run][:12]} in {source.label}{_advice(run)}"
                )
    contents = {run: source.audit.contents[run] for run, source in first.items()}
    for run, source in first.items():
        if run.startswith("sweeps/"):
            picks = source.audit.contents.items()
            contents |= {name: value for name, value in picks if name.startswith(f"{run} ")}
    for run, source in first.items():
        yield from _foreign_parents(run, source, contents)
    for run in ("data/train", "data/val", "teacher"):
        if run not in first:
            yield f"{run} is whole in none of them"
    for source in sources:
        for name, dataset in source.audit.scored:
            yield from _foreign_scores(source, name, dataset, contents)
    yield from _metric_disagreements(sources)


def _advice(run: str) -> str:
    """What a difference means, and the way out."""
    kind = run.partition("/")[0]
    return {
        "teacher": ": students of two teachers cannot be compared; train it on one machine and "
                   "copy teacher/ (and targets/, data/) to the others before their students",
        "data": ": they learned from, or were measured on, other images",
        "targets": ": the same teacher's answers came out differently; copy targets/ from one "
                   "machine to the others before their students",
        "sweeps": ": the same search was done twice and came out differently; copy sweeps/ from "
                  "one machine to the others before their students, or leave it out of the others "
                  "(--set sweeps=[])",
        "students": ": the same cell was trained twice and came out differently; delete it on one "
                    "machine, with its evaluations",
    }[kind]  # fmt: skip


def _foreign_parents(run: str, source: Source, contents: Mapping[str, str]) -> Iterator[str]:
    """A run made from a teacher or data that its own folder no longer has, unlike the others'."""
    upstream: dict[str, str] = source.card(run)["upstream"]
    names = {"teacher": "teacher", "train": "data/train", "val": "data/val"}
    cells = {f"students/{cell.name}": cell for cell in source.plan.experiment.cells()}
    if run in cells:
        names["targets"] = f"targets/{source.plan.pool(cells[run]).name}"
        if pick := cells[run].pick:
            names["pick"] = pick_name(pick)
    elif run.startswith("sweeps/"):
        cell = source.plan.experiment.search_cell(run.removeprefix("sweeps/"))
        names["targets"] = f"targets/{source.plan.pool(cell).name}"
    for name, parent in names.items():
        if name in upstream and upstream[name] != contents.get(parent, upstream[name]):
            yield (
                f"{run} of {source.label} was made from {parent} {upstream[name][:12]}, not "
                f"{contents[parent][:12]}"
            )


def _foreign_scores(
    source: Source, name: str, dataset: str, contents: Mapping[str, str]
) -> Iterator[str]:
    """Scores of a model or of images that their own folder no longer has, unlike the others'."""
    meta = scores_of(source, name, dataset)[1]
    kind = source.plan.experiment.evaluation.kind(name)
    run = {"student": f"students/{name}", "teacher": "teacher"}.get(kind, "")
    for parent, key in ((run, "upscaler_content"), (f"data/{dataset}", "dataset_content")):
        if parent in contents and meta[key] != contents[parent]:
            yield (
                f"scores of {name} on {dataset} of {source.label} are of {parent} "
                f"{meta[key][:12]}, not {contents[parent][:12]}"
            )


def _metric_disagreements(sources: Sequence[Source]) -> Iterator[str]:
    """Metrics measured in different ways, or on one machine only."""
    cards: dict[str, tuple[MetricCard, Source]] = {}
    missing: dict[str, tuple[str, Source]] = {}
    said = set()
    for source in sources:
        for name, dataset in source.audit.scored:
            meta = scores_of(source, name, dataset)[1]
            for metric, card in meta["cards"].items():
                own = MetricCard.from_dict(card)
                other, where = cards.setdefault(metric, (own, source))
                difference = same_identity(other, own)
                if difference and (metric, source.label) not in said:
                    said.add((metric, source.label))
                    yield f"metric card of {where.label} and {source.label}: {difference}"
            for metric, reason in meta["missing"].items():
                if not reason.startswith("not applicable"):
                    missing.setdefault(metric, (reason, source))
    for metric in cards.keys() & missing.keys():
        reason, source = missing[metric]
        yield (
            f"{metric} is measured in {cards[metric][1].label} and missing in {source.label} "
            f"({reason}), then `tadsr run` there"
        )


def scores_of(source: Source, name: str, dataset: str) -> tuple[Any, dict[str, Any]]:
    """Frame and metadata of a score file."""
    return read_scores(source.plan.evaluation(name) / f"{dataset}.parquet")
