"""Photographs that come inside the wheels of scikit-image, scikit-learn and matplotlib.

They make the demo run without any download. Split by image, never by crop. Out-of-focus,
black-bordered and synthetic pictures of these packages are left out.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from tadsr.data.images import RGB8, read_rgb
from tadsr.errors import ConfigError, DataError, nearest

Split = Literal["train", "val", "test"]

_FOLDERS = {
    "skimage": "data",
    "sklearn": "datasets/images",
    "matplotlib": "mpl-data/sample_data",
}


@dataclass(frozen=True)
class Photo:
    """One photograph: where it lies, who made it, which part of it is used."""

    name: str
    split: Split
    package: str
    file: str
    credit: str
    box: tuple[int, int, int, int] | None = None  # left, top, right, bottom; all of it if None

    @property
    def path(self) -> Path:
        """The file inside the installed package.

        Raises:
            DataError: the package is not installed or ships the file no more.
        """
        spec = find_spec(self.package)
        for folder in (spec.submodule_search_locations or []) if spec else []:
            path = Path(folder) / _FOLDERS[self.package] / self.file
            if path.is_file():
                return path
        raise DataError(
            f"photograph '{self.name}': {self.package} does not ship {self.file} here; "
            "install the versions of requirements.lock"
        )

    def read(self) -> RGB8:
        """Its pixels, (H, W, 3) uint8, cropped to `box`."""
        pixels = read_rgb(self.path)
        if self.box is None:
            return pixels
        left, top, right, bottom = self.box
        return pixels[top:bottom, left:right]


_CC_BY = "CC BY 2.0, some rights reserved by"
PHOTOS = (
    Photo("coffee", "train", "skimage", "coffee.png", "Rachel Michetti, CC0"),
    Photo(
        "motorcycle",
        "train",
        "skimage",
        "motorcycle_left.png",
        "Middlebury 2014 stereo benchmark, Scharstein et al., GCPR 2014",
    ),
    Photo("grace_hopper", "train", "matplotlib", "grace_hopper.jpg", "US Navy, public domain"),
    Photo("tissue", "train", "skimage", "ihc.png", "CMMI, no known copyright restrictions"),
    # The scan has a black, rounded frame on the right and below.
    Photo(
        "coins",
        "train",
        "skimage",
        "coins.png",
        "Brooklyn Museum, no known copyright restrictions",
        box=(0, 0, 372, 296),
    ),
    Photo("brick", "train", "skimage", "brick.png", "CC0Textures, CC0"),
    Photo("grass", "train", "skimage", "grass.png", "linolafett, CC0"),
    Photo("gravel", "train", "skimage", "gravel.png", "CC0Textures, CC0"),
    Photo("rocket", "val", "skimage", "rocket.jpg", "SpaceX, public domain"),
    Photo("camera", "val", "skimage", "camera.png", "Lav Varshney, CC0"),
    Photo("astronaut", "test", "skimage", "astronaut.png", "NASA, public domain"),
    Photo("chelsea", "test", "skimage", "chelsea.png", "Stefan van der Walt, CC0"),
    Photo("china", "test", "sklearn", "china.jpg", f"{_CC_BY} danielbuechele"),
    Photo("flower", "test", "sklearn", "flower.jpg", f"{_CC_BY} vultilion"),
)


def photo_paths(split: str) -> list[Photo]:
    """The photographs of a split (train, val or test), in a fixed order."""
    chosen = [photo for photo in PHOTOS if photo.split == split]
    if not chosen:
        raise ConfigError(f"photos have no split '{split}': {nearest(split, _splits())}")
    return chosen


def _splits() -> list[str]:
    return sorted({photo.split for photo in PHOTOS})
