"""metrics.jsonl: the one true record of a training's curves."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import Any

from tadsr.errors import TadsrError, writing
from tadsr.files import write_text


class Curves:
    """An append-only JSON-lines file: `{"images": 480, "loss/regression": 0.1, ...}` per line."""

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self.path.parent.mkdir(parents=True, exist_ok=True)

    def append(self, images: int, values: dict[str, float]) -> None:
        """Add one line at `images` seen; non-finite values are written as null."""
        finite = {k: v if math.isfinite(v) else None for k, v in values.items()}
        line = json.dumps({"images": images, **finite}, allow_nan=False)
        with writing(self.path), self.path.open("a", encoding="utf-8") as stream:
            stream.write(line + "\n")
            stream.flush()
            os.fsync(stream.fileno())

    def rewind(self, images: int) -> None:
        """Drop the lines beyond `images`, and a torn last line, before a training is resumed."""
        if self.path.is_file():
            kept = [line for line in read_curves(self.path) if line["images"] <= images]
            write_text(self.path, "".join(json.dumps(line) + "\n" for line in kept))


def read_curves(path: Path | str) -> list[dict[str, Any]]:
    """The lines of a metrics.jsonl; a torn last line (killed while writing) is left out."""
    path = Path(path)
    if not path.is_file():
        return []
    lines = path.read_text(encoding="utf-8").split("\n")
    complete = [line for line in lines[:-1] if line]
    try:
        return [json.loads(line) for line in complete]
    except json.JSONDecodeError as error:
        raise TadsrError(f"{path}: a line is not valid JSON ({error}); delete the run") from error
