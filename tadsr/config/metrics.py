"""What is asked of a metric: the torch-free half of `tadsr.metrics`.

An experiment file names metrics of `METRICS`, or says in a mapping what else it wants: a metric
that pyiqa knows, or a file with a class of one's own (docs/metrics.md).
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    SerializerFunctionWrapHandler,
    WrapSerializer,
    model_validator,
)

from tadsr.config.base import SCALE, Config, Name, mistake_at
from tadsr.config.plugins import pinned_digest
from tadsr.config.pyiqa_table import color_space_of, objection
from tadsr.errors import nearest

KIND = "a metric of one's own"

_COLOUR_OPTIONS = ("test_y_channel", "color_space")


class MetricSpec(Config):
    """A metric as it is asked for; what was used to compute it is its *metric card*."""

    id: Name
    """Column name in every score file and table."""
    title: str = Field(default="", max_length=40)
    """Name in tables and figures; the id if it is left out."""
    pyiqa: str = ""
    """Name for `pyiqa.create_metric`; empty for a metric of one's own."""
    file: str | None = None
    """A Python file with a class `Metric`, instead of `pyiqa`. A relative path starts from the
    folder of the experiment file that names it (with --set: from the current folder)."""
    digest: str = ""
    """sha256 of `file`, filled in when the experiment is read: part of what the numbers are."""
    higher_is_better: bool
    needs_reference: bool
    compared: Literal["hr", "lr"] = "hr"
    """What the reference is: the HR image; or the LR input, to which the image is reduced first by
    antialiased bicubic (LR-consistency, which needs no HR)."""
    options: dict[str, Any] = Field(default_factory=dict)
    """Keyword arguments for `pyiqa.create_metric`, or what the file's `Metric.Config` takes."""
    weights: tuple[str, ...] = Field(default=(), strict=False)
    """Names in the weights catalogue, without which the metric is missing."""
    tensors: str = Field(default="", pattern=r"^([0-9a-f]{64})?$")
    """sha256 of the tensors that were found to be the official ones, as a metric card tells it;
    without it, weights that the catalogue does not know make numbers of unverified origin."""
    color_space: str = "RGB"
    """What of the images is looked at, for the card; filled in for pyiqa's metrics."""
    decimals: int = Field(default=3, ge=0, le=10)
    per_set: bool = False
    """One number for a whole set of images, such as FID, instead of one per image."""
    border_crop: int = Field(default=0, ge=0)
    """Pixels cut from each side before the metric (the `classic` preset cuts `data.scale`)."""
    grey: Literal["rgb", "levels"] = "rgb"
    """How a pair with a grey reference is scored: as any RGB image, or on its own grey levels, as
    in the classical tables (docs/metrics.md). Of metrics on Y alone."""

    @model_validator(mode="before")
    @classmethod
    def _complete(cls, given: Any) -> Any:
        """Fill in what follows from the rest, so that a frozen experiment says all of it."""
        if not isinstance(given, dict):
            return given
        found = {"title": str(given.get("id", "")), **given}
        if isinstance(given.get("file"), str) and not given.get("digest"):
            found["digest"] = pinned_digest(given["file"], "file", KIND)
        if isinstance(given.get("pyiqa"), str):
            options = given["options"] if isinstance(given.get("options"), dict) else {}
            if "weights" not in given:
                found["weights"] = _known_weights(given, options)
            if "color_space" not in given:
                found["color_space"] = color_space_of(given["pyiqa"], options)
        return found

    @model_validator(mode="after")
    def _consistent(self) -> MetricSpec:
        if bool(self.pyiqa) == bool(self.file):
            raise ValueError(
                f"metric '{self.id}': give either 'pyiqa' (a metric that pyiqa knows) or 'file' "
                "(a Python file with a class Metric)"
            )
        if self.digest and not self.file:
            raise mistake_at("digest", "is the sha256 of 'file', and there is none")
        if self.compared == "lr" and (not self.needs_reference or self.per_set):
            raise mistake_at(
                "compared", "lr is for metrics of single images with a reference, such as psnr; "
                "leave it out here",
            )  # fmt: skip
        on_luma = self.needs_hr and self.options.get("test_y_channel") is True
        if self.grey == "levels" and not on_luma:
            raise ValueError(
                f"metric '{self.id}': grey: levels is for metrics on Y with an HR reference, such "
                "as psnr and ssim; leave it out here"
            )
        return self

    @property
    def needs_hr(self) -> bool:
        """Whether it is computed against the HR image."""
        return self.needs_reference and self.compared == "hr"

    @property
    def needs_lr(self) -> bool:
        """Whether it is computed against the LR input."""
        return self.compared == "lr"

    @property
    def arrow(self) -> str:
        """Direction of improvement, for headings."""
        return "↑" if self.higher_is_better else "↓"

    @property
    def direction(self) -> str:
        """`higher` or `lower`."""
        return "higher" if self.higher_is_better else "lower"

    def settings(self) -> dict[str, Any]:
        """What is asked, for digests: what is in a file, not where it lies.

        What was added later is left out where it is not used, so that it changes no digest.
        """
        values = self.model_dump(mode="json", exclude={"file"})
        unused = {"digest": "", "tensors": "", "grey": "rgb", "compared": "hr"}
        return {key: value for key, value in values.items() if unused.get(key) != value}


