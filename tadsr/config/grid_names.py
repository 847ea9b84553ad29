"""Short names for the points of a grid."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Collection, Sequence
from typing import Any

LONGEST = 64
"""Characters of a name (see `tadsr.config.base.Name`)."""

Parts = tuple[tuple[str, str], ...]
"""What names a point: (short key, slug of the level) pairs."""


def label_of(value: Any) -> str:
    """How a value is shown where the file gives it no label."""
    return value if isinstance(value, str) else json.dumps(value)


def slug(label: str) -> str:
    """A label as part of a name: 0.3 becomes 0p3, -1 becomes m1."""
    text = re.sub(r"(?<=\d)\.(?=\d)", "p", label.lower())
    text = re.sub(r"^-(?=\d)", "m", text)
    return re.sub(r"[^a-z0-9_-]+", "-", text).strip("-") or "empty"


def short_keys(keys: Sequence[str], among: Collection[str] = ()) -> dict[str, str]:
    """Each dotted key's shortest end that no other key has; `weight` goes by its loss's name.

    `among` are further keys to tell them from.
    """
    whole = {key: key.removesuffix(".weight").split(".") for key in (*among, *keys)}
    found = {}
    for key in keys:
        others = [parts for other, parts in whole.items() if other != key]
        parts = whole[key]
        lengths = range(1, len(parts) + 1)
        unique = (n for n in lengths if all(other[-n:] != parts[-n:] for other in others))
        found[key] = ".".join(parts[-next(unique, len(parts)) :])
    return found


def name_points(points: Sequence[Parts], taken: Collection[str] = ()) -> dict[Parts, str]:
    """A name for each: `key-level_key-level`.

    Where that is too long for one of them, the words of all keys are cut to five letters, or as
    few as it takes. What is still too long, or taken, ends in a digest of what it stands for.
    """
    different = list(dict.fromkeys(points))
    for letters in (LONGEST, 5, 4, 3, 2, 1):
        names = {parts: _joined(parts, letters) for parts in different}
        free = len({*names.values(), *taken}) == len(different) + len(set(taken))
        if free and max(map(len, names.values()), default=0) <= LONGEST and _clear(points, letters):
            return names
    return {parts: _with_digest(parts) for parts in different}


def _joined(parts: Parts, letters: int) -> str:
    return "_".join(f"{_cut(key, letters)}-{level}" for key, level in parts)


def _cut(key: str, letters: int) -> str:
    words = re.split(r"([._])", key)
    return "".join(word if word in "._" else word[:letters] for word in words).replace(".", "-")


def _clear(points: Sequence[Parts], letters: int) -> bool:
    """Whether keys that were cut can still be told apart."""
    keys = {key for parts in points for key, _ in parts}
    return len({_cut(key, letters) for key in keys}) == len(keys)


def _with_digest(parts: Parts) -> str:
    digest = hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:8]
    return f"{_joined(parts, LONGEST)[: LONGEST - 9]}-{digest}"
