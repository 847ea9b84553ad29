"""Scores by image: what a score file and the journal of an unfinished evaluation know.

The journal lies beside the images. A line is added as soon as an image is scored, so that a
killed evaluation loses nothing; the score file, once written, takes its place.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import Any

from tadsr.errors import writing
from tadsr.evaluation.scores import read_scores
from tadsr.files import canonical_json, digest_json

JOURNAL = "scores.jsonl"
DIGITS = 16
"""Of a digest that stands for pixels or a card: 64 bits, in which no two of a set meet."""


@dataclass
class Known:
    """What is known of one image with these pixels. Keys are those of metric cards."""

    pixels: str
    values: dict[str, float] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)
    """Why the metric is not defined on it."""

    def has(self, card: str) -> bool:
        """Whether the metric with this card was tried."""
        return card in self.values or card in self.skipped


def card_key(card: dict[str, Any]) -> str:
    """A short name for all that a card says."""
    return digest_json(card)[:DIGITS]


class Journal:
    """Scores of the images of one upscaler on one data set, kept on disk as they come.

    `add` may be called from several threads.
    """

    def __init__(self, path: Path, score_file: Path, identity: dict[str, str]) -> None:
        """Read what there is: the score file, if it is of `identity`, then the journal."""
        self.path = path
        self.images: dict[str, Known] = {}
        self.cards: dict[str, dict[str, Any]] = {}
        self.sets: dict[str, float] = {}
        """Values of metrics of the whole set, by card; they hold for `set_pixels` alone."""
        self.set_pixels: dict[str, str] = {}
        self._lock = Lock()
        if score_file.is_file():
            self._read_scores(score_file, identity)
        if path.is_file():
            self._read_lines()

    def known(self, image: str, pixels: str | None) -> Known | None:
        """What is known of an image, if its pixels are these."""
        found = self.images.get(image)
        return found if found and found.pixels == pixels else None

    def declare(self, cards: Iterable[dict[str, Any]]) -> None:
        """Note cards that lines will refer to."""
        new = [card for card in cards if self.cards.setdefault(card_key(card), card) is card]
        if new:
            self._write("".join(canonical_json({"card": card}) + "\n" for card in new))

    def add(self, image: str, new: Known) -> None:
        """Note the scores of an image, in memory and on disk."""
        line = {"image": image, "pixels": new.pixels, "values": new.values,
                "skipped": new.skipped}  # fmt: skip
        with self._lock:
            self._merge(image, new)
            self._write(canonical_json(line) + "\n")

    def remove(self) -> None:
        """Delete the file: the score file holds it all."""
        self.path.unlink(missing_ok=True)

    def _merge(self, image: str, new: Known) -> None:
        old = self.known(image, new.pixels)
        if old is None:
            self.images[image] = new
            return
        old.values.update(new.values)
        old.skipped.update(new.skipped)

    def _write(self, text: str) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with writing(self.path), self.path.open("a", encoding="utf-8") as stream:
            stream.write(text)

    def _read_scores(self, path: Path, identity: dict[str, str]) -> None:
        frame, meta = read_scores(path)
        if any(meta.get(key) != value for key, value in identity.items()) or "pixels" not in meta:
            return  # of something else, or written before images had digests of their own
        self.images = {image: Known(pixels) for image, pixels in meta["pixels"].items()}
        self.set_pixels = dict(meta["pixels"])
        keys = {metric: card_key(card) for metric, card in meta["cards"].items()}
        self.cards = {keys[metric]: card for metric, card in meta["cards"].items()}
        for image, metric, value in frame.itertuples(index=False):
            if image:
                self.images[image].values[keys[metric]] = value
            else:
                self.sets[keys[metric]] = value
        for metric, reasons in meta["skipped"].items():
            for image, reason in reasons.items():
                if metric in keys:
                    self.images[image].skipped[keys[metric]] = reason

    def _read_lines(self) -> None:
        """Read as far as the file is sound, and cut off the rest (a line torn by a crash)."""
        sound = 0
        with self.path.open("rb") as stream:
            for line in stream:
                if not line.endswith(b"\n") or not self._read_line(line):
                    break
                sound += len(line)
        if sound < self.path.stat().st_size:
            with self.path.open("r+b") as stream:
                stream.truncate(sound)

    def _read_line(self, line: bytes) -> bool:
        """Take in one line; False if it is damaged."""
        try:
            data = json.loads(line)
            if "card" in data:
                self.cards[card_key(data["card"])] = data["card"]
            else:
                image = str(data.pop("image"))
                self._merge(image, Known(**data))
        except (ValueError, TypeError, KeyError):
            return False
        return True