def _known_weights(given: dict[str, Any], options: dict[str, Any]) -> tuple[str, ...]:
    """The weights of a metric of `METRICS` that differs in colour, border and name at most."""
    if not set(options) <= set(_COLOUR_OPTIONS):
        return ()
    return next((spec.weights for spec in METRICS.values() if spec.pyiqa == given["pyiqa"]), ())


_Y = {"test_y_channel": True, "color_space": "ycbcr"}

METRICS: dict[str, MetricSpec] = {
    spec.id: spec
    for spec in (
        MetricSpec(id="psnr", title="PSNR-Y", pyiqa="psnr", higher_is_better=True, weights=(),
                   needs_reference=True, options=_Y, color_space="Y of YCbCr", decimals=2),
        MetricSpec(id="ssim", title="SSIM-Y", pyiqa="ssim", higher_is_better=True, weights=(),
                   needs_reference=True, options=_Y, color_space="Y of YCbCr", decimals=4),
        MetricSpec(id="lr_psnr", title="LR-PSNR", pyiqa="psnr", higher_is_better=True, weights=(),
                   needs_reference=True, compared="lr", color_space="RGB", decimals=2),
        MetricSpec(id="lpips", title="LPIPS", pyiqa="lpips", higher_is_better=False,
                   needs_reference=True, weights=("alexnet", "lpips-alex"), color_space="RGB",
                   decimals=4),
        MetricSpec(id="clipiqa", title="CLIPIQA", pyiqa="clipiqa", higher_is_better=True,
                   needs_reference=False, weights=("clip-rn50",), color_space="RGB", decimals=4),
        MetricSpec(id="musiq", title="MUSIQ", pyiqa="musiq", higher_is_better=True,
                   needs_reference=False, weights=("musiq-koniq",), color_space="RGB", decimals=2),
        MetricSpec(id="niqe", title="NIQE", pyiqa="niqe", higher_is_better=False,
                   needs_reference=False, weights=("niqe",), color_space="Y of YIQ", decimals=3),
        MetricSpec(id="fid", title="FID", pyiqa="fid", higher_is_better=False,
                   needs_reference=True, weights=("inception-fid",), color_space="RGB",
                   decimals=2, per_set=True),
        # Against FFHQ at 512x512, which needs no HR of the test set: blind face restoration.
        MetricSpec(id="fid-ffhq", title="FID (FFHQ)", pyiqa="fid", higher_is_better=False,
                   needs_reference=False, weights=("inception-fid", "ffhq-fid-stats"),
                   color_space="RGB", decimals=2, per_set=True),
    )
}  # fmt: skip
"""The metrics known by name; protocol of SinSR / TAD-SR (Y channel, no border crop). LR-PSNR is
that of the NTIRE challenges on learning the super-resolution space (RGB, no border crop)."""


def metric_for(name: str, preset: str, scale: int = SCALE) -> MetricSpec:
    """The metric `name` of `METRICS` under a preset; see `under_preset`."""
    return under_preset(METRICS[name], preset, scale)


def under_preset(spec: MetricSpec, preset: str, scale: int) -> MetricSpec:
    """A metric as a preset wants it; what a mapping in the experiment file asks for stays.

    `paper`: as published for SinSR and TAD-SR, no border crop. `classic`: PSNR and SSIM with a
    border crop of `scale` pixels and grey images on their own levels, as in the bicubic
    super-resolution literature.
    """
    if preset == "classic" and spec.id in ("psnr", "ssim"):
        return spec.model_copy(update={"border_crop": scale, "grey": "levels"})
    return spec


def _named(given: Any) -> Any:
    """The metric that a name stands for."""
    if not isinstance(given, str):
        return given
    if given not in METRICS:
        raise ValueError(
            f"unknown metric '{given}': {nearest(given, list(METRICS))}; for another one that "
            "pyiqa knows, or a file of yours, write a mapping (docs/metrics.md)"
        )
    return METRICS[given]


def _honest(spec: MetricSpec) -> MetricSpec:
    """A mapping that contradicts neither our names nor pyiqa."""
    known = METRICS.get(spec.id)
    if known is not None and known != spec:
        ours, yours = known.model_dump(), spec.model_dump()
        differing = [key for key in ours if ours[key] != yours[key]]
        at = max(differing, key=lambda key: key not in ("title", "decimals"))
        raise mistake_at(
            at, f"'{spec.id}' is the name of {known.title}, whose {at} is {ours[at]!r}, not "
            f"{yours[at]!r}; give yours another id",
        )  # fmt: skip
    if known is None and spec.per_set:
        raise mistake_at("per_set", "metrics of whole sets are asked for by name: fid, fid-ffhq")
    if known is None and spec.pyiqa:
        found = objection(
            spec.pyiqa, higher_is_better=spec.higher_is_better,
            needs_reference=spec.needs_reference, per_set=spec.per_set,
        )  # fmt: skip
        if found:
            raise mistake_at(found.key, found.text)
    return spec


def _briefly(spec: MetricSpec, whole: SerializerFunctionWrapHandler) -> Any:
    return spec.id if METRICS.get(spec.id) == spec else whole(spec)


AskedMetric = Annotated[
    MetricSpec,
    BeforeValidator(_named, json_schema_input_type=Name | MetricSpec),
    AfterValidator(_honest),
    WrapSerializer(_briefly),
]
"""An entry of `evaluation.metrics`: a name of `METRICS`, or a mapping."""
