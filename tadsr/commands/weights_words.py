"""What `tadsr weights` says of metrics and files: whether they are here, and whether right."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from tadsr.config.metrics import METRICS, MetricSpec
from tadsr.errors import ConfigError, nearest
from tadsr.metrics.verification import KNOWN_TENSORS, tensors_key
from tadsr.weights import (
    CATALOG,
    Missing,
    Present,
    WeightFile,
    canonical_name,
    noted_tensors,
    status,
    verify,
    weights_home,
)


class Verdict(NamedTuple):
    """One line on a metric or a file."""

    name: str
    words: str
    right: bool
    """False: it is here, and it is not what it should be."""


def asked(names: Iterable[str]) -> tuple[list[MetricSpec], list[str]]:
    """The metrics and the files that are meant by names of either; all of both by none.

    A metric brings its files, and a file the metrics that need it.

    Raises:
        ConfigError: a name of neither.
    """
    names = list(names)
    if not names:
        return [spec for spec in METRICS.values() if spec.weights], list(CATALOG)
    metrics: dict[str, None] = {}
    files: dict[str, None] = {}
    for name in names:
        file = canonical_name(name)
        if name not in METRICS and file not in CATALOG:
            known = nearest(name, [*CATALOG, *METRICS])
            raise ConfigError(f"unknown weights '{name}': {known}")
        if name in METRICS:
            metrics[name] = None
            files |= dict.fromkeys(METRICS[name].weights)
        if file in CATALOG:
            files[file] = None
            metrics |= dict.fromkeys(CATALOG[file].needed_by)
    return [METRICS[name] for name in metrics if name in METRICS], list(files)


def metric_state(spec: MetricSpec) -> str:
    """Whether a metric can be computed here, and what is known of its tensors; without torch."""
    if not spec.weights:
        return "ready, needs no weights"
    found = [status(name) for name in spec.weights]
    lacking = [state for state in found if isinstance(state, Missing)]
    if lacking:
        damaged = [state.reason for state in lacking if "not here" not in state.reason]
        what = "; ".join(damaged) or ", ".join(state.name for state in lacking)
        return f"missing: {what}; {lacking[0].command}"
    note = noted_tensors(tensors_key(spec), spec.weights)
    if note is not None and note.verified:
        return f"ready, the published tensors (seen {note.date})"
    if note is not None:
        return f"here, UNVERIFIED: tensors {note.sha256[:12]} not known as the published ones"
    return "here, tensors not looked at yet (tadsr weights verify)"


def metric_verdict(spec: MetricSpec) -> Verdict:
    """Load a metric and hold its tensors against the published ones."""
    from tadsr.metrics import Missing as Lacking
    from tadsr.metrics import load_metric

    if not spec.weights:
        return Verdict(spec.id, "needs no weights", True)
    metric = load_metric(spec)
    if isinstance(metric, Lacking):
        here = all(isinstance(status(name), Present) for name in spec.weights)
        return Verdict(spec.id, f"missing: {metric}", not here)
    digest = str(metric.card.tensors)[:12]
    if metric.card.verified:
        return Verdict(spec.id, f"the published tensors ({digest})", True)
    silent = [name for name in spec.weights if CATALOG[name].sha256 is None]
    if silent and spec.pyiqa not in KNOWN_TENSORS:
        words = f"UNVERIFIED: no official digest of {', '.join(silent)} is known ({digest})"
        return Verdict(spec.id, words, True)
    words = f"UNVERIFIED: its tensors ({digest}) are not the published ones"
    return Verdict(spec.id, words, False)


def file_state(name: str) -> str:
    """Whether a file is here, and what is known of its sha256."""
    found = status(name)
    if isinstance(found, Missing):
        place = "" if CATALOG[name].url else " (by hand: no address is known)"
        plain = found.reason == f"weights '{name}' are not here"
        return f"missing{place}" if plain or place else f"missing: {found.reason}"
    home = weights_home()
    inside = found.path.is_relative_to(home)
    where = found.path.relative_to(home) if inside else found.path
    other = " (another file: its tensors decide)" if found.verified is False else ""
    return f"here: {where}{other}"


def file_verdicts(names: Iterable[str], metrics: Iterable[Verdict]) -> Iterator[Verdict]:
    """Digest anew what is here of some files; `metrics` are the verdicts on their tensors."""
    names = list(names)
    wrong = verify(names)
    right = {verdict.name for verdict in metrics if verdict.right}
    for name in names:
        entry, found = CATALOG[name], status(name)
        if name in wrong:
            yield Verdict(name, f"WRONG: {wrong[name]}", False)
        elif isinstance(found, Missing):
            yield Verdict(name, "not here", True)
        elif found.verified is False:
            held = right.issuperset(entry.needed_by)
            words = f"{hash_words(entry, found)}, and this is another file"
            yield Verdict(name, words + ", with the same tensors" * held, held)
        elif found.verified or found.recorded:
            yield Verdict(name, f"{hash_words(entry, found)}, and this is it", True)
        elif entry.needed_by and right.issuperset(entry.needed_by):
            yield Verdict(name, f"{hash_words(entry, found)}, the tensors are right", True)
        else:
            yield Verdict(name, "here, nothing to compare with", True)


def hash_words(entry: WeightFile, found: Present | Missing) -> str:
    """What is known of a file's sha256."""
    recorded = getattr(found, "recorded", None)
    if recorded:
        return f"sha256 recorded here {recorded}"
    if entry.sha256 is None:
        return "official sha256 unknown"
    return (
        "sha256 known"
        if len(entry.sha256) == 64
        else f"sha256 known by its first {len(entry.sha256)}"
    )


def size_words(entry: WeightFile) -> str:
    """About how large a file is."""
    return "size unknown" if entry.megabytes is None else f"{entry.megabytes} MB"
