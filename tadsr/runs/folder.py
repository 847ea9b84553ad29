"""Run folders: lock, run card, resume or supersede."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from tadsr.errors import CorruptionError, StorageError, without_secrets
from tadsr.files import (
    TEMPORARY_PREFIX,
    digest_json,
    read_json,
    remove_leftovers,
    sha256_file,
    with_checksum,
    write_json,
)
from tadsr.locks import Lock
from tadsr.runs import team
from tadsr.runs.environment import describe_environment

CARD = "run.json"
NOTED_SECONDS = 30.0
"""How often the card of a run at work says what it took so far: more than that no kill can hide."""
FINISHED = ("done", "diverged")


def read_card(folder: Path | str) -> dict[str, Any] | None:
    """The run card of a folder, or None where nothing was run yet."""
    path = Path(folder) / CARD
    if not path.is_file():
        return None
    card: dict[str, Any] = read_json(path)
    return card


def lock_path(folder: Path | str) -> Path:
    """Beside the folder, so that superseding the folder does not move the lock."""
    folder = Path(folder)
    return folder.parent / f".{folder.name}.lock"


@dataclass
class Run:
    """A recipe being carried out in a folder. Made by `Run.open`."""

    folder: Path
    key: str
    card: dict[str, Any]
    _started: float = field(default_factory=time.monotonic)

    @property
    def finished(self) -> bool:
        """Whether this recipe is already carried out here; there is nothing to do then."""
        return self.card["status"] in FINISHED

    @property
    def seconds(self) -> float:
        """Spent on it so far, in earlier processes too."""
        before = float(self.card.get("seconds", 0.0))
        return before if self.finished else round(before + time.monotonic() - self._started, 2)

    def timed(self, progress: Callable[[int, int], None]) -> Callable[[int, int], None]:
        """`progress`, as which the card learns now and then what was spent so far."""
        noted = [time.monotonic()]

        def call(done: int, total: int) -> None:
            progress(done, total)
            if team.is_main() and time.monotonic() - noted[0] > NOTED_SECONDS:
                noted[0] = time.monotonic()
                with suppress(StorageError):
                    write_json(self.folder / CARD, {**self.card, "seconds": self.seconds})

        return call

    @classmethod
    @contextmanager
    def open(
        cls,
        folder: Path,
        recipe: dict[str, Any],
        upstream: dict[str, str],
        *,
        root: Path,
        content: Callable[[Path], str],
    ) -> Iterator[Run]:
        """Open `folder` for (recipe, upstream contents), waiting for another process's lock.

        Same key: resume, or nothing to do. Another key: the old folder moves to
        `root/superseded/`. `content` digests what a finished run produced; if it differs from
        the card, the folder is corrupt and `CorruptionError` names both digests. An exception
        inside the block marks the card `failed`; a kill leaves it `running`, to be resumed.

        Of several processes that carry out a run together the main one does all this; the others
        are given its card.
        """
        key = digest_json({"recipe": recipe, "upstream": upstream})
        if not team.is_main():
            given: dict[str, Any] = team.decide(dict)
            if given["key"] != key:
                raise CorruptionError(
                    f"{folder}: this process has other settings than the main one; start all of "
                    "them with the same files"
                )
            yield cls(folder, key, given)
            return
        with Lock(lock_path(folder), f"the run {folder.name}", wait=True, waiting=team.announce):
            remove_leftovers(folder)
            card = read_card(folder)
            if card is not None and card["key"] != key:
                _supersede(folder, card["key"], root)
                card = None
            if card is not None and card["status"] in FINISHED:
                _verify(folder, card, content)
                yield cls(folder, key, team.decide(partial(dict, card)))
                return
            yield from _carry_out(cls, folder, key, recipe, upstream)

    def finish(
        self, status: str, content: str, *, results: dict[str, Any] | None = None, message: str = ""
    ) -> None:
        """Write the final card: `done` or `diverged`, the content digest, scalar results.

        It has the digest of each file beside it, and a checksum of its own.
        """
        self.card = {
            **self.card,
            "status": status,
            "content": content,
            "results": results or {},
            "message": message,
            "seconds": self.seconds,
        }
        if team.is_main():
            files = {name: sha256_file(self.folder / name) for name in run_files(self.folder)}
            self.card = with_checksum({**self.card, "files": files})
            write_json(self.folder / CARD, self.card)


def run_files(folder: Path) -> list[str]:
    """Names of what a run leaves for others: all but its card and its resume state.

    Images of a data set lie deeper, and have their digests in the manifest.
    """
    found = (*folder.glob("*"), *folder.glob("model/**/*"))
    return [
        path.relative_to(folder).as_posix()
        for path in sorted(found)
        if path.is_file() and path.name != CARD and not path.name.startswith(TEMPORARY_PREFIX)
    ]


def _carry_out(
    cls: type[Run], folder: Path, key: str, recipe: dict[str, Any], upstream: dict[str, str]
) -> Iterator[Run]:
    previous = read_card(folder) or {}
    card = {
        "key": key,
        "recipe": recipe,
        "recipe_digest": digest_json(recipe),
        "upstream": upstream,
        "status": "running",
        "environment": describe_environment(),
        "command": without_secrets(" ".join(["tadsr", *sys.argv[1:]])),
        "seconds": previous.get("seconds", 0.0),
        "message": "",
    }
    write_json(folder / CARD, card)
    run = cls(folder, key, team.decide(partial(dict, card)))
    try:
        yield run
    except BaseException as error:  # a signal's SystemExit too, for the time it took so far
        if not run.finished:
            stopped = {**card, "seconds": run.seconds}
            if isinstance(error, Exception):
                text = f"{type(error).__name__}: {error}".splitlines()[0][:500]
                stopped |= {"status": "failed", "message": without_secrets(text)}
            with suppress(StorageError):  # of a disk that is full `error` tells
                write_json(folder / CARD, stopped)
        raise


def verify_run(folder: Path, content: Callable[[Path], str]) -> None:
    """Check that a finished run's files are those that its card tells of, before they are used.

    Raises:
        CorruptionError: they are not.
    """
    card = read_card(folder)
    if card is not None and card["status"] in FINISHED:
        _verify(folder, card, content)


def _verify(folder: Path, card: dict[str, Any], content: Callable[[Path], str]) -> None:
    found = content(folder)
    if found != card["content"]:
        raise CorruptionError(
            f"{folder}: its content ({found[:12]}) is not what its run card says "
            f"({card['content'][:12]}); delete the folder to make it again"
        )


def _supersede(folder: Path, key: str, root: Path) -> None:
    """Move a folder made by another recipe out of the way; nothing trained is deleted."""
    name = "__".join(folder.relative_to(root).parts) + f"--{key[:8]}"
    target = root / "superseded" / name
    if target.exists():
        shutil.rmtree(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    folder.rename(target)
