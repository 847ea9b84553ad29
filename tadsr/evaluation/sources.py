"""Where each column of a score file comes from: scores that are known, or a metric to run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from tadsr.config.metrics import MetricSpec
from tadsr.errors import TadsrError
from tadsr.evaluation.journal import Journal, card_key
from tadsr.metrics import MetricCard, Missing, same_identity, still_holds
from tadsr.metrics.backends import Metric
from tadsr.metrics.sets import SetMetric


@dataclass(frozen=True)
class Source:
    """Where a column's values come from: the journal under `key`, after `metric` has run."""

    spec: MetricSpec
    key: str = ""
    card: dict[str, Any] | None = None
    metric: Metric | SetMetric | None = None
    """None: all values are known."""
    missing: str | None = None
    """Why there can be no value."""


def find_source(
    spec: MetricSpec,
    loaded: Metric | SetMetric | Missing,
    journal: Journal,
    complete: Callable[[str], bool],
) -> Source:
    """A column that is known to its end, by a card of the same identity, or the metric to run.

    `complete` says of a card's key whether all values under it are known. Values that an
    interrupted evaluation left count only under the very card of now, so that what is recorded
    of a column (its device, its torch) is true of all its values.
    """
    if isinstance(loaded, Missing):
        # Weights that were here once: the numbers they gave still hold.
        for key, card in _cards(journal, spec.id):
            if still_holds(card, spec) and complete(key):
                return Source(spec, key, card.to_dict())
        return Source(spec, missing=str(loaded))
    now = loaded.card.to_dict()
    for key, card in _cards(journal, spec.id):
        if same_identity(card, loaded.card) is None and complete(key):
            # As this version writes it, with what is known of the tensors now.
            known = replace(loaded.card, context=card.context)
            return Source(spec, key, known.to_dict())
    return Source(spec, card_key(now), now, loaded)


def _cards(journal: Journal, metric: str) -> Iterator[tuple[str, MetricCard]]:
    """The stored cards of a metric, by key; those of another version of tadsr are left out."""
    for key, card in sorted(journal.cards.items()):
        with suppress(TadsrError):
            if card.get("metric") == metric:
                yield key, MetricCard.from_dict(card)
