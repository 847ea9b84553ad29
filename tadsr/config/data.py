"""Settings of data sets: `data.*` in an experiment file."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from tadsr.config.base import Config, Name, Positive, Seed


class DatasetSpec(Config):
    """A set of images. LR is made from HR by `degradation`, or read from disk."""

    kind: Literal["photos", "folder", "pairs", "lr_only"] = "photos"
    """`photos`: shipped inside Python packages. `folder`: HR images. `pairs`: hr/ and lr/."""
    split: Literal["train", "val", "test"] | None = None
    """Which images of `photos`."""
    path: str | None = None
    """Folder on disk, relative to where the command runs."""
    degradation: Literal["bicubic", "realesrgan"] | None = None
    crop: Positive | None = None
    """HR side of training crops, in pixels."""
    size: Positive | None = None
    """Centre-crop to at most this many pixels (HR; LR for `lr_only`)."""
    limit: Positive | None = None
    """Use the first so many images only."""
    seed: Seed = 0
    """Of the random degradation."""

    @model_validator(mode="after")
    def _complete(self) -> DatasetSpec:
        if self.kind in ("folder", "pairs") and self.path is None:
            raise ValueError(f"kind '{self.kind}' needs 'path'")
        if self.kind == "photos" and self.path is not None:
            raise ValueError("kind 'photos' takes no 'path'; images on disk are kind 'folder'")
        if self.kind == "photos" and self.split is None:
            raise ValueError("kind 'photos' needs 'split' (train, val or test)")
        if self.kind in ("photos", "folder") and self.degradation is None:
            raise ValueError(f"kind '{self.kind}' needs 'degradation' (bicubic or realesrgan)")
        if self.crop is not None and self.crop % 4:
            raise ValueError(f"crop {self.crop} is not a multiple of 4")
        return self


class DataSpec(Config):
    """Images to learn from, to validate on, and to test on."""

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
            if spec.kind not in ("photos", "folder"):
                raise ValueError(f"data.{role} must be of kind photos or folder, not {spec.kind}")
        return self

    def all(self) -> dict[str, DatasetSpec]:
        """Every data set by name: `train`, `val`, then the test sets."""
        return {"train": self.train, "val": self.val, **self.test}
