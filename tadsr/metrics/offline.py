"""Loading metrics without a network: a download becomes an error that names the file."""

from __future__ import annotations

import contextlib
import io
import logging
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import torch


class DownloadError(Exception):
    """A library tried to download a file."""

    def __init__(self, url: str, folder: Path | str) -> None:
        super().__init__(url)
        self.folder = folder


@contextlib.contextmanager
def no_downloads() -> Iterator[None]:
    """Turn each of the ways in which pyiqa, torchvision and CLIP download into an error."""
    import pyiqa.utils.download_util as pyiqa_download

    def refuse(url: Any, target: Any = None, *_: Any, **__: Any) -> NoReturn:
        folder = Path(target).parent if target else "TORCH_HOME"
        raise DownloadError(str(url), folder)

    places = (
        (torch.hub, "download_url_to_file"),
        (pyiqa_download, "download_url_to_file"),
        (urllib.request, "urlopen"),
    )
    before = [getattr(module, name) for module, name in places]
    for module, name in places:
        setattr(module, name, refuse)
    try:
        yield
    finally:
        for (module, name), value in zip(places, before, strict=True):
            setattr(module, name, value)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep pyiqa's announcements off the screen."""
    logging.getLogger("pyiqa").setLevel(logging.WARNING)
    with contextlib.redirect_stdout(io.StringIO()):
        yield
