"""Whose results an MLflow experiment shows: two results folders of one name do not mix.

A results folder has an identity, a random number that moves and is copied with it. The MLflow
experiment carries that of the results which it shows, and where they were made.
"""

from __future__ import annotations

import getpass
import os
import socket
import uuid
from dataclasses import dataclass
from pathlib import Path

from mlflow.tracking import MlflowClient

from tadsr.errors import TadsrError
from tadsr.files import read_json, write_json

FILE = "identity.json"
RESULTS, ORIGIN = "tadsr.results", "tadsr.origin"


@dataclass(frozen=True)
class Owner:
    """A results folder as MLflow knows it."""

    results: str
    """Random, made when it was first published."""
    origin: str
    """`user@host:folder`."""


def owner_of(root: Path) -> Owner:
    """The identity of the results folder `root`; it is made when it has none."""
    path = root / FILE
    if not path.is_file():
        write_json(path, {"results": uuid.uuid4().hex})
    return Owner(read_json(path)["results"], f"{_user()}@{socket.gethostname()}:{root.absolute()}")


def claim(client: MlflowClient, number: str, owner: Owner, *, replace: bool = False) -> None:
    """Make sure that the MLflow experiment shows these results, or none yet.

    A folder that was moved or copied is known by its identity, one that was deleted and made anew
    by its place.

    Raises:
        TadsrError: it shows those of another folder, and `replace` is not set.
    """
    experiment = client.get_experiment(number)
    shown = Owner(experiment.tags.get(RESULTS, ""), experiment.tags.get(ORIGIN, ""))
    if shown == owner:
        return
    known = shown.results in ("", owner.results) or shown.origin == owner.origin
    if not known and not replace:
        raise TadsrError(
            f"MLflow experiment {experiment.name} shows the results of {shown.origin}, and these "
            f"are those of {owner.origin}; give yours another `name` (and its folder in results/ "
            "too: nothing is trained again), or put them in the place of the others with "
            "`tadsr publish --replace`"
        )
    client.set_experiment_tag(number, RESULTS, owner.results)
    client.set_experiment_tag(number, ORIGIN, owner.origin)


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a user id without a name, as in containers
        return str(os.getuid())
