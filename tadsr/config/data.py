"""Settings of data sets: `data.*` in an experiment file (docs/datasets.md)."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from tadsr.config.base import SCALE, Config, Name, Positive, Seed, mistake_at
from tadsr.config.presets import PRESETS, expand_preset

Degradation = Literal["bicubic", "realesrgan", "imagenet_test", "face"]
Share = Annotated[float, Field(gt=0.0, lt=1.0, allow_inf_nan=False)]

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".gif", ".ppm", ".jp2")
"""Of the files that are taken for pictures; upper and lower case do not matter."""

IN_NO_DIGEST = {"preset", "path", "crop", "count", "hr", "lr", "allow_overlap"}
"""Settings that say where images lie and what is checked, not what they are."""


def degradation_scale(degradation: str) -> int:
    """HR pixels per LR pixel that a degradation is for: 1 for `face`, else 4."""
    return 1 if degradation == "face" else SCALE


class Holdout(Config):
    """Images of one folder kept from training, chosen by a hash of their names.

    Numbers (16), or shares of the folder (0.05): with shares no image ever changes sides when
    others are added; with numbers a few may move, from test to val and from val to train.
    """

    val: Positive | Share
    test: Positive | Share

    @model_validator(mode="after")
    def _alike(self) -> Holdout:
        if isinstance(self.val, float) != isinstance(self.test, float):
            raise ValueError("give numbers of images for both, or shares for both")
        if isinstance(self.val, float) and self.val + self.test >= 1:
            raise ValueError(f"shares {self.val} and {self.test} leave nothing to train on")
        return self


class DatasetSpec(Config):
    """A set of images. LR is made from HR by `degradation`, or read from disk."""

    preset: str | None = None
    """A published test set by name: takes only a `path`."""
    kind: Literal["photos", "folder", "pairs", "lr_only"] = "photos"
    """`photos`: shipped inside Python packages. `folder`: HR images. `pairs`: hr/ and lr/."""
    split: Literal["train", "val", "test"] | None = None
    """Which images of `photos`, or of a folder with `holdout`."""
    holdout: Holdout | None = None
    """Splits one folder by image, the same way for every data set that uses it."""
    path: str | None = None
    """Folder on disk, relative to where the command runs."""
    hr: str | None = None
    """Subfolder of the HR images, where it has no usual name; of kind `folder` "*" is all."""
    lr: str | None = None
    """Subfolder of the LR images, where it has no usual name; of kind `lr_only` "*" is all."""
    degradation: Degradation | None = None
    crop: Positive | None = None
    """HR side of training crops, in pixels."""
    size: Positive | None = None
    """Centre-crop to at most this many pixels (HR; LR for `lr_only`)."""
    skip_small: bool = False
    """Leave out HR images smaller than `crop` (ImageNet has some); else one is an error."""
    limit: Positive | None = None
    """Use the first so many images only."""
    count: Positive | None = None
    """How many images (pairs) the folder must hold; another number is an error."""
    seed: Seed = 0
    """Of the random degradation of val and test sets; training crops have the seeds of the teacher
    and of the targets."""
    allow_overlap: bool = False
    """Accept HR images that are in the training set too."""

    @model_validator(mode="before")
    @classmethod
    def _expanded(cls, values: Any) -> Any:
        named = isinstance(values, dict) and values.get("preset") is not None
        return expand_preset(values) if named else values

    @model_validator(mode="after")
    def _complete(self) -> DatasetSpec:
        if self.kind in ("folder", "pairs") and self.path is None:
            raise ValueError(f"kind '{self.kind}' needs 'path'")
        if self.kind == "photos" and self.path is not None:
            raise ValueError("kind 'photos' takes no 'path'; images on disk are kind 'folder'")
        if self.kind == "photos" and self.split is None:
            raise ValueError("kind 'photos' needs 'split' (train, val or test)")
        if self.kind in ("photos", "folder") and self.degradation is None:
            raise ValueError(f"kind '{self.kind}' needs 'degradation' (bicubic, realesrgan, ...)")
        if self.kind in ("pairs", "lr_only") and self.degradation is not None:
            raise ValueError(f"kind '{self.kind}' has LR images, it takes no 'degradation'")
        self._check_split()
        self._check_places()
        return self

    def _check_split(self) -> None:
        if self.holdout is not None and (self.kind not in ("folder", "pairs") or not self.split):
            raise ValueError("'holdout' goes with 'split', on kind folder or pairs")
        if self.split is not None and self.holdout is None and self.path is not None:
            raise ValueError("'split' of a folder needs 'holdout', such as {val: 16, test: 32}")

    def _check_places(self) -> None:
        without = {"photos": ("hr", "lr", "count"), "folder": ("lr",), "lr_only": ("hr",)}
        for key in without.get(self.kind, ()):
            if getattr(self, key) is not None:
                raise ValueError(f"kind '{self.kind}' takes no '{key}'")
        if self.path is None and (self.lr is not None or self.count is not None):
            raise ValueError("'lr' and 'count' need 'path'")
        if self.skip_small and (self.kind != "folder" or self.crop is None):
            raise ValueError("'skip_small' is for kind folder with 'crop'")

    def settings(self, scale: int = SCALE) -> dict[str, Any]:
        """What determines the images: the settings of a data set's recipe.

        No places, no checks and no preset's name; what was added later is left out where it is
        not used, so that it changes no digest.
        """
        values = self.model_dump(mode="json", exclude=IN_NO_DIGEST)
        for key in ("holdout", "skip_small"):
            if not values[key]:
                del values[key]
        return values if scale == SCALE else {**values, "scale": scale}


class DataSpec(Config):
    """Images to learn from, to validate on, and to test on."""

    scale: Literal[1, 4] = 4
    """HR pixels per LR pixel along one axis; 1: restoration at the same size, as the face model."""
    train: DatasetSpec = DatasetSpec(split="train", degradation="bicubic", crop=64)
    val: DatasetSpec = DatasetSpec(split="val", degradation="bicubic", crop=64)
    test: dict[Name, DatasetSpec] = Field(min_length=1)

    @model_validator(mode="after")
    def _usable(self) -> DataSpec:
        reserved = {"train", "val"} & set(self.test)
        if reserved:
            raise ValueError(f"test set name '{min(reserved)}' is reserved; choose another")
        for role, spec in (("train", self.train), ("val", self.val)):
            if spec.crop is None:
                raise ValueError(f"data.{role} needs 'crop' (HR pixels, a multiple of 4)")
            if spec.crop % self.scale:
                raise mistake_at(
                    f"{role}.crop", f"crop {spec.crop} is not a multiple of {self.scale}"
                )
            if spec.kind not in ("photos", "folder"):
                raise ValueError(f"data.{role} must be of kind photos or folder, not {spec.kind}")
        if self.train.allow_overlap:
            raise mistake_at("train.allow_overlap", "belongs to the val or test set that overlaps")
        if self.train.seed:
            raise mistake_at(
                "train.seed", "changes nothing: training crops are drawn and degraded with "
                "teacher.training.seed and targets.seed; set these",
            )  # fmt: skip
        for role, spec in self._by_place().items():
            self._check_scale(role, spec)
        self._check_holdouts()
        return self

    def _check_scale(self, role: str, spec: DatasetSpec) -> None:
        """A degradation and a preset are each for one scale."""
        made = spec.degradation
        if made is not None and degradation_scale(made) != self.scale:
            raise mistake_at(
                f"{role}.degradation", f"'{made}' is for data.scale {degradation_scale(made)}, "
                f"and data.scale is {self.scale}; change one of them",
            )  # fmt: skip
        wanted = PRESETS[spec.preset].scale if spec.preset else self.scale
        if wanted != self.scale:
            raise mistake_at(
                f"{role}.preset", f"'{spec.preset}' is for data.scale {wanted}, and data.scale "
                f"is {self.scale}; change one of them",
            )  # fmt: skip

    def _check_holdouts(self) -> None:
        """One folder is split one way, or its parts would overlap."""
        first: dict[str, tuple[str, Holdout]] = {}
        for role, spec in self._by_place().items():
            if spec.path is None or spec.holdout is None:
                continue
            other, holdout = first.setdefault(spec.path, (role, spec.holdout))
            if holdout != spec.holdout:
                raise mistake_at(
                    f"{role}.holdout", f"differs from that of data.{other}, so the two would "
                    "overlap; use one holdout for one folder",
                )  # fmt: skip

    def _by_place(self) -> dict[str, DatasetSpec]:
        tests = {f"test.{name}": spec for name, spec in self.test.items()}
        return {"train": self.train, "val": self.val, **tests}

    def all(self) -> dict[str, DatasetSpec]:
        """Every data set by name: `train`, `val`, then the test sets."""
        return {"train": self.train, "val": self.val, **self.test}
