"""The built-in photographs: there, sound, and split by image."""

from __future__ import annotations

import numpy as np
import pytest

from tadsr.data.manifest import pixel_digest
from tadsr.data.photos import PHOTOS, Photo, photo_paths
from tadsr.errors import ConfigError, DataError


@pytest.mark.parametrize("photo", PHOTOS, ids=lambda photo: photo.name)
def test_each_can_be_read_and_has_detail(photo: Photo) -> None:
    pixels = photo.read()
    assert min(pixels.shape[:2]) >= 256
    assert photo.credit
    if photo.box is not None:
        left, top, right, bottom = photo.box
        assert pixels.shape == (bottom - top, right - left, 3)
    # No flat frame: the outermost rows and columns vary.
    for edge in (pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]):
        assert edge.std() > 2


def test_splits_share_no_picture_and_test_is_in_colour() -> None:
    digests = {split: {pixel_digest(p.read()) for p in photo_paths(split)} for split in
               ("train", "val", "test")}  # fmt: skip
    everything = [digest for split in digests.values() for digest in split]
    assert len(everything) == len(set(everything)) == len(PHOTOS)
    assert len({photo.name for photo in PHOTOS}) == len(PHOTOS)
    assert len({(photo.package, photo.file) for photo in PHOTOS}) == len(PHOTOS)
    coloured = [p for p in photo_paths("test") if np.ptp(p.read().astype(int), axis=2).mean() > 5]
    assert len(coloured) >= 3
    assert len(photo_paths("train")) >= 5


def test_mistakes_are_named() -> None:
    with pytest.raises(ConfigError, match="no split 'tset': did you mean 'test'"):
        photo_paths("tset")
    gone = Photo("gone", "test", "skimage", "gone.png", "nobody")
    with pytest.raises(DataError, match=r"'gone': skimage does not ship gone\.png"):
        gone.read()
    absent = Photo("absent", "test", "no_such_package_at_all", "x.png", "nobody")
    with pytest.raises(DataError, match="no_such_package_at_all"):
        absent.read()
