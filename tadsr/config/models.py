"""Which models stand in the table beside the students: `evaluation.models` and where they are.

A model is called by a built-in name, or by one of the user's own that `pipelines`, `checkpoints` or
`images` explains (docs/models.md).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from tadsr.config.base import Config, Name, Positive, mistake_at, no_duplicates
from tadsr.config.data import SUFFIXES
from tadsr.config.published import PUBLISHED
from tadsr.errors import nearest

RESERVED = ("bicubic", "baselines", *PUBLISHED)
"""Names that models and jobs other than students have; so has all that begins with teacher-."""

Place = Annotated[str, Field(min_length=1)]
"""A path, relative to where the command runs, or a pattern of paths."""

Kind = Literal["bicubic", "teacher", "published", "pipeline", "checkpoint", "images", "student"]

DATASET, IMAGE = "{dataset}", "{image}"
"""What stands for the names of test set and image in a pattern of finished images."""


def is_reserved(name: str) -> bool:
    """Whether a name is taken by the product itself."""
    return name in RESERVED or name.startswith("teacher-")


def split_upscaler(name: str) -> tuple[str, int | None]:
    """`full/seed-2` to ("full", 2); `teacher-15` to ("teacher-15", None)."""
    variant, _, seed = name.partition("/seed-")
    return variant, int(seed) if seed.isdigit() else None


class PipelineSpec(Config):
    """A saved pipeline, and the steps it runs in; a path alone stands for one step."""

    path: Place
    """A folder that `tadsr weights pipeline` or a training wrote."""
    steps: Positive = 1
    """1, or as many as its schedule has."""

    @model_validator(mode="before")
    @classmethod
    def _path_alone(cls, data: Any) -> Any:
        return {"path": data} if isinstance(data, str) else data


class ImagesSpec(Config):
    """Finished images of another method; a path alone stands for images of every test set."""

    path: Place
    """A folder with a subfolder for each test set, or a pattern such as
    other/{dataset}/{image}_x4.png."""
    datasets: Annotated[tuple[Name, ...], Field(strict=False, min_length=1)] | None = None
    """The test sets that there are images of; without it, all."""

    @model_validator(mode="before")
    @classmethod
    def _path_alone(cls, data: Any) -> Any:
        return {"path": data} if isinstance(data, str) else data

    @field_validator("path")
    @classmethod
    def _usable_pattern(cls, pattern: str) -> str:
        unknown = set(re.findall(r"\{[^{}]*\}", pattern)) - {DATASET, IMAGE}
        if unknown:
            raise ValueError(
                f"{min(unknown)} in '{pattern}' stands for nothing; there are {DATASET} and {IMAGE}"
            )
        folder, _, file = pattern.rpartition("/")
        if IMAGE in folder or file.count(IMAGE) > 1:
            raise ValueError(
                f"{IMAGE} belongs once into the last part of '{pattern}', the file's name"
            )
        return pattern


class ModelsSpec(Config):
    """The rows of the table that are no students."""

    models: tuple[str, ...] = ("bicubic", "teacher-15", "teacher-1")
    """`bicubic`; `teacher-N`: the teacher in N steps (1, or as many as it was trained for); a
    published model such as `sinsr-v1`; or a name of `pipelines`, `checkpoints` or `images`."""
    pipelines: dict[Name, PipelineSpec] = Field(default_factory=dict)
    """Saved pipelines by name: a folder, or {path: folder, steps: 4}."""
    checkpoints: dict[Name, Place] = Field(default_factory=dict)
    """Super-resolution checkpoints of other architectures by name: files that spandrel loads."""
    images: dict[Name, ImagesSpec] = Field(default_factory=dict)
    """Finished images of other methods by name: a folder or pattern, or {path: folder, datasets:
    [name, ...]} where there are none of the other test sets."""

    @model_validator(mode="after")
    def _known_models(self) -> ModelsSpec:
        taken: dict[str, str] = {}
        for key in ("pipelines", "checkpoints", "images"):
            for name in getattr(self, key):
                if is_reserved(name):
                    raise mistake_at(f"{key}.{name}", "this name is taken; choose another")
                if name in taken:
                    raise mistake_at(
                        f"{key}.{name}", f"this name is in {taken[name]} too; choose another"
                    )
                taken[name] = key
        known = ["bicubic", *PUBLISHED, *taken]
        for model in self.models:
            if model not in known and not re.fullmatch(r"teacher-[1-9]\d*", model):
                raise mistake_at(
                    "models", f"unknown model '{model}': {nearest(model, known)}; the teacher in "
                    "N steps is teacher-N",
                )  # fmt: skip
        no_duplicates("model", self.models)
        return self

    def kind(self, name: str) -> Kind:
        """What the upscaler `name` is; a student is called `<variant>/seed-<n>`."""
        if "/" in name:
            return "student"
        if name in PUBLISHED:
            return "published"
        if name in self.pipelines:
            return "pipeline"
        if name in self.checkpoints:
            return "checkpoint"
        if name in self.images:
            return "images"
        return "bicubic" if name == "bicubic" else "teacher"

    def steps(self, name: str) -> int:
        """Network steps an upscaler runs in; 0 where no network of ours runs."""
        kind = self.kind(name)
        if kind == "teacher":
            return int(name.split("-")[1])
        if kind == "published":
            return PUBLISHED[name].steps
        if kind == "pipeline":
            return self.pipelines[name].steps
        return 0 if kind in ("bicubic", "images") else 1

    def source(self, name: str) -> str | None:
        """The path or pattern that a name of the user's own stands for; None for other models."""
        if name in self.pipelines:
            return self.pipelines[name].path
        if name in self.images:
            return self.images[name].path
        return self.checkpoints.get(name)

    def test_sets(self, name: str, test_sets: Iterable[str]) -> tuple[str, ...]:
        """Those of an experiment's test sets that an upscaler is evaluated on, in their order."""
        only = self.images[name].datasets if name in self.images else None
        return tuple(test for test in test_sets if only is None or test in only)

    def check_against(self, variants: Collection[str], test_sets: Collection[str]) -> None:
        """Refuse names of variants, and patterns that mix up several test sets.

        Raises:
            PydanticCustomError: at the key below `evaluation`.
        """
        for key in ("pipelines", "checkpoints", "images"):
            shared = sorted(set(getattr(self, key)) & set(variants))
            if shared:
                raise mistake_at(
                    f"evaluation.{key}.{shared[0]}",
                    f"'{shared[0]}' is a variant's name; choose another",
                )
        for name, spec in self.images.items():
            for test in spec.datasets or ():
                if test not in test_sets:
                    raise mistake_at(
                        f"evaluation.images.{name}.datasets",
                        f"'{test}' is no test set: {nearest(test, list(test_sets))}",
                    )
            several = len(self.test_sets(name, test_sets)) > 1
            if name in self.models and several and IMAGE in spec.path and DATASET not in spec.path:
                raise mistake_at(
                    f"evaluation.images.{name}", f"'{spec.path}' is the same for several test "
                    f"sets; put {DATASET} where their name belongs",
                )  # fmt: skip


@dataclass(frozen=True)
class ImagePlace:
    """Where the finished images of one test set lie: `<folder>/<before><image><after>`."""

    folder: Path
    before: str
    after: str
    """With a picture's suffix, or without: then any will do."""

    def image(self, file: str) -> str | None:
        """The image that a file in the folder is of, by its name; None if it is none."""
        path = Path(file)
        if path.suffix.lower() not in SUFFIXES or file.startswith("."):
            return None
        suffixed = self.after.lower().endswith(SUFFIXES)
        text = file if suffixed else path.stem
        fits = text.startswith(self.before) and text.endswith(self.after)
        name = text[len(self.before) : len(text) - len(self.after)]
        return name if fits and name else None


def image_place(pattern: str, dataset: str) -> ImagePlace:
    """The place of a test set's images by a pattern, or a folder that holds one for each set."""
    if IMAGE not in pattern:
        parts = [pattern] if DATASET in pattern else [pattern, DATASET]
        pattern = "/".join([*parts, IMAGE])
    folder, _, file = pattern.replace(DATASET, dataset).rpartition("/")
    before, _, after = file.partition(IMAGE)
    return ImagePlace(Path(folder or ".").expanduser(), before, after)
