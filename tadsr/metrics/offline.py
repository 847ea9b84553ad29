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
    """A library tried to download a file; `remedy` says how to get it."""

    def __init__(self, url: str, target: Path | str) -> None:
        super().__init__(url)
        self.remedy = f"by hand: curl -fL --create-dirs -o '{target}' '{url}'"


@contextlib.contextmanager
def no_downloads() -> Iterator[None]:
    """Turn each of the ways in which pyiqa, torchvision, CLIP and timm download into an error."""
    import huggingface_hub.constants
    import pyiqa.utils.download_util as pyiqa_download

    def refuse(url: Any, target: Any = None, *_: Any, **__: Any) -> NoReturn:
        # CLIP opens the address itself, to store it in a folder of its own.
        place = target or Path(torch.hub.get_dir(), "clip", str(url).rpartition("/")[2])
        raise DownloadError(str(url), place)

    places = (
        (torch.hub, "download_url_to_file"),
        (pyiqa_download, "download_url_to_file"),
        (urllib.request, "urlopen"),
    )
    offline = (huggingface_hub.constants, "HF_HUB_OFFLINE")  # timm's and transformers' models
    before = [getattr(module, name) for module, name in (*places, offline)]
    for module, name in places:
        setattr(module, name, refuse)
    huggingface_hub.constants.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        for (module, name), value in zip((*places, offline), before, strict=True):
            setattr(module, name, value)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep pyiqa's announcements off the screen."""
    logging.getLogger("pyiqa").setLevel(logging.WARNING)
    with contextlib.redirect_stdout(io.StringIO()):
        yield
