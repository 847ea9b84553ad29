"""What is asked of a metric: the torch-free half of `tadsr.metrics`.

Adding a metric that pyiqa knows is one entry of `METRICS`, or one mapping in the experiment file.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator

from tadsr.config.base import Config, Name


class MetricSpec(Config):
    """A metric as it is asked for; what was used to compute it is its *metric card*."""

    id: Name
    """Column name in every score file and table."""
    title: str
    """Name in tables and figures."""
    pyiqa: str
    """Name for `pyiqa.create_metric`."""
    higher_is_better: bool
    needs_reference: bool
    options: dict[str, Any] = Field(default_factory=dict)
    """Keyword arguments for `pyiqa.create_metric`."""
    weights: tuple[str, ...] = ()
    """Names in the weights catalogue, without which the metric is missing."""
    color_space: str = "RGB"
    decimals: int = 3
    per_set: bool = False
    """One number for a whole set of images, such as FID, instead of one per image."""
    border_crop: int = 0
    """Pixels cut from each side before the metric (the `classic` protocol cuts `scale`)."""
    grey: Literal["rgb", "levels"] = "rgb"
    """How a pair with a grey reference is scored: as any RGB image, or on its own grey levels, as
    in the classical tables (docs/metrics.md). Of metrics on Y alone."""

    @model_validator(mode="after")
    def _grey_levels_of_luma(self) -> MetricSpec:
        on_luma = self.needs_reference and self.options.get("test_y_channel") is True
        if self.grey == "levels" and not on_luma:
            raise ValueError(
                f"metric '{self.id}': grey: levels is for metrics on Y with a reference, such as "
                "psnr and ssim; leave it out here"
            )
        return self

    @property
    def arrow(self) -> str:
        """Direction of improvement, for headings."""
        return "↑" if self.higher_is_better else "↓"

    @property
    def direction(self) -> str:
        """`higher` or `lower`."""
        return "higher" if self.higher_is_better else "lower"


_Y = {"test_y_channel": True, "color_space": "ycbcr"}

METRICS: dict[str, MetricSpec] = {
    spec.id: spec
    for spec in (
        MetricSpec(id="psnr", title="PSNR-Y", pyiqa="psnr", higher_is_better=True,
                   needs_reference=True, options=_Y, color_space="Y of YCbCr", decimals=2),
        MetricSpec(id="ssim", title="SSIM-Y", pyiqa="ssim", higher_is_better=True,
                   needs_reference=True, options=_Y, color_space="Y of YCbCr", decimals=4),
        MetricSpec(id="lpips", title="LPIPS", pyiqa="lpips", higher_is_better=False,
                   needs_reference=True, weights=("alexnet", "lpips-alex"), decimals=4),
        MetricSpec(id="clipiqa", title="CLIPIQA", pyiqa="clipiqa", higher_is_better=True,
                   needs_reference=False, weights=("clip-rn50",), decimals=4),
        MetricSpec(id="musiq", title="MUSIQ", pyiqa="musiq", higher_is_better=True,
                   needs_reference=False, weights=("musiq-koniq",), decimals=2),
        MetricSpec(id="niqe", title="NIQE", pyiqa="niqe", higher_is_better=False,
                   needs_reference=False, weights=("niqe",), color_space="Y of YCbCr",
                   decimals=3),
        MetricSpec(id="fid", title="FID", pyiqa="fid", higher_is_better=False,
                   needs_reference=True, weights=("inception-fid",), decimals=2, per_set=True),
        # Against FFHQ at 512x512, which needs no HR of the test set: blind face restoration.
        MetricSpec(id="fid-ffhq", title="FID (FFHQ)", pyiqa="fid", higher_is_better=False,
                   needs_reference=False, weights=("inception-fid", "ffhq-fid-stats"), decimals=2,
                   per_set=True),
    )
}  # fmt: skip
"""The metrics known by name; protocol of SinSR / TAD-SR (Y channel, no border crop)."""


def metric_for(name: str, preset: str) -> MetricSpec:
    """The metric `name` under a preset.

    `paper`: as published for SinSR and TAD-SR. `classic`: PSNR and SSIM with a border crop of
    `scale` pixels and grey images on their own levels, as in the bicubic super-resolution
    literature.
    """
    spec = METRICS[name]
    if preset == "classic" and name in ("psnr", "ssim"):
        return spec.model_copy(update={"border_crop": 4, "grey": "levels"})
    return spec
